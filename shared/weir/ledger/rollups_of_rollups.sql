-- Roll-ups of parts as the roll-up of the whole: sums of sums, and histograms added up step by step.
WITH parts AS (
    SELECT *, CAST(to_json({{ {named} }}) AS VARCHAR) AS combination
    FROM (SELECT * REPLACE (kept(tags) AS tags) FROM source)
),

entries AS (
    UNPIVOT (SELECT combination, {histograms} FROM parts) ON {histograms} INTO NAME histogram VALUE steps
),

steps AS (
    SELECT combination, histogram, step.key AS key, CAST(sum(step.value) AS BIGINT) AS value
    FROM (SELECT combination, histogram, unnest(map_entries(steps)) AS step FROM entries)
    GROUP BY ALL
),

added AS (
    SELECT combination, histogram, map_from_entries(list({{'key': key, 'value': value}} ORDER BY key)) AS steps
    FROM steps
    GROUP BY ALL
),

sums AS (
    SELECT combination, {any_dimensions}, {sums}
    FROM parts
    GROUP BY combination
)

SELECT {dimensions}, {summed}, {added}
FROM sums
LEFT JOIN (PIVOT added ON histogram IN ({quoted}) USING any_value(steps) GROUP BY combination) USING (combination)
ORDER BY ALL
