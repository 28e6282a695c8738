-- A page of requests, those with most of a column first, and last those of which it is not known; it begins after the last
-- row of the page before, wherever that now is.
SELECT
  {column},
  json_format(CAST({json_column} AS json)) AS {json_column},
  entry,
  most
FROM (
  SELECT *, coalesce(CAST({most} AS decimal(38,15)), -1) AS most
  FROM requested
  WHERE is_request
) AS measured
WHERE true
  AND (most < CAST(:after_most AS decimal(38,15))
    OR most = CAST(:after_most AS decimal(38,15)) AND at_utc < CAST(:after_at AS timestamp(3))
    OR most = CAST(:after_most AS decimal(38,15)) AND at_utc = CAST(:after_at AS timestamp(3)) AND request_id < :after_request_id)
ORDER BY most DESC, at_utc DESC, request_id DESC
LIMIT {limit}
