-- The most expensive names of every breakdown, and the others together; one pass over the rows.
-- `dimension` has a bit for each name, which is 0 for the one that was grouped by.
WITH grouped AS (
  SELECT
    grouping(outcome_name, model_name, tenant_name, feature_name, function_name) AS dimension,
    coalesce(outcome_name, model_name, tenant_name, feature_name, function_name) AS name,
    sum(requests) AS requests,
    sum(total) AS total,
    sum(CASE WHEN is_lower_bound THEN entries ELSE 0 END) AS lower_bounds
  FROM requested
  GROUP BY GROUPING SETS ((outcome_name), (model_name), (tenant_name), (feature_name), (function_name))
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY dimension ORDER BY total DESC, name) AS place
  FROM grouped
)
SELECT
  dimension,
  CASE WHEN place <= CAST(:names AS bigint) THEN name ELSE '(other)' END AS shown,
  min(place) AS place,
  sum(requests) AS requests,
  sum(total) AS total,
  sum(lower_bounds) AS lower_bounds
FROM ranked
GROUP BY 1, 2
ORDER BY 1, 3
