-- Tokens of requests alone, by what their price goes by: day, model, tier, and how much input each had (`step` counts the
-- given sizes that it is beyond). Requests that have none of a kind stand apart from those that have some, so that each
-- line counts its own; so do those whose counts contradict each other.
SELECT
  day,
  model_known,
  service_tier,
  step,
  is_consistent,
  sum({counted}) AS {counted},
  sum({charged}) AS {charged},
  sum(requests) AS requests
FROM (
  SELECT
    *,
    CASE
      WHEN coalesce(input_tokens, 0) <= CAST(:size AS bigint) THEN CAST(:below AS bigint)
      ELSE CAST(:sizes AS bigint)
    END AS step
  FROM requested
  WHERE is_request
) AS stepped
GROUP BY
  {counted} <> 0,
  {charged} <> 0,
  day,
  model_known,
  service_tier,
  step,
  is_consistent
