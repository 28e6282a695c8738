-- What corrections that were found in the range, or later for its requests, come to.
SELECT
  corrects,
  at_utc >= CAST(:range_end AS timestamp(3)) AS is_later,
  count(*) AS corrections,
  count(DISTINCT request_id) AS requests,
  sum(total) AS total,
  count(*) FILTER (WHERE is_lower_bound) AS lower_bounds
FROM requested
WHERE entry = 'correction'
  AND (at_utc < CAST(:range_end AS timestamp(3))
    OR corrects_at >= CAST(:range_start AS timestamp(3)) AND corrects_at < CAST(:range_end AS timestamp(3)))
GROUP BY 1, 2
ORDER BY 1, 2
