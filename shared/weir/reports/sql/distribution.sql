-- How many requests cost how much: `edges` is how many of the report's steps a request's cost reaches.
SELECT
  CASE
    WHEN total < CAST(:edge AS decimal(38,15)) THEN CAST(:below AS bigint)
    ELSE CAST(:edges AS bigint)
  END AS edges,
  count(*) AS requests
FROM requested
WHERE is_request
GROUP BY 1
