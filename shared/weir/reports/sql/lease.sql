-- What the requests that drew on a lease cost, corrections included; no row where the ledger knows none of them.
SELECT sum(total) AS total, count(*) FILTER (WHERE outcome = 'killed') AS killed
FROM requested
WHERE lease = :lease
HAVING count(*) > 0
