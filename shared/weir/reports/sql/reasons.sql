-- Why requests, and charges of the ledger itself, are not priced in full, and how many for each reason.
-- Grouped before they are taken apart: there are few combinations, and many rows.
WITH combined AS (
  SELECT unpriced, sum(entries) AS requests
  FROM requested
  WHERE entry <> 'correction' AND is_lower_bound
  GROUP BY unpriced
)
SELECT reason, sum(requests) AS requests
FROM combined CROSS JOIN UNNEST(unpriced) AS parts(reason)
GROUP BY 1
ORDER BY 1
