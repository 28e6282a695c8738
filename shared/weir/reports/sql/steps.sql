-- How many requests lie in each step of the roll-ups' histograms, by hour or day: percentiles are made of them.
-- DuckDB's own SQL: only DuckDB reads roll-ups.
WITH unfolded AS (
  SELECT bucket, 'ttft_ms' AS measure, unnest(map_keys(ttft_ms_histogram)) AS step, unnest(map_values(ttft_ms_histogram)) AS requests
  FROM requested
  UNION ALL
  SELECT bucket, 'duration_ms', unnest(map_keys(duration_ms_histogram)), unnest(map_values(duration_ms_histogram))
  FROM requested
  UNION ALL
  SELECT bucket, 'total', unnest(map_keys(total_histogram)), unnest(map_values(total_histogram))
  FROM requested
  UNION ALL
  SELECT bucket, 'off_percent', unnest(map_keys(off_percent_histogram)), unnest(map_values(off_percent_histogram))
  FROM requested
  WHERE NOT is_lower_bound
)
SELECT bucket, measure, step, sum(requests) AS requests
FROM unfolded
GROUP BY bucket, measure, step
