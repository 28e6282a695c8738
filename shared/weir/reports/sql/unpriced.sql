-- Why requests are not priced in full: by reason and model, how many, when, and what tokens they used.
-- Grouped before they are taken apart: there are few combinations, and many rows.
WITH combined AS (
  SELECT
    unpriced,
    model_known,
    sum({counted}) AS {counted},
    min(at_utc) AS first_at,
    max(at_utc) AS last_at,
    sum(requests) AS requests
  FROM requested
  WHERE is_request AND is_lower_bound
  GROUP BY 1, 2
)
SELECT
  reason,
  model_known,
  sum({counted}) AS {counted},
  min(first_at) AS first_at,
  max(last_at) AS last_at,
  sum(requests) AS requests
FROM combined CROSS JOIN UNNEST(unpriced) AS parts(reason)
GROUP BY 1, 2
ORDER BY 1, 2
