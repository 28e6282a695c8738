-- A period's money and what it was spent on, by name and model; corrections by themselves.
SELECT
  {dimension} AS name,
  model_name,
  is_request,
  sum({summed}) AS {summed},
  sum(CASE WHEN is_lower_bound THEN entries ELSE 0 END) AS lower_bounds,
  sum(total) AS total,
  sum(requests) AS requests
FROM requested
GROUP BY 1, 2, 3
