-- Rows as requested.sql reads them: each is one entry, and one request unless it is a correction or the ledger's own cost.
SELECT
  *,
  1 AS entries,
  CASE WHEN entry = 'request' THEN 1 ELSE 0 END AS requests,
  CASE WHEN entry = 'request' AND saved_tokens > 0 THEN 1 ELSE 0 END AS rows_saved,
  CASE WHEN entry = 'request' AND estimate_total IS NOT NULL THEN 1 ELSE 0 END AS rows_estimated,
  -- What callers are told leaves the log's own cost out: the line that tells it is not written yet.
  CASE WHEN entry = 'request' AND estimate_total IS NOT NULL THEN total - coalesce(cost_logs, 0) END AS estimated_final,
  -- What AWS charges by: the first 6 MB of a response are free; each 10 MB that one begins is a request of API Gateway's
  CASE WHEN streamed_bytes > 6291456 THEN streamed_bytes - 6291456 END AS beyond_bytes,
  CASE WHEN front = 'rest_api' AND streamed_bytes IS NOT NULL THEN greatest(CAST(ceil(CAST(streamed_bytes AS double) / 10485760) AS bigint), 1) END AS gateway_requests,
  -- What is left of tokens where their parts are charged for by themselves, and whether counts are free of contradictions and
  -- no part is more than the whole: what contradicts itself was not priced
  input_tokens - coalesce(cached_input_tokens, 0) - coalesce(cache_write_tokens, 0) - coalesce(audio_input_tokens, 0) AS fresh_tokens,
  cache_write_tokens - coalesce(cache_write_5m_tokens, 0) - coalesce(cache_write_30m_tokens, 0) - coalesce(cache_write_1h_tokens, 0) - coalesce(cache_write_12h_tokens, 0) AS unnamed_tokens,
  output_tokens - coalesce(audio_output_tokens, 0) AS text_tokens,
  output_tokens - coalesce(audio_output_tokens, 0) - coalesce(reasoning_tokens, 0) AS told_tokens,
  NOT contains(unpriced, 'usage_inconsistent') AND least(
    coalesce(input_tokens, 0) - coalesce(cached_input_tokens, 0) - coalesce(cache_write_tokens, 0) - coalesce(audio_input_tokens, 0),
    coalesce(cache_write_tokens, 0) - coalesce(cache_write_5m_tokens, 0) - coalesce(cache_write_30m_tokens, 0) - coalesce(cache_write_1h_tokens, 0) - coalesce(cache_write_12h_tokens, 0),
    coalesce(output_tokens, 0) - coalesce(audio_output_tokens, 0) - coalesce(reasoning_tokens, 0),
    coalesce(cached_input_tokens, 0),
    coalesce(cache_write_tokens, 0),
    coalesce(cache_write_5m_tokens, 0),
    coalesce(cache_write_30m_tokens, 0),
    coalesce(cache_write_1h_tokens, 0),
    coalesce(cache_write_12h_tokens, 0),
    coalesce(audio_input_tokens, 0),
    coalesce(audio_output_tokens, 0),
    coalesce(reasoning_tokens, 0)
  ) >= 0 AS is_consistent,
  init_ms > 0 AS is_cold,
  attempts > 1 AS is_retried
FROM ledger
