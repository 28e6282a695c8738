-- What latency costs, by day, model, tenant and function; one pass over the rows. Times are summed in thousandths of a
-- millisecond, which is exact. `dimension` has a bit for each name, which is 0 for the one that was grouped by.
WITH grouped AS (
  SELECT
    bucket,
    model_name,
    tenant_name,
    function_name,
    sum(requests) AS requests,
    sum(total) AS total,
    sum({charged}) AS {charged},
    sum(CASE WHEN is_lower_bound THEN entries ELSE 0 END) AS lower_bounds,
    -- Of requests whose charge is shared out; on Managed Instances nothing is billed by time, and the duration is.
    sum(CASE WHEN phase_rest IS NOT NULL THEN coalesce(billed_ms, CAST(ceil(duration_ms) AS bigint)) * 1000 END) AS billed_us,
    sum(CASE WHEN phase_rest IS NOT NULL THEN CAST(round({timed} * 1000) AS bigint) END) AS {timed}_us,
    sum(requests) FILTER (WHERE billed_ms IS NOT NULL AND wait_ms IS NULL) AS wait_unknown
  FROM requested
  GROUP BY 1, 2, 3, 4
), named AS (
  SELECT
    grouping(bucket, model_name, tenant_name, function_name) AS dimension,
    coalesce(substr(CAST(bucket AS varchar), 1, 10), model_name, tenant_name, function_name) AS name,
    sum(requests) AS requests,
    sum(total) AS total,
    sum({charged}) AS {charged},
    sum(lower_bounds) AS lower_bounds,
    sum(billed_us) AS billed_us,
    sum({timed}_us) AS {timed}_us,
    sum(wait_unknown) AS wait_unknown
  FROM grouped
  GROUP BY GROUPING SETS ((bucket), (model_name), (tenant_name), (function_name), ())
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY dimension ORDER BY cost_lambda_duration DESC, name) AS place
  FROM named
)
SELECT *
FROM ranked
WHERE place <= CAST(:names AS bigint) OR dimension = 7
ORDER BY dimension, place
