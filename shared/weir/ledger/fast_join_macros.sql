-- The arithmetic of money and phases in whole numbers, as pricing does it in decimals.
-- Amounts are units of 1e-15 dollars; a rate is the exact ratio n / d of units for one of a quantity.

-- The quotient of whole numbers from 0 on, rounded half-even.
CREATE OR REPLACE TEMP MACRO half_even(n, d) AS
    n // d + CASE WHEN 2 * (n % d) > d OR (2 * (n % d) = d AND (n // d) % 2 = 1) THEN 1 ELSE 0 END;

CREATE OR REPLACE TEMP MACRO charge(quantity, rate) AS half_even(CAST(quantity AS HUGEINT) * rate.n, rate.d);

-- Past a tier's end, which still belongs to it, every token costs what the next tier's do.
CREATE OR REPLACE TEMP MACRO rate_at(rates, input_tokens) AS
    CASE WHEN coalesce(input_tokens, 0) > rates.up_to THEN rates.beyond ELSE rates.first END;

-- None bought costs nothing, whether or not there is a rate.
CREATE OR REPLACE TEMP MACRO token_charge(bought, rate) AS CASE WHEN bought = 0 THEN 0 ELSE charge(bought, rate) END;

-- Reasoning is part of the output, and has a price of its own with some models.
CREATE OR REPLACE TEMP MACRO output_charge(usage, output, reasoning, is_all_output) AS
    CASE
        WHEN is_all_output THEN token_charge(usage.output_tokens, output)
        ELSE token_charge(usage.output_tokens - coalesce(usage.reasoning_tokens, 0), output)
            + token_charge(
                CASE WHEN usage.output_tokens IS NULL THEN 0 ELSE coalesce(usage.reasoning_tokens, 0) END, reasoning
            )
    END;

CREATE OR REPLACE TEMP MACRO usd(units) AS
    CAST(CAST(units AS DECIMAL(23, 0)) * CAST(0.000000000000001 AS DECIMAL(15, 15)) AS DECIMAL(38, 15));

CREATE OR REPLACE TEMP MACRO at_most(number, most) AS coalesce(number, 0) <= most;

-- Milliseconds with at most three decimals, which are whole thousandths.
CREATE OR REPLACE TEMP MACRO thousandths(ms) AS CAST(round(ms * 1000) AS HUGEINT);
CREATE OR REPLACE TEMP MACRO is_in_thousandths(ms) AS ms IS NULL OR (ms <= 10000000 AND round(ms * 1000) / 1000 = ms);

-- How a split hands out the units that are left over: one to each of the largest remainders.
CREATE OR REPLACE TEMP MACRO one_if(condition) AS CASE WHEN condition THEN 1 ELSE 0 END;

CREATE OR REPLACE TEMP MACRO is_complete(usage) AS coalesce(usage.complete, true);

-- Usage that is priced, by a source that is one.
CREATE OR REPLACE TEMP MACRO is_consistent(usage) AS
    usage.source IN ('provider', 'estimated', 'none')
    AND at_most(usage.input_tokens, 100000000)
    AND at_most(usage.output_tokens, 100000000)
    AND at_most(usage.reasoning_tokens, coalesce(usage.output_tokens, 100000000))
    AND at_most(usage.total_tokens, 100000000)
    AND coalesce(usage.cached_input_tokens, 0) <= coalesce(usage.input_tokens, 0)
    -- Of a lower bound the total is not held to be the sum.
    AND (NOT is_complete(usage) OR coalesce(usage.total_tokens = usage.input_tokens + usage.output_tokens, true));

-- What a function's ARN says for a fact.
CREATE OR REPLACE TEMP MACRO in_arn(arn, part) AS
    CASE WHEN len(string_split(arn, ':')) > 6 THEN nullif(split_part(arn, ':', part), '') END;
CREATE OR REPLACE TEMP MACRO function_of(fact) AS coalesce(fact.function, in_arn(fact.function_arn, 7));
CREATE OR REPLACE TEMP MACRO region_of(fact) AS coalesce(fact.region, in_arn(fact.function_arn, 4));

-- A call that the provider never served bought nothing, which nobody had to count.
CREATE OR REPLACE TEMP MACRO is_nothing_bought(usage) AS
    usage.source = 'none' AND usage.input_tokens = 0 AND usage.output_tokens = 0;

-- Usage of which every count is known, so that its part in a sum is told by its counts alone.
CREATE OR REPLACE TEMP MACRO is_counted(usage) AS
    usage.input_tokens + usage.output_tokens + usage.cached_input_tokens + usage.reasoning_tokens
    + usage.total_tokens IS NOT NULL
    AND (usage.reasoning_tokens = 0 OR NOT is_nothing_bought(usage));

CREATE OR REPLACE TEMP MACRO fresh_tokens(usage) AS usage.input_tokens - coalesce(usage.cached_input_tokens, 0);

-- What the first of two attempts adds to the last one's.
CREATE OR REPLACE TEMP MACRO if_second(quantity, attempts) AS CASE WHEN attempts = 1 THEN 0 ELSE quantity END;
