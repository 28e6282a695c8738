-- What the dearest request cost.
SELECT max(total_max) AS cost_max
FROM requested
