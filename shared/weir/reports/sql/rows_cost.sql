-- A page of requests, the dearest first; it begins after the last row of the page before, wherever that now is.
SELECT
  {column},
  json_format(CAST({json_column} AS json)) AS {json_column},
  entry
FROM requested
WHERE is_request
  AND (total < CAST(:after_total AS decimal(38,15))
    OR total = CAST(:after_total AS decimal(38,15)) AND at_utc < CAST(:after_at AS timestamp(3))
    OR total = CAST(:after_total AS decimal(38,15)) AND at_utc = CAST(:after_at AS timestamp(3)) AND request_id < :after_request_id)
ORDER BY total DESC, at_utc DESC, request_id DESC
LIMIT {limit}
