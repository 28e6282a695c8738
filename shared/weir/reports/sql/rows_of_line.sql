-- A page of the rows that a line of charges is made of, and few others; those of which most is booked come first, and last
-- those of which nothing is. It begins after the last row of the page before, wherever that now is.
SELECT
  {column},
  json_format(CAST({json_column} AS json)) AS {json_column},
  {beside},
  entry,
  most
FROM (
  SELECT *, coalesce({charge}, -1) AS most
  FROM requested
  WHERE entry = :entry
    AND day BETWEEN CAST(:first AS date) AND CAST(:last AS date)
    AND (coalesce({charge}, 0) <> 0 OR coalesce({multiple}, 0) <> 0)
    AND model_known = :line_model
    AND service_tier = :line_tier
    AND region = :line_region
    AND architecture = :line_architecture
) AS measured
WHERE true
  AND (most < CAST(:after_most AS decimal(38,15))
    OR most = CAST(:after_most AS decimal(38,15)) AND at_utc < CAST(:after_at AS timestamp(3))
    OR most = CAST(:after_most AS decimal(38,15)) AND at_utc = CAST(:after_at AS timestamp(3)) AND request_id < :after_request_id)
ORDER BY most DESC, at_utc DESC, request_id DESC
LIMIT {limit}
