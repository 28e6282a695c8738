"""The FOCUS mapping as text: Trino understands it, and every cost component of the ledger is in it."""

from dataclasses import fields
from datetime import UTC, datetime

import sqlglot
from sqlglot import exp

from weir.ledger.metering import CHARGES
from weir.ledger.table import COMPONENTS, MONEY
from weir.pricing.cost import Components
from weir.reports import focus
from weir.reports.queries import Filters

FILTERS = Filters(
    start=datetime(2026, 11, 1, tzinfo=UTC),
    end=datetime(2026, 12, 1, tzinfo=UTC),
    outcome="ok",
    model="gpt-4o-mini",
    tenant="acme",
    tags=("feature=search",),
)
# What the statement calls, all of it in Trino's reference: https://trino.io/docs/current/functions.html
TRINO = {
    "abs", "cardinality", "case", "cast", "ceil", "coalesce", "contains", "date_trunc", "element_at", "greatest",
    "json_format", "least", "length", "map", "regexp_replace", "round", "split_part", "substr",
}  # fmt: skip
# How sqlglot names some of them, and what it counts as calls though it is grammar.
GRAMMAR = {
    "and", "array", "or", "if", "at_time_zone", "dpipe", "timestamp_trunc", "bracket", "substring", "concat",
    "safe_concat", "map_from_arrays", "var_map", "array_size", "array_contains",
}  # fmt: skip


def statement() -> tuple[str, list[str]]:
    return focus.focus_sql(FILTERS, ["gpt-4o-mini", "it's"], lambda model: f"{model}'s provider")


def test_the_statement_is_trinos_and_calls_only_what_trino_has() -> None:
    sql, _ = statement()
    parsed = sqlglot.parse_one(sql, read="trino")
    called = {
        call.sql_name().lower() for call in parsed.find_all(exp.Func) if not isinstance(call, exp.Anonymous)
    }
    called |= {call.name.lower() for call in parsed.find_all(exp.Anonymous)}
    assert called <= TRINO | GRAMMAR, f"expected calls that Trino has, got {sorted(called - TRINO - GRAMMAR)}"


def test_every_branch_has_the_same_columns_and_as_many_parameters_as_question_marks() -> None:
    sql, values = statement()
    branches = sql.rpartition("\n)\n")[2].split("\nUNION ALL\n")
    assert len(branches) == len(focus.LINES)
    names = {
        tuple(column.alias for column in sqlglot.parse_one(branch, read="trino").selects)
        for branch in branches
    }
    assert len(names) == 1
    assert len(list(sqlglot.parse_one(sql, read="trino").find_all(exp.Placeholder))) == len(values)


def test_every_component_of_a_cost_is_a_kind_of_line_once() -> None:
    components = sorted(line.component for line in focus.LINES if line.charge is None)
    assert components == sorted(column.name for column in fields(Components))
    # What the ledger itself cost is one component, and a kind of line for each of its charges.
    own = [line for line in focus.LINES if line.charge is not None]
    assert [line.charge for line in own] == list(CHARGES)
    assert {line.component for line in own} == {"metering"}
    assert sorted(f"cost_{name}" for name in [*components, "metering"]) == sorted(COMPONENTS)


def test_money_stays_decimal_where_it_is_not_a_unit_price() -> None:
    branch = sqlglot.parse_one(statement()[0].split("\nUNION ALL\n")[1], read="trino")
    columns = {column.alias: column for column in branch.selects}
    for name in ("BilledCost", "EffectiveCost", "ContractedCost"):
        assert columns[name].this.sql() == "cost"
    assert f"AS {MONEY}".upper().replace(" ", "") in columns["ListUnitPrice"].sql("trino").upper().replace(
        " ", ""
    )
