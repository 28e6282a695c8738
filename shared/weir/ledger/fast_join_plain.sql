-- The plain requests, flat: every shape is one that SQL reads exactly, and every quantity is within the bounds for which
-- the arithmetic in whole numbers fits 38 digits.
CREATE TEMP TABLE plain AS
WITH shaped AS (
    SELECT *
    FROM requests
    WHERE is_usual
    AND completed_shape IN (SELECT shape FROM plain_shapes WHERE kind = 'completed')
    AND report_shape IN (SELECT shape FROM plain_shapes WHERE kind = 'report')
    AND started_shape IN (SELECT shape FROM plain_shapes WHERE kind = 'started')
    AND (checkpoints = 0 OR progress_shape IN (SELECT shape FROM plain_shapes WHERE kind = 'progress'))
),

flat AS (
    SELECT
        request_id,
        at_utc,
        records,
        CAST(log_bytes AS BIGINT) AS log_bytes,
        report.status AS report_status,
        report.metrics.billedDurationMs AS billed_ms,
        report.metrics.memorySizeMB AS memory_mb,
        -- More than a terabyte, or nothing, is no size.
        CASE WHEN report.metrics.maxMemoryUsedMB BETWEEN 1 AND 1000000 THEN report.metrics.maxMemoryUsedMB END AS max_memory_mb,
        report.metrics.durationMs AS duration_ms,
        -- Added to 0, as a sum over reports begins: there is no -0.0.
        coalesce(report.metrics.initDurationMs, 0) + 0 AS init_ms,
        coalesce(function_of(completed), function_of(progress), function_of(started)) AS function,
        coalesce(completed.function_arn, progress.function_arn, started.function_arn) AS function_arn,
        coalesce(region_of(completed), region_of(progress), region_of(started)) AS region,
        coalesce(completed.architecture, progress.architecture, started.architecture) AS architecture,
        coalesce(completed.initialization_type, progress.initialization_type, started.initialization_type) AS initialization_type,
        coalesce(completed.front, progress.front, started.front) AS front,
        completed.model AS model,
        completed.model_returned AS model_returned,
        coalesce(completed.schema, progress.schema, started.schema) AS schema_name,
        coalesce(completed.tenant, progress.tenant, started.tenant) AS tenant,
        coalesce(completed.lease, progress.lease, started.lease) AS lease,
        coalesce(completed.tags, progress.tags, started.tags) AS tags,
        completed.outcome AS outcome,
        completed.http_status AS http_status,
        coalesce(completed.ephemeral_storage_mb, progress.ephemeral_storage_mb, started.ephemeral_storage_mb) AS ephemeral_storage_mb,
        completed.streamed_bytes AS streamed_bytes,
        completed.violations AS violations,
        completed.validated_values AS validated_values,
        completed.timing.wait_ms AS wait_ms,
        completed.timing.stream_ms AS stream_ms,
        completed.timing.validate_ms AS validate_ms,
        completed.timing.ttft_ms AS ttft_ms,
        len(completed.attempts) AS attempts,
        -- The last attempt is the one that answered; the first is another one where there are two.
        completed.attempts[-1].usage AS usage,
        CASE WHEN attempts = 2 THEN completed.attempts[1].usage END AS first_usage,
        -- What prices go by: the model that answered, who sold it, and in which tier.
        {
            'model': coalesce(nullif(completed.model_returned, ''), completed.model),
            'seller': coalesce(nullif(completed.attempts[-1].seller, ''), completed.seller),
            'tier': completed.attempts[-1].usage.service_tier
        } AS sold,
        CASE
            WHEN attempts = 2
                THEN {
                    'model': coalesce(
                        nullif(completed.attempts[1].model_returned, ''),
                        nullif(completed.attempts[1].model, ''),
                        completed.model
                    ),
                    'seller': coalesce(nullif(completed.attempts[1].seller, ''), completed.seller),
                    'tier': completed.attempts[1].usage.service_tier
                }
        END AS first_sold,
        completed.saved.output_tokens AS saved_tokens,
        completed.cost.total AS estimate_total
    FROM shaped
)

SELECT *
FROM flat
WHERE billed_ms BETWEEN 1 AND 10000000
AND memory_mb BETWEEN 1 AND 100000
AND ephemeral_storage_mb BETWEEN 0 AND 100000
AND streamed_bytes BETWEEN 0 AND 1000000000000
AND log_bytes <= 1000000000000
AND at_most(http_status, 1000000)
AND at_most(violations, 1000000000)
AND at_most(validated_values, 1000000000)
AND at_most(duration_ms, 1000000000)
AND at_most(ttft_ms, 1000000000)
AND is_in_thousandths(init_ms)
AND is_in_thousandths(wait_ms)
AND is_in_thousandths(stream_ms)
AND is_in_thousandths(validate_ms)
-- They are priced in ways of their own.
AND initialization_type NOT IN ('lambda-managed-instances', 'provisioned-concurrency', 'snap-start')
AND front IN ('function_url', 'rest_api', 'direct')
AND region <> ''
AND function IS NOT NULL
AND architecture IS NOT NULL
AND at_most(saved_tokens, 100000000)
AND is_consistent(usage)
-- Of two attempts everything is counted: then no reason that one of them gives has to be told from the other's.
AND (attempts = 1 OR (is_consistent(first_usage) AND is_counted(usage) AND is_counted(first_usage)))
AND regexp_full_match(coalesce(estimate_total, '0'), '[0-9]{1,12}(\.[0-9]{1,15})?')
-- Tags are text under names that differ.
AND list_unique(json_keys(tags)) = len(json_keys(tags))
AND list_distinct(json_type(tags, '$.*')) IN (CAST([] AS VARCHAR[]), ['VARCHAR'])
