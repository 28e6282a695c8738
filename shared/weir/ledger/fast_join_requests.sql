-- Facts become one line a request that has a record on the day: what SQL reads of them, and the shapes that tell
-- whether it may. Bodies are taken apart here and not kept.
CREATE TEMP TABLE requests AS
WITH grouped AS (
    SELECT
        request_id,
        any_value(hash) AS hash,
        count(*) AS records,
        count(bytes) AS sized_records,
        sum(bytes) AS log_bytes,
        count(*) FILTER (kind = 'platform.start') AS starts,
        count(*) FILTER (kind = 'platform.runtimeDone') AS runtime_dones,
        count(*) FILTER (kind = 'platform.report') AS reports,
        count(*) FILTER (kind = 'request.started') AS starteds,
        count(*) FILTER (kind = 'request.progress') AS checkpoints,
        count(*) FILTER (kind = 'request.completed') AS completions,
        max("at") FILTER (kind = 'platform.report') AS at_utc,
        any_value(body) FILTER (kind = 'platform.report' AND is_near) AS report_line,
        any_value(body) FILTER (kind = 'request.started' AND is_near) AS started_line,
        any_value(body) FILTER (kind = 'request.progress' AND is_near) AS progress_line,
        any_value(body) FILTER (kind = 'request.completed' AND is_near) AS completed_line
    -- Of the hours around the day most requests are others'; one that has a record far from its day is not plain.
    FROM (
        SELECT
            *,
            "at" BETWEEN getvariable('day') - INTERVAL 1 HOUR AND getvariable('day') + INTERVAL 25 HOUR AS is_near
        FROM facts
    )
    GROUP BY request_id
    HAVING bool_or("at" >= getvariable('day') AND "at" < getvariable('day') + INTERVAL 1 DAY)
),

-- A plain request was started once, completed once and billed once, on this day: then its row is that of these records.
lines AS (
    SELECT
        * EXCLUDE (report_line, started_line, progress_line, completed_line),
        reports = 1 AND completions = 1 AND starteds = 1 AND starts <= 1 AND runtime_dones <= 1 AND checkpoints <= 1
        AND starts + runtime_dones + reports + starteds + checkpoints + completions = records
        AND sized_records = records AND CAST(at_utc AS DATE) = getvariable('day') AS is_usual,
        CASE WHEN is_usual THEN report_line END AS report_line,
        CASE WHEN is_usual THEN started_line END AS started_line,
        CASE WHEN is_usual THEN progress_line END AS progress_line,
        CASE WHEN is_usual THEN completed_line END AS completed_line
    FROM grouped
)

SELECT
    * EXCLUDE (report_line, started_line, progress_line, completed_line),
    -- A line that DuckDB's JSON refuses has no shape.
    to_json(TRY(json_type(report_line, getvariable('report_paths'))))
    || to_json(TRY(json_keys(report_line, getvariable('report_objects')))) AS report_shape,
    to_json(TRY(json_type(started_line, getvariable('earlier_paths'))))
    || to_json(TRY(json_keys(started_line, getvariable('earlier_objects')))) AS started_shape,
    to_json(TRY(json_type(progress_line, getvariable('earlier_paths'))))
    || to_json(TRY(json_keys(progress_line, getvariable('earlier_objects')))) AS progress_shape,
    to_json(TRY(json_type(completed_line, getvariable('completed_paths'))))
    || to_json(TRY(json_keys(completed_line, getvariable('completed_objects')))) AS completed_shape,
    TRY(json_transform(report_line, getvariable('report_structure'))).record AS report,
    TRY(json_transform(started_line, getvariable('earlier_structure'))).fact AS started,
    TRY(json_transform(progress_line, getvariable('earlier_structure'))).fact AS progress,
    TRY(json_transform(completed_line, getvariable('completed_structure'))).fact AS completed
FROM lines
