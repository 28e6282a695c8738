-- What the requests that drew on a lease cost, corrections included, by why they are not priced in full; no row where
-- the ledger knows none of them.
SELECT
  json_format(CAST(unpriced AS json)) AS reasons,
  sum(total) AS total,
  count(*) FILTER (WHERE outcome = 'killed') AS killed
FROM requested
WHERE lease = :lease
GROUP BY 1
