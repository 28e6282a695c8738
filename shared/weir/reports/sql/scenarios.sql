-- What scenarios are computed from: quantities and money of the requests that are billed alike on a day.
--
-- Money has the corrections in it. A scenario changes requests as they were booked: its quantities leave corrections out.
-- Times are in whole milliseconds, as Lambda bills them.
SELECT
  day,
  function_name,
  region,
  architecture,
  memory_mb,
  initialization_type,
  sum(requests) AS requests,
  sum(total) AS total,
  sum(CASE WHEN is_lower_bound THEN entries ELSE 0 END) AS lower_bounds,
  sum({charged}) AS {charged},
  sum(billed_ms) FILTER (WHERE is_request) AS billed_ms,
  sum(requests) FILTER (WHERE billed_ms IS NULL) AS unbilled,

  -- No request waits less than nothing, or is billed for less than that
  sum(least(CAST(:sooner_ms AS bigint), CAST(floor(wait_ms) AS bigint), billed_ms)) FILTER (WHERE is_request AND wait_ms > 0 AND billed_ms IS NOT NULL) AS sooner_ms,
  sum(requests) FILTER (WHERE wait_ms > 0 AND billed_ms IS NOT NULL) AS waited,
  sum(requests) FILTER (WHERE wait_ms IS NULL AND billed_ms IS NOT NULL) AS wait_unknown,

  -- What a start was billed for: all but the duration
  sum(greatest(billed_ms - CAST(ceil(duration_ms) AS bigint), 0)) FILTER (WHERE is_request AND is_cold) AS cold_ms,
  sum(requests) FILTER (WHERE is_cold) AS cold_starts,
  sum(requests) FILTER (WHERE billed_ms IS NOT NULL AND (is_cold IS NULL OR is_cold AND duration_ms IS NULL)) AS cold_unknown,
  sum(CAST(ceil(duration_ms) AS bigint)) FILTER (WHERE is_request) AS duration_ms,
  sum(requests) FILTER (WHERE billed_ms IS NOT NULL AND duration_ms IS NULL) AS duration_unknown,

  -- What a stop at a violation spared, at the pace of the tokens that came; what was given again was not stopped
  sum(saved_total) FILTER (WHERE is_request AND saved_tokens > 0 AND answered_from IS NULL) AS saved_total,
  sum(CAST(ceil(saved_tokens * stream_ms / nullif(output_tokens, 0)) AS bigint)) FILTER (WHERE is_request AND saved_tokens > 0 AND answered_from IS NULL AND output_tokens > 0 AND saved_total IS NOT NULL) AS saved_ms,
  sum(requests) FILTER (WHERE saved_tokens > 0 AND answered_from IS NULL AND saved_total IS NOT NULL) AS stopped,
  sum(requests) FILTER (WHERE saved_tokens > 0 AND answered_from IS NULL AND saved_total IS NULL) AS stopped_unknown,

  -- Attempts after the first: their tokens, and an equal share of the time for each
  sum(retry_total) FILTER (WHERE is_request AND is_retried) AS retry_total,
  sum(CAST(floor((coalesce(wait_ms, 0) + coalesce(stream_ms, 0)) * (attempts - 1) / nullif(attempts, 0)) AS bigint)) FILTER (WHERE is_request AND is_retried AND retry_total IS NOT NULL) AS retry_ms,
  sum(requests) FILTER (WHERE is_retried AND retry_total IS NOT NULL) AS retried,
  sum(requests) FILTER (WHERE is_retried AND retry_total IS NULL) AS retried_unknown,

  max(max_memory_mb) AS peak_mb,
  sum(requests) FILTER (WHERE max_memory_mb IS NOT NULL) AS peak_known
FROM requested
GROUP BY 1, 2, 3, 4, 5, 6
