-- The price books that made the rows of a range.
SELECT price_book_version, sum(entries) AS entries
FROM requested
WHERE price_book_version IS NOT NULL
GROUP BY 1
ORDER BY 1
