-- Quantities that AWS charges for, and what is booked of them, by day and place; with how many requests have each charge.
-- Requests alone: corrections are differences.
SELECT
  sum(CASE WHEN coalesce({charged}, 0) <> 0 OR coalesce({multiple}, 0) <> 0 THEN requests ELSE 0 END) AS of_{component},
  sum({charged}) AS {charged},
  sum({counted}) AS {counted},
  day,
  region,
  architecture,
  initialization_type
FROM requested
WHERE is_request
GROUP BY day, region, architecture, initialization_type
