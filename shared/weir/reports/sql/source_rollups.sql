-- Roll-ups as requested.sql reads them: rows that are alike in a quarter of an hour, as one with their sums and counts.
SELECT *, quarter_utc AS at_utc, rows AS entries, strftime(quarter_utc, '%Y-%m-%d') AS dt
FROM rollup
