-- The row of one request, and its corrections in the order in which they were found.
SELECT
  {column},
  json_format(CAST({json_column} AS json)) AS {json_column},
  entry
FROM requested
ORDER BY entry DESC, at_utc
