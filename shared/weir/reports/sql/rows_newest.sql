-- A page of requests, the newest first; it begins after the last row of the page before, wherever that now is.
SELECT
  {column},
  json_format(CAST({json_column} AS json)) AS {json_column},
  entry
FROM requested
WHERE is_request
  AND (at_utc < CAST(:after_at AS timestamp(3))
    OR at_utc = CAST(:after_at AS timestamp(3)) AND request_id < :after_request_id)
ORDER BY at_utc DESC, request_id DESC
LIMIT {limit}
