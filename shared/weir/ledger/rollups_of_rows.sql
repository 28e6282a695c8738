-- Rows that are alike in everything that a report splits by, as one: sums that lose no digit, and counts.
SELECT
    -- The finest at which an hour or a day of any time zone begins.
    time_bucket(INTERVAL 15 MINUTE, at_utc) AS quarter_utc,
    {dimensions},
    init_ms > 0 AS is_cold,
    attempts > 1 AS is_retried,
    phase_waiting IS NOT NULL AS is_split,
    entry = 'correction' AND total < 0 AS is_taken_back,
    count(*) AS rows,
    count(*) FILTER (entry = 'request') AS requests,
    count(estimate_total) FILTER (entry = 'request') AS rows_estimated,
    count(*) FILTER (entry = 'request' AND saved_tokens > 0) AS rows_saved,
    {sums},
    -- What the estimates are held against: the log's own cost came after them.
    CAST(
        sum(total - coalesce(cost_logs, 0)) FILTER (entry = 'request' AND estimate_total IS NOT NULL) AS DECIMAL(38, 15)
    ) AS estimated_final,
    max(total) FILTER (entry = 'request') AS total_max,
    -- By way of a list, which takes a fifth of the time that the aggregate of that name does.
    list_histogram(list(step_of(ttft_ms)) FILTER (entry = 'request' AND ttft_ms IS NOT NULL)) AS ttft_ms_histogram,
    list_histogram(list(step_of(duration_ms)) FILTER (entry = 'request' AND duration_ms IS NOT NULL)) AS duration_ms_histogram,
    list_histogram(list(step_of(total)) FILTER (entry = 'request' AND total IS NOT NULL)) AS total_histogram,
    list_histogram(list(step_of(off_percent)) FILTER (entry = 'request' AND off_percent IS NOT NULL)) AS off_percent_histogram
FROM (
    SELECT
        * REPLACE (kept(tags) AS tags),
        100 * abs(CAST(estimate_total - (total - coalesce(cost_logs, 0)) AS DOUBLE))
        / nullif(CAST(total - coalesce(cost_logs, 0) AS DOUBLE), 0) AS off_percent
    FROM source
)
GROUP BY ALL
ORDER BY ALL
