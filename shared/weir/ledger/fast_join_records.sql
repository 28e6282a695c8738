-- The facts of one slice of the requests that are not plain. For each record of a request of which the application said
-- nothing, they are joined by the first fact of its log stream within hours, which tells where the request ran.
WITH own AS (
    SELECT f.*, o.is_silent
    FROM facts AS f
    JOIN others AS o USING (request_id)
    WHERE o.slice = getvariable('slice')
    AND f.hash BETWEEN getvariable('low') AND getvariable('high')
),

near AS (
    SELECT f.*
    FROM all_facts AS f
    JOIN own ON own.is_silent
        AND f.log_group = own.log_group
        AND f.log_stream = own.log_stream
        AND f."at" BETWEEN own."at" - getvariable('environment_life') AND own."at" + getvariable('environment_life')
    WHERE f.kind IN ('request.started', 'request.progress')
    QUALIFY rank() OVER (PARTITION BY f.log_group, f.log_stream, own."at" ORDER BY f."at", f.event_id) = 1
)

SELECT event_id, epoch_ms("at"), log_group, log_stream, region, bytes, body FROM own
UNION
SELECT event_id, epoch_ms("at"), log_group, log_stream, region, bytes, body FROM near
