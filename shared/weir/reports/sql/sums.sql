-- Every sum and count of the report by hour or day, with the percentiles of each.
--
-- A correction is money and quantities, not a request: it is in sums, and in no count and no percentile. Null is
-- unknown: sums and percentiles are over the rows that know the value, and null where none does.
SELECT
  bucket,
  count(*) FILTER (WHERE is_request) AS requests,
  sum(total) AS total,
  count(*) FILTER (WHERE is_lower_bound) AS lower_bounds,
  sum({summed}) AS {summed},

  -- What the money went to
  sum(total) FILTER (WHERE outcome NOT IN ('ok', 'client_disconnected', 'stopped')) AS total_failed,
  sum(total) FILTER (WHERE outcome IN ('client_disconnected', 'stopped')) AS total_abandoned,
  sum(total) FILTER (WHERE attempts > 1) AS total_retried,
  sum(total) FILTER (WHERE outcome IS NULL) AS total_without_outcome,
  sum(total) FILTER (WHERE schema_name IS NOT NULL) AS total_of_documents,
  sum(total) FILTER (WHERE entry = 'correction') AS total_corrected,
  sum(output_tokens) FILTER (WHERE outcome = 'ok') AS delivered_tokens,

  -- How many of these hold a lower bound: a row that is not priced in full, or a time that nobody measured
  count(*) FILTER (WHERE is_lower_bound AND outcome NOT IN ('ok', 'client_disconnected', 'stopped')) AS lower_bounds_failed,
  count(*) FILTER (WHERE is_lower_bound AND outcome IN ('client_disconnected', 'stopped')) AS lower_bounds_abandoned,
  count(*) FILTER (WHERE is_lower_bound AND attempts > 1) AS lower_bounds_retried,
  count(*) FILTER (WHERE is_lower_bound AND outcome IS NULL) AS lower_bounds_without_outcome,
  count(*) FILTER (WHERE is_lower_bound AND schema_name IS NOT NULL) AS lower_bounds_of_documents,
  count(*) FILTER (WHERE is_lower_bound AND entry = 'correction') AS lower_bounds_corrected,
  count(*) FILTER (WHERE is_request AND billed_ms IS NOT NULL AND phase_waiting IS NULL) AS lower_bounds_waiting,
  count(*) FILTER (WHERE is_request AND billed_ms IS NOT NULL AND phase_cold_start IS NULL) AS lower_bounds_cold_start,

  -- What callers were told, which leaves the log's own cost out: the line that tells it is not written yet
  count(*) FILTER (WHERE is_request AND NOT is_lower_bound AND estimate_total IS NOT NULL) AS rows_estimated,
  sum(estimate_total) FILTER (WHERE is_request AND NOT is_lower_bound) AS estimated,
  sum(total - coalesce(cost_logs, 0)) FILTER (WHERE is_request AND NOT is_lower_bound AND estimate_total IS NOT NULL) AS estimated_final,

  -- How many
  count(*) FILTER (WHERE entry = 'correction') AS corrections,
  count(*) FILTER (WHERE is_request AND schema_name IS NOT NULL AND outcome = 'ok') AS documents,
  count(*) FILTER (WHERE is_request AND is_lower_bound) AS rows_unpriced,
  count(*) FILTER (WHERE is_request AND saved_tokens > 0) AS rows_saved,
  count(*) FILTER (WHERE is_request AND element_at(anomalies, 1) IS NOT NULL) AS rows_with_anomalies,
  count(*) FILTER (WHERE is_request AND init_ms IS NOT NULL) AS starts_known,
  count(*) FILTER (WHERE is_request AND init_ms > 0) AS cold_starts,
  count(*) FILTER (WHERE is_request AND join_status = 'complete') AS complete,
  count(*) FILTER (WHERE is_request AND join_status = 'bill_only') AS bill_only,
  count(*) FILTER (WHERE is_request AND join_status = 'usage_only') AS usage_only,
  count(*) FILTER (WHERE is_request AND join_status = 'started_only') AS started_only,

  -- Trino's approx_percentile is off by about 1 % of the rank; DuckDB's stand-in for it is exact.
  approx_percentile(CASE WHEN is_request THEN ttft_ms END, 0.5) AS ttft_ms_p50,
  approx_percentile(CASE WHEN is_request THEN ttft_ms END, 0.95) AS ttft_ms_p95,
  approx_percentile(CASE WHEN is_request THEN duration_ms END, 0.5) AS duration_ms_p50,
  approx_percentile(CASE WHEN is_request THEN duration_ms END, 0.95) AS duration_ms_p95
FROM requested
GROUP BY bucket
