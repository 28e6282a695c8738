-- What memory and environments of a function are judged by: peaks, the time that validation took, and its busiest minute.
WITH minutes AS (
  SELECT
    function_name,
    date_trunc('minute', at_utc) AS minute,
    sum(billed_ms) AS busy_ms,
    max(max_memory_mb) AS peak_mb,
    sum(CASE WHEN max_memory_mb IS NOT NULL THEN 1 ELSE 0 END) AS peak_known,
    count(*) AS requests
  FROM requested
  WHERE is_request
  GROUP BY 1, 2
), busiest AS (
  SELECT
    function_name,
    max(busy_ms) AS busiest_ms,
    max(peak_mb) AS peak_mb,
    sum(peak_known) AS peak_known,
    sum(requests) AS requests
  FROM minutes
  GROUP BY 1
), pauses AS (
  SELECT function_name, approx_percentile(validate_ms, 0.95) AS validate_ms_p95, min(memory_mb) AS least_mb, max(memory_mb) AS most_mb
  FROM requested
  WHERE is_request
  GROUP BY 1
)
SELECT busiest.*, pauses.validate_ms_p95, pauses.least_mb, pauses.most_mb
FROM busiest JOIN pauses ON busiest.function_name = pauses.function_name
ORDER BY 1
