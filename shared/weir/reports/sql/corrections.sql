-- Corrections that were found in the range, and those that were found later for its requests; the dearest first.
SELECT
  request_id,
  corrects,
  corrects_at,
  at_utc,
  outcome,
  price_book_version,
  total,
  is_lower_bound,
  at_utc >= CAST(:range_end AS timestamp(3)) AS is_later
FROM requested
WHERE entry = 'correction'
  AND (at_utc < CAST(:range_end AS timestamp(3))
    OR corrects_at >= CAST(:range_start AS timestamp(3)) AND corrects_at < CAST(:range_end AS timestamp(3)))
ORDER BY abs(total) DESC, request_id, at_utc, total
LIMIT {limit}
