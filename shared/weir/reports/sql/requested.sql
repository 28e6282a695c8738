-- The rows that a reader asks for: of a range, as the filters let them through, with the time on the reader's clock and
-- the names by which rows are grouped. Every other statement reads FROM requested. `source` is that of source_rows.sql
-- or of source_rollups.sql, which have the same columns as far as sums need them.
--
-- :name is a value that the reader chose, {name} a column of the table. A line whose value or column is not given is
-- left out; one that is given several stands once for each.
SELECT
  *,
  -- A day is one of the reader's calendar; an hour is told by its instant in UTC, as a clock may repeat it.
  CASE :unit WHEN 'day' THEN date_trunc('day', at_utc + shift) ELSE date_trunc('hour', at_utc + shift) - shift END AS bucket,
  at_utc + shift AS at_local
FROM (
  SELECT
    *,
    CASE
      WHEN at_utc < CAST(:until AS timestamp(3)) THEN CAST(:shift_s AS bigint) * INTERVAL '1' SECOND
    END AS shift,
    coalesce(own, outcome, 'unknown') AS outcome_name,
    -- Parentheses are ours: a name that begins with one, or with a backslash, gets a backslash in front.
    coalesce(own, CASE WHEN model_known LIKE '(%' OR model_known LIKE '\%' THEN '\' || model_known ELSE model_known END, '(unknown)') AS model_name,
    coalesce(own, CASE WHEN tenant_known LIKE '(%' OR tenant_known LIKE '\%' THEN '\' || tenant_known ELSE tenant_known END, '(unknown)') AS tenant_name,
    coalesce(CASE WHEN function LIKE '(%' OR function LIKE '\%' THEN '\' || function ELSE function END, '(unknown)') AS function_name,
    -- No character of a tag is a parenthesis or a backslash.
    coalesce(own, element_at(tags, 'feature'), '(no tag)') AS feature_name,
    coalesce(element_at(tags, :tag), own, '(no tag)') AS tag_name,
    entry = 'request' AS is_request,
    -- What a correction takes back may have been one, too; what it books anew says whether it still is.
    element_at(unpriced, 1) IS NOT NULL AND (entry <> 'correction' OR total >= 0) AS is_lower_bound
  FROM (
    SELECT
      *,
      coalesce(model_returned, model) AS model_known,
      tenant AS tenant_known,
      -- What the ledger itself cost is of no outcome, model or tenant.
      CASE WHEN entry = 'metering' THEN '(metering)' END AS own
    FROM source
    WHERE dt BETWEEN :first_day AND :last_day
      AND at_utc >= CAST(:start AS timestamp(3))
      AND at_utc < CAST(:end AS timestamp(3))
      AND request_id = :request_id
      AND element_at(tags, :tag_named) = :tag_value
      AND element_at(tags, :tag_of_any_value) IS NOT NULL
  ) AS within
) AS named
WHERE true
  AND outcome_name = :outcome
  AND (model_name = :model OR substr(:model, 1, 1) NOT IN ('(', '\') AND :model IN (model, model_returned))
  AND model_name = :served_model
  AND tenant_name = :tenant
  AND function_name = :function
