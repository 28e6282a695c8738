-- What was spent by hour or day, and nothing else.
SELECT bucket, sum(total) AS total, sum(CASE WHEN is_lower_bound THEN entries ELSE 0 END) AS lower_bounds
FROM requested
GROUP BY bucket
