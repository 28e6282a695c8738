-- Rows as requested.sql reads them: each is one entry, and one request unless it is a correction or the ledger's own cost.
SELECT
  *,
  1 AS entries,
  CASE WHEN entry = 'request' THEN 1 ELSE 0 END AS requests,
  CASE WHEN entry = 'request' AND saved_tokens > 0 THEN 1 ELSE 0 END AS rows_saved,
  CASE WHEN entry = 'request' AND estimate_total IS NOT NULL THEN 1 ELSE 0 END AS rows_estimated,
  -- What callers are told leaves the log's own cost out: the line that tells it is not written yet.
  CASE WHEN entry = 'request' AND estimate_total IS NOT NULL THEN total - coalesce(cost_logs, 0) END AS estimated_final,
  init_ms > 0 AS is_cold,
  attempts > 1 AS is_retried
FROM ledger
