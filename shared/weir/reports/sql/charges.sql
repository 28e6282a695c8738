-- Quantities that AWS charges for, and what is booked of them, by day and place. Requests alone: corrections are differences.
SELECT
  day,
  region,
  architecture,
  initialization_type,
  sum({charged}) AS {charged},
  sum(gb_s) AS gb_s,
  sum(billed_invocations) AS invocations,
  -- The first 6 MB of a response are free; each 10 MB that one begins is a request of API Gateway's
  sum(greatest(streamed_bytes - 6291456, 0)) AS beyond_bytes,
  sum(CASE WHEN front = 'rest_api' THEN greatest(CAST(ceil(CAST(streamed_bytes AS double) / 10485760) AS bigint), 1) END) AS gateway_requests,
  sum(log_bytes) AS log_bytes,
  sum(requests) AS requests
FROM requested
WHERE is_request
GROUP BY 1, 2, 3, 4
