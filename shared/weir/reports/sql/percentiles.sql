-- Percentiles over the whole range: latency, cost per request, and how far the estimates were off.
SELECT
  approx_percentile(CASE WHEN is_request THEN ttft_ms END, 0.5) AS ttft_ms_p50,
  approx_percentile(CASE WHEN is_request THEN ttft_ms END, 0.95) AS ttft_ms_p95,
  approx_percentile(CASE WHEN is_request THEN ttft_ms END, 0.99) AS ttft_ms_p99,
  approx_percentile(CASE WHEN is_request THEN duration_ms END, 0.5) AS duration_ms_p50,
  approx_percentile(CASE WHEN is_request THEN duration_ms END, 0.95) AS duration_ms_p95,
  approx_percentile(CASE WHEN is_request THEN duration_ms END, 0.99) AS duration_ms_p99,
  approx_percentile(CASE WHEN is_request THEN CAST(total AS double) END, 0.5) AS cost_p50,
  approx_percentile(CASE WHEN is_request THEN CAST(total AS double) END, 0.9) AS cost_p90,
  approx_percentile(CASE WHEN is_request THEN CAST(total AS double) END, 0.99) AS cost_p99,
  max(total) FILTER (WHERE is_request) AS cost_max,
  approx_percentile(CASE WHEN is_request AND NOT is_lower_bound THEN off_percent END, 0.5) AS error_p50,
  approx_percentile(CASE WHEN is_request AND NOT is_lower_bound THEN off_percent END, 0.99) AS error_p99
FROM (
  SELECT
    is_request, is_lower_bound, ttft_ms, duration_ms, total,
    100 * abs(CAST(estimate_total - (total - coalesce(cost_logs, 0)) AS double))
      / nullif(CAST(total - coalesce(cost_logs, 0) AS double), 0) AS off_percent
  FROM requested
) AS measured
