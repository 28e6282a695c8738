"""What changed between two states of the same days: differences that are rows themselves, so that sums stay right.

A closed month is never edited. What its days would be now, less what is booked (the snapshot and the corrections until
now), becomes rows with entry `correction`: quantities and money are differences, and what they are grouped by is kept
apart, so a request whose outcome or instant is another now takes back under the old one and books under the new. The
text is DuckDB's SQL; it is never sent to Athena.
"""

from collections.abc import Iterable
from datetime import date, datetime

from weir.ledger.table import COLUMNS

# Of requests: what the ledger itself cost is corrected by nothing.
_SUMMED = [column for column in COLUMNS if column.role == "quantity" and column.name != "cost_metering"]
_AMOUNTS = tuple(column.name for column in _SUMMED if column.unit == "USD")
_MILLISECONDS = tuple(column.name for column in _SUMMED if column.type == "double")
_COUNTS = tuple(column.name for column in _SUMMED if column.type == "bigint")
# Said of a row as it is now, and no reason to keep two apart.
_TOLD = tuple(column.name for column in COLUMNS if column.role == "state")
_KEPT_APART = tuple(column.name for column in COLUMNS if column.role == "dimension")
# Of one request, and no quantity: a correction has none.
_OF_ONE = {column.name: column.type for column in COLUMNS if column.role == "measure"}
_QUANTITIES = (*_COUNTS, *_MILLISECONDS, "gb_s")


def corrections_sql(
    fresh: str, booked: str, month: str, days: Iterable[date], found_at: datetime, *, prices: bool
) -> str:
    """The correction rows of `days` of a closed month, found at `found_at` (UTC).

    `fresh` and `booked` name the rows as they are now and those of the snapshot and its corrections. A request
    counts as changed where a quantity differs or what it is kept apart by; with `prices`, where money alone does.
    """
    listed = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(days))
    at = found_at.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
    compared = (*_QUANTITIES, *_AMOUNTS) if prices else _QUANTITIES
    changed = " OR ".join(f"COALESCE({_difference(name)}, 0) <> 0" for name in compared)
    own = {
        "request_id": "request_id",
        "entry": "'correction'",
        "corrects": f"'{month}'",
        "corrects_at": "corrects_at",
        "at_utc": f"TIMESTAMP '{at}'",
        "day": f"DATE '{found_at.date().isoformat()}'",
    }
    selected = []
    for column in COLUMNS:
        if column.name in own:
            value = own[column.name]
        elif column.name in _OF_ONE:
            value = f"CAST(NULL AS {_OF_ONE[column.name].upper()})"
        elif column.name in _KEPT_APART:
            value = f'"{column.name}"'
        elif column.name in _TOLD:
            value = _now_or_then(column.name)
        else:
            kind = {"bigint": "BIGINT", "double": "DOUBLE"}.get(column.type, column.type.upper())
            value = f"CAST({_difference(column.name)} AS {kind})"
        selected.append(f'{value} AS "{column.name}"')
    apart = ", ".join(f'"{name}"' for name in _KEPT_APART)
    return (
        f"SELECT {', '.join(selected)} FROM ("
        f" SELECT 1 AS side, * REPLACE (at_utc AS corrects_at) FROM {fresh} UNION ALL BY NAME"
        f" SELECT -1 AS side, * REPLACE (COALESCE(corrects_at, at_utc) AS corrects_at) FROM {booked}"
        f") WHERE CAST(corrects_at AS DATE) IN ({listed})"
        f" GROUP BY request_id, corrects_at, {apart} HAVING {changed}"
        f" ORDER BY request_id, corrects_at, {apart}"
    )


def differences_sql(fresh: str, booked: str, day: date) -> str:
    """Per model, the money booked on `day` and that of the rows as they are now, of requests whose facts are the same.

    Columns: model, requests, those whose money differs, then for each of `amounts()` the sum booked and the sum now.
    """
    names = amounts()
    totals = ", ".join(f"SUM({name}) AS {name}" for name in names)
    sums = ", ".join(f"SUM(old.{name}), SUM(new.{name})" for name in names)
    # Corrections added nothing to what was unknown on both sides: then either may say null or 0.
    differs = " OR ".join(f"COALESCE(old.{name}, 0) <> COALESCE(new.{name}, 0)" for name in names)
    return (
        f"WITH old AS (SELECT request_id, SUM(records) AS records, {totals} FROM {booked}"
        f" WHERE CAST(COALESCE(corrects_at, at_utc) AS DATE) = DATE '{day.isoformat()}' GROUP BY request_id)"
        " SELECT COALESCE(new.model_returned, new.model, 'unknown') AS priced_model, COUNT(*),"
        f" COUNT(*) FILTER (WHERE {differs}), {sums}"
        f" FROM old JOIN {fresh} AS new ON old.request_id = new.request_id AND old.records = new.records"
        " GROUP BY priced_model ORDER BY priced_model"
    )


def amounts() -> tuple[str, ...]:
    """The money that a price book decides, the total last."""
    return (*(name for name in _AMOUNTS if name.startswith("cost_")), "total")


def shard_condition(shard: int, shards: int) -> str:
    """Which rows are of the requests of one shard; fact_files.py says what a shard is."""
    if shards == 1:
        return "true"
    first, end = (number * 2**64 // shards for number in (shard, shard + 1))
    return f"CAST('0x' || substr(sha256(request_id), 1, 16) AS UBIGINT) BETWEEN {first} AND {end - 1}"


def summed() -> tuple[str, ...]:
    """What a closed month states the sum of."""
    return (*_AMOUNTS, *_COUNTS)


def _difference(name: str) -> str:
    # By way of Decimal: differences of binary floats never add up to what they came from.
    value = f'CAST("{name}" AS DECIMAL(38, 6))' if name in _MILLISECONDS else f'"{name}"'
    return f"SUM(CASE WHEN side = 1 THEN {value} ELSE -{value} END)"


def _now_or_then(name: str) -> str:
    return f'COALESCE(MAX("{name}") FILTER (WHERE side = 1), MAX("{name}") FILTER (WHERE side = -1))'
