-- What is booked beside requests: corrections, and what the ledger itself cost, by charge.
SELECT
  sum({charged}) AS {charged},
  sum(CASE WHEN {charged} <> 0 THEN entries ELSE 0 END) AS of_{component},
  entry,
  day
FROM requested
WHERE NOT is_request
GROUP BY entry, day
