-- Every sum and count of the report by hour or day.
--
-- A correction is money and quantities, not a request: it is in sums, and in no count of requests. Null is unknown: sums
-- are over the rows that know the value, and null where none does.
SELECT
  bucket,
  sum(requests) AS requests,
  sum(total) AS total,
  sum(CASE WHEN is_lower_bound THEN entries ELSE 0 END) AS lower_bounds,
  sum({summed}) AS {summed},

  -- What the money went to
  sum(total) FILTER (WHERE outcome NOT IN ('ok', 'client_disconnected', 'stopped')) AS total_failed,
  sum(total) FILTER (WHERE outcome IN ('client_disconnected', 'stopped')) AS total_abandoned,
  sum(total) FILTER (WHERE is_retried) AS total_retried,
  sum(total) FILTER (WHERE outcome IS NULL AND entry <> 'metering') AS total_without_outcome,
  sum(total) FILTER (WHERE schema_name IS NOT NULL) AS total_of_documents,
  sum(total) FILTER (WHERE entry = 'correction') AS total_corrected,
  sum(output_tokens) FILTER (WHERE outcome = 'ok') AS delivered_tokens,

  -- How many of these hold a lower bound: a row that is not priced in full, or a time that nobody measured
  sum(entries) FILTER (WHERE is_lower_bound AND outcome NOT IN ('ok', 'client_disconnected', 'stopped')) AS lower_bounds_failed,
  sum(entries) FILTER (WHERE is_lower_bound AND outcome IN ('client_disconnected', 'stopped')) AS lower_bounds_abandoned,
  sum(entries) FILTER (WHERE is_lower_bound AND is_retried) AS lower_bounds_retried,
  sum(entries) FILTER (WHERE is_lower_bound AND outcome IS NULL AND entry <> 'metering') AS lower_bounds_without_outcome,
  sum(entries) FILTER (WHERE is_lower_bound AND schema_name IS NOT NULL) AS lower_bounds_of_documents,
  sum(entries) FILTER (WHERE is_lower_bound AND entry = 'correction') AS lower_bounds_corrected,
  sum(requests) FILTER (WHERE billed_ms IS NOT NULL AND phase_waiting IS NULL) AS lower_bounds_waiting,
  sum(requests) FILTER (WHERE billed_ms IS NOT NULL AND phase_cold_start IS NULL) AS lower_bounds_cold_start,

  -- What was spared, by how: a stop at a violation, or an answer given again
  sum(saved_total) FILTER (WHERE coalesce(answered_from, '') NOT IN ('idempotency_key', 'cache')) AS saved_total_early_stop,
  sum(saved_tokens) FILTER (WHERE coalesce(answered_from, '') NOT IN ('idempotency_key', 'cache')) AS saved_tokens_early_stop,
  sum(rows_saved) FILTER (WHERE coalesce(answered_from, '') NOT IN ('idempotency_key', 'cache')) AS requests_early_stop,
  sum(saved_total) FILTER (WHERE answered_from = 'idempotency_key') AS saved_total_idempotency_key,
  sum(saved_tokens) FILTER (WHERE answered_from = 'idempotency_key') AS saved_tokens_idempotency_key,
  sum(requests) FILTER (WHERE answered_from = 'idempotency_key') AS requests_idempotency_key,
  sum(saved_total) FILTER (WHERE answered_from = 'cache') AS saved_total_cache,
  sum(saved_tokens) FILTER (WHERE answered_from = 'cache') AS saved_tokens_cache,
  sum(requests) FILTER (WHERE answered_from = 'cache') AS requests_cache,

  -- What callers were told, against what it came to
  sum(rows_estimated) FILTER (WHERE NOT is_lower_bound) AS rows_estimated,
  sum(estimate_total) FILTER (WHERE is_request AND NOT is_lower_bound) AS estimated,
  sum(estimated_final) FILTER (WHERE is_request AND NOT is_lower_bound) AS estimated_final,

  -- How many
  sum(CASE WHEN entry = 'correction' THEN entries ELSE 0 END) AS corrections,
  sum(requests) FILTER (WHERE schema_name IS NOT NULL AND outcome = 'ok') AS documents,
  sum(CASE WHEN is_lower_bound THEN requests ELSE 0 END) AS rows_unpriced,
  sum(rows_saved) AS rows_saved,
  sum(requests) FILTER (WHERE element_at(anomalies, 1) IS NOT NULL) AS rows_with_anomalies,
  sum(requests) FILTER (WHERE is_cold IS NOT NULL) AS starts_known,
  sum(requests) FILTER (WHERE is_cold) AS cold_starts,
  sum(requests) FILTER (WHERE join_status = 'complete') AS complete,
  sum(requests) FILTER (WHERE join_status = 'bill_only') AS bill_only,
  sum(requests) FILTER (WHERE join_status = 'usage_only') AS usage_only,
  sum(requests) FILTER (WHERE join_status = 'started_only') AS started_only
FROM requested
GROUP BY bucket
