-- Cost by hour or day and by name: the most expensive names of the range, and the others together.
WITH grouped AS (
  SELECT bucket, {dimension} AS name, sum(total) AS total,
    sum(requests) AS requests, sum(CASE WHEN is_lower_bound THEN entries ELSE 0 END) AS lower_bounds
  FROM requested
  GROUP BY 1, 2
), summed AS (
  SELECT *, sum(total) OVER (PARTITION BY name) AS total_of_name
  FROM grouped
), ranked AS (
  SELECT *, dense_rank() OVER (ORDER BY total_of_name DESC, name) AS place
  FROM summed
)
SELECT
  bucket,
  CASE WHEN place <= CAST(:names AS bigint) THEN name ELSE '(other)' END AS shown,
  min(place) AS place,
  sum(total) AS total,
  sum(requests) AS requests,
  sum(lower_bounds) AS lower_bounds
FROM ranked
GROUP BY 1, 2
