-- Percentiles of each hour or day, over the requests that know the value.
-- Trino's approx_percentile is off by about 1 % of the rank; DuckDB's stand-in for it is exact.
SELECT
  bucket,
  approx_percentile(CASE WHEN is_request THEN ttft_ms END, 0.5) AS ttft_ms_p50,
  approx_percentile(CASE WHEN is_request THEN ttft_ms END, 0.95) AS ttft_ms_p95,
  approx_percentile(CASE WHEN is_request THEN duration_ms END, 0.5) AS duration_ms_p50,
  approx_percentile(CASE WHEN is_request THEN duration_ms END, 0.95) AS duration_ms_p95
FROM requested
GROUP BY bucket
