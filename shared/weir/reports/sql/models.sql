-- The models that answered.
SELECT model_known, sum(requests) AS requests
FROM requested
WHERE is_request
GROUP BY 1
ORDER BY 1
