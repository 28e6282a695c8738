-- Tokens of requests alone, by what their price goes by: day, model, tier, and how much input each had (`step` counts the
-- given sizes that it is beyond).
SELECT
  day,
  model_known,
  service_tier,
  CASE
    WHEN coalesce(input_tokens, 0) <= CAST(:size AS bigint) THEN CAST(:below AS bigint)
    ELSE CAST(:sizes AS bigint)
  END AS step,
  coalesce(cached_input_tokens, 0) > 0 AS is_cached,
  input_tokens IS NOT NULL AND output_tokens IS NOT NULL AS is_counted,
  contains(unpriced, 'usage_inconsistent') AS is_contradictory,
  cost_input_tokens IS NOT NULL AND cost_output_tokens IS NOT NULL AS is_priced,
  -- Where one attempt has no price, or none in its tier, what the others cost is booked
  json_format(CAST(unpriced AS json)) LIKE '%"no_price:tokens:%'
    OR json_format(CAST(unpriced AS json)) LIKE '%"no_price:tier:%' AS is_priced_in_part,
  sum({counted}) AS {counted},
  sum({charged}) AS {charged},
  sum(requests) FILTER (WHERE is_retried) AS retried,
  sum(requests) AS requests
FROM requested
WHERE is_request
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
