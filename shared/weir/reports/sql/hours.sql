-- Reports that rows account for in each UTC hour, and rows; to be held against another count.
-- A correction lies in the hour in which it was found, not in that of its report.
SELECT
  date_trunc('hour', at_utc) AS hour,
  sum(requests) AS requests,
  sum(billed_invocations) FILTER (WHERE is_request) AS reports
FROM requested
GROUP BY 1
ORDER BY 1
