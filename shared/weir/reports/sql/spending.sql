-- What was spent by hour or day, and nothing else.
SELECT bucket, sum(total) AS total, count(*) FILTER (WHERE is_lower_bound) AS lower_bounds
FROM requested
GROUP BY bucket
