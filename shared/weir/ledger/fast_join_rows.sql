-- The rows of the plain requests that have prices: the columns of the table by their names. Counts that are not here are
-- those of usage that a plain request does not have.
CREATE TEMP TABLE plain_rows AS
-- In steps, each of columns of the one before: a name that is used beside where it is made stands for the whole
-- expression again, and of a small day most of the time goes into the plan.
WITH rated AS (
    SELECT
        p.*,
        m.is_priced,
        m.no_token_price,
        m.reasoning IS NULL AS is_all_output,
        f.reasoning IS NULL AS is_all_first_output,
        rate_at(m.input, usage.input_tokens) AS rate_input,
        rate_at(m.cached_input, usage.input_tokens) AS rate_cached_input,
        rate_at(m.output, usage.input_tokens) AS rate_output,
        rate_at(m.reasoning, usage.input_tokens) AS rate_reasoning,
        rate_at(f.input, first_usage.input_tokens) AS rate_first_input,
        rate_at(f.cached_input, first_usage.input_tokens) AS rate_first_cached_input,
        rate_at(f.output, first_usage.input_tokens) AS rate_first_output,
        rate_at(f.reasoning, first_usage.input_tokens) AS rate_first_reasoning,
        charge(CAST(billed_ms AS HUGEINT) * memory_mb, r.duration) AS u_duration,
        charge(1, r.request) AS u_request,
        -- The first 6 MB of a response are free, and the first 512 MB of a disk.
        charge(greatest(p.streamed_bytes - 6291456, 0), r.streamed_bytes) AS u_streamed,
        charge(CAST(billed_ms AS HUGEINT) * greatest(ephemeral_storage_mb - 512, 0), r.ephemeral_storage) AS u_storage,
        -- Each 10 MB that a response begins is a request.
        CASE
            WHEN front = 'rest_api'
                THEN charge(greatest((p.streamed_bytes + 10485759) // 10485760, 1), r.api_gateway_request)
            ELSE 0
        END AS u_api_gateway,
        charge(log_bytes, r.logs_ingestion) AS u_logs,
        -- The time that is shared out, in thousandths of a millisecond.
        CAST(billed_ms AS HUGEINT) * 1000 AS t_billed,
        thousandths(init_ms) AS t_init,
        thousandths(wait_ms) AS t_waiting,
        thousandths(stream_ms) AS t_streaming,
        thousandths(validate_ms) AS t_validating
    FROM plain AS p
    JOIN places AS r USING (region, architecture)
    JOIN models AS m ON m.sold = p.sold
    LEFT JOIN models AS f ON f.sold = p.first_sold
    -- A second attempt whose prices are not all known has reasons beside the first one's.
    WHERE attempts = 1
    OR (m.is_priced AND f.is_priced)
),

charged AS (
    SELECT
        *,
        token_charge(fresh_tokens(usage), rate_input) AS u_last_input,
        token_charge(usage.cached_input_tokens, rate_cached_input) AS u_last_cached_input,
        output_charge(usage, rate_output, rate_reasoning, is_all_output) AS u_last_output,
        token_charge(fresh_tokens(first_usage), rate_first_input) AS u_first_input,
        token_charge(first_usage.cached_input_tokens, rate_first_cached_input) AS u_first_cached_input,
        output_charge(first_usage, rate_first_output, rate_first_reasoning, is_all_first_output) AS u_first_output,
        -- What a stop spared is told of the first attempt.
        token_charge(saved_tokens, CASE WHEN attempts = 1 THEN rate_output ELSE rate_first_output END) AS u_saved,
        least(t_init, t_billed) AS t_cold_start,
        coalesce(t_waiting, 0) + coalesce(t_streaming, 0) + coalesce(t_validating, 0) AS t_warm
    FROM rated
),

added AS (
    SELECT
        *,
        u_last_input + if_second(u_first_input, attempts) AS u_input,
        u_last_cached_input + if_second(u_first_cached_input, attempts) AS u_cached_input,
        u_last_output + if_second(u_first_output, attempts) AS u_output,
        -- The last attempt is a retry where there are two.
        if_second(u_last_input + u_last_cached_input + u_last_output, attempts) AS u_retry,
        t_warm > t_billed - t_cold_start AS is_over
    FROM charged
),

-- Phases that add up to more than was billed are cut: the cold start keeps its time, the others shrink alike.
shared_out AS (
    SELECT
        *,
        CASE WHEN is_over THEN t_cold_start * t_warm ELSE t_cold_start END AS s_cold_start,
        CASE WHEN is_over THEN 0 ELSE t_billed - t_cold_start - t_warm END AS s_rest,
        CASE WHEN is_over THEN t_streaming * (t_billed - t_cold_start) ELSE t_streaming END AS s_streaming,
        CASE WHEN is_over THEN t_validating * (t_billed - t_cold_start) ELSE t_validating END AS s_validating,
        CASE WHEN is_over THEN t_waiting * (t_billed - t_cold_start) ELSE t_waiting END AS s_waiting,
        CASE WHEN is_over THEN t_warm * t_billed ELSE t_billed END AS s_all
    FROM added
),

-- A phase that is not known has no part and no remainder.
parts AS (
    SELECT
        *,
        u_duration * s_cold_start // s_all AS p_cold_start,
        u_duration * s_rest // s_all AS p_rest,
        u_duration * s_streaming // s_all AS p_streaming,
        u_duration * s_validating // s_all AS p_validating,
        u_duration * s_waiting // s_all AS p_waiting,
        u_duration * s_cold_start % s_all AS r_cold_start,
        u_duration * s_rest % s_all AS r_rest,
        coalesce(u_duration * s_streaming % s_all, -1) AS r_streaming,
        coalesce(u_duration * s_validating % s_all, -1) AS r_validating,
        coalesce(u_duration * s_waiting % s_all, -1) AS r_waiting
    FROM shared_out
),

-- How many remainders go before a phase's own: larger ones, and equal ones of an earlier name.
ranked AS (
    SELECT
        *,
        u_duration - p_cold_start - p_rest
        - coalesce(p_streaming, 0) - coalesce(p_validating, 0) - coalesce(p_waiting, 0) AS left_over,
        one_if(r_rest > r_cold_start) + one_if(r_streaming > r_cold_start)
        + one_if(r_validating > r_cold_start) + one_if(r_waiting > r_cold_start) AS before_cold_start,
        one_if(r_cold_start >= r_rest) + one_if(r_streaming > r_rest)
        + one_if(r_validating > r_rest) + one_if(r_waiting > r_rest) AS before_rest,
        one_if(r_cold_start >= r_streaming) + one_if(r_rest >= r_streaming)
        + one_if(r_validating > r_streaming) + one_if(r_waiting > r_streaming) AS before_streaming,
        one_if(r_cold_start >= r_validating) + one_if(r_rest >= r_validating)
        + one_if(r_streaming >= r_validating) + one_if(r_waiting > r_validating) AS before_validating,
        one_if(r_cold_start >= r_waiting) + one_if(r_rest >= r_waiting)
        + one_if(r_streaming >= r_waiting) + one_if(r_validating >= r_waiting) AS before_waiting
    FROM parts
)

SELECT
    request_id,
    'request' AS entry,
    CAST(NULL AS VARCHAR) AS corrects,
    CAST(NULL AS TIMESTAMP) AS corrects_at,
    at_utc,
    getvariable('day') AS day,
    'complete' AS join_status,
    CASE WHEN list_contains(getvariable('outcomes'), outcome) THEN outcome END AS outcome,
    http_status,
    report_status,
    function,
    function_arn,
    region,
    architecture,
    memory_mb,
    max_memory_mb,
    initialization_type,
    front,
    model,
    model_returned,
    schema_name,
    tenant,
    map_from_entries(list_sort(map_entries(CAST(tags AS MAP(VARCHAR, VARCHAR))))) AS tags,
    billed_ms,
    1 AS billed_invocations,
    usd(CAST(billed_ms AS HUGEINT) * memory_mb * 976562500) AS gb_s,
    init_ms,
    duration_ms,
    wait_ms,
    stream_ms,
    validate_ms,
    ttft_ms,
    streamed_bytes,
    log_bytes,
    attempts,
    usage.input_tokens + if_second(first_usage.input_tokens, attempts) AS input_tokens,
    usage.cached_input_tokens + if_second(first_usage.cached_input_tokens, attempts) AS cached_input_tokens,
    usage.output_tokens + if_second(first_usage.output_tokens, attempts) AS output_tokens,
    usage.reasoning_tokens + if_second(first_usage.reasoning_tokens, attempts) AS reasoning_tokens,
    CASE
        WHEN attempts = 1 OR is_nothing_bought(first_usage) THEN usage.source
        WHEN is_nothing_bought(usage) THEN first_usage.source
        WHEN 'none' IN (usage.source, first_usage.source) THEN 'none'
        WHEN 'estimated' IN (usage.source, first_usage.source) THEN 'estimated'
        ELSE 'provider'
    END AS usage_source,
    CASE
        WHEN attempts = 1 OR is_nothing_bought(first_usage) THEN is_complete(usage)
        WHEN is_nothing_bought(usage) THEN is_complete(first_usage)
        ELSE is_complete(usage) AND is_complete(first_usage)
    END AS usage_complete,
    CASE
        WHEN attempts = 1 OR is_nothing_bought(first_usage) OR usage.service_tier = first_usage.service_tier
            THEN usage.service_tier
        WHEN is_nothing_bought(usage) THEN first_usage.service_tier
    END AS service_tier,
    violations,
    validated_values,
    saved_tokens,
    usd(u_duration) AS cost_lambda_duration,
    usd(u_request) AS cost_lambda_request,
    usd(u_streamed) AS cost_lambda_streamed_bytes,
    usd(u_storage) AS cost_lambda_ephemeral_storage,
    usd(0) AS cost_lambda_restore,
    usd(u_api_gateway) AS cost_api_gateway,
    usd(u_logs) AS cost_logs,
    usd(u_input) AS cost_input_tokens,
    usd(u_cached_input) AS cost_cached_input_tokens,
    -- Who counts the tokens, and none of these, sold none.
    CASE WHEN usage.input_tokens IS NOT NULL THEN usd(0) END AS cost_cache_write_tokens,
    CASE WHEN usage.input_tokens IS NOT NULL THEN usd(0) END AS cost_audio_input_tokens,
    usd(u_output) AS cost_output_tokens,
    CASE WHEN usage.output_tokens IS NOT NULL THEN usd(0) END AS cost_audio_output_tokens,
    CAST(NULL AS DECIMAL(38, 15)) AS cost_metering,
    usd(p_cold_start + one_if(before_cold_start < left_over)) AS phase_cold_start,
    usd(p_waiting + one_if(before_waiting < left_over)) AS phase_waiting,
    usd(p_streaming + one_if(before_streaming < left_over)) AS phase_streaming,
    usd(p_validating + one_if(before_validating < left_over)) AS phase_validating,
    usd(p_rest + one_if(before_rest < left_over)) AS phase_rest,
    usd(
        u_duration + u_request + u_streamed + u_storage + u_api_gateway + u_logs
        + coalesce(u_input, 0) + coalesce(u_cached_input, 0) + coalesce(u_output, 0)
    ) AS total,
    CAST(estimate_total AS DECIMAL(38, 15)) AS estimate_total,
    usd(u_saved) AS saved_total,
    -- What was given again has no attempt, and is not plain.
    CAST(NULL AS VARCHAR) AS answered_from,
    lease,
    usd(u_retry) AS retry_total,
    coalesce('estimated' IN (usage.source, first_usage.source), false) AS is_estimate,
    getvariable('price_book_version') AS price_book_version,
    -- In the order in which the price is made, each reason once; two attempts have no other reason than the first.
    CASE
        WHEN usage_complete AND is_priced AND usage.input_tokens + usage.output_tokens IS NOT NULL
            THEN CAST([] AS VARCHAR[])
        ELSE list_filter(
            [
                CASE WHEN NOT usage_complete THEN 'usage_lower_bound' END,
                CASE WHEN usage.input_tokens IS NULL THEN 'input_tokens_unknown' END,
                CASE WHEN usage.output_tokens IS NULL THEN 'output_tokens_unknown' END,
                CASE
                    WHEN (usage.input_tokens IS NOT NULL AND u_input IS NULL)
                        OR (usage.cached_input_tokens IS NOT NULL AND u_cached_input IS NULL)
                        OR (usage.output_tokens IS NOT NULL AND u_output IS NULL)
                        THEN no_token_price
                END
            ],
            lambda reason: reason IS NOT NULL
        )
    END AS unpriced,
    CAST([] AS VARCHAR[]) AS anomalies,
    records
FROM ranked
