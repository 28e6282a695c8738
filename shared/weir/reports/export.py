"""A range of the ledger as a file for somebody else's program, with what is needed to trust it later.

Every file has a sidecar, `<file>.json`: filter, time zone, price-book versions, completeness, how many rows and their
exact total, and the file's SHA-256. Parquet holds the same in its key-values, a workbook in Summary and Assumptions.

- `csv` and `xlsx`: the ledger's table, with each row's time and day in the reader's time zone beside UTC.
- `parquet`: the ledger's table as it is.
- `focus`, `focus-csv`: one line a charge, in FOCUS 1.2 (core/ledger/focus.py).

Correction rows are rows, so a range's sum is what its report says, in any time zone.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any, Self
from zoneinfo import ZoneInfo

import duckdb

from weir.errors import CallerError
from weir.ledger import compact
from weir.ledger.duck import duck_errors, open_ledger
from weir.ledger.facts import format_timestamp
from weir.ledger.store import Store
from weir.ledger.table import COLUMNS, COMPONENTS, MONEY, PHASES
from weir.pricing.money import plain
from weir.pricing.price_book import PriceBook
from weir.reports import focus, xlsx
from weir.reports.export_files import Progress, digest, write_csv, write_parquet
from weir.reports.list_prices import Charged, Ratio, ratios
from weir.reports.params import EXPORT_FORMATS, ExportFormat
from weir.reports.parquet_cache import RowFiles
from weir.reports.queries import BREAKDOWNS, Filters, requested
from weir.reports.statements import selection

XLSX_MAX_ROWS = 2_000_000  # two sheets; cell by cell, more would not end in Lambda's 15 minutes
# A row's XML lies on disk twice before it is packed; a generous estimate.
_XLSX_ROW_BYTES = 8_000
_BATCH = 5_000

ASSUMPTIONS = (
    ("Currency", "USD. Amounts are decimal, rounded once per component, half-even, to 15 places."),
    (
        "Unknown",
        "An empty cell is unknown, and never 0. Where `unpriced` has reasons, the total is a lower bound.",
    ),
    (
        "Prices",
        "List prices of the price book, or the contract's where one is set; first tier, no free tier, no plan.",
    ),
    (
        "Not a bill",
        "Tiers, free tiers, savings plans and taxes belong to an account's month, not to a request.",
    ),
    ("Tokens", "Input includes the cached tokens, output the reasoning tokens, as the provider counts them."),
    ("Phases", "They split the Lambda duration's charge, and are in it: do not add them to the components."),
    (
        "Corrections",
        "Rows with entry `correction` came after their month was closed: differences, part of every sum.",
    ),
    (
        "Metering",
        "Rows with entry `metering` are what the ledger itself cost: its functions, requests of S3, log, Firehose and "
        "Athena. Lines of the requests' own log are in `logs`.",
    ),
)
_XLSX_ASSUMPTIONS = (
    (
        "Precision",
        "Excel holds 15 significant digits. The exact amounts are in the CSV and the Parquet export.",
    ),
    ("Long text", f"Excel ends a cell at {32_767:,} characters; a text that was cut ends in an ellipsis."),
)
_FOCUS_ASSUMPTIONS = (
    ("Costs", "BilledCost, EffectiveCost and ContractedCost are one amount, the ledger's."),
    (
        "List costs",
        "By today's list, where a contract's price holds today; else the ledger's amount.",
    ),
    ("Unit prices", "Cost by quantity, rounded to the places of a price list; null in corrections."),
    (
        "Lines",
        "A charge that is unknown has no line: `x_Unpriced` says what the lines of its request leave out.",
    ),
    ("Accounts", "The AWS account is the function's. The account at a model's provider is not recorded."),
)


class ExportError(CallerError, ValueError):
    """An export that cannot be made as asked; the message is meant for whoever asked."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export; `time_zone` is an IANA name. Raises ExportError."""

    format: ExportFormat
    filters: Filters
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.format not in EXPORT_FORMATS:
            raise ExportError(f"format: expected one of {', '.join(EXPORT_FORMATS)}, got {self.format!r}")
        start, end = self.filters.start, self.filters.end
        if start >= end:
            raise ExportError(
                f"from, to: expected from before to, got {start.isoformat()} and {end.isoformat()}"
            )
        try:
            ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise ExportError(f"time_zone: expected an IANA name, got {self.time_zone!r}") from error

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read a job's event: `format`, `from`, `to` (ISO instants), `time_zone`, and filters. Raises ExportError."""
        texts = {
            name: _text(event, name) for name in ("outcome", "model", "served_model", "tenant", "function")
        }
        tags = event.get("tags") or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise ExportError(f"tags: expected a list of name=value, got {tags!r}")
        filters = Filters(start=_instant(event, "from"), end=_instant(event, "to"), tags=tuple(tags), **texts)
        return cls(event.get("format", ""), filters, _text(event, "time_zone") or "UTC")

    @property
    def name(self) -> str:
        """The file's name: what it is and which range it holds, in the reader's days."""
        zone = ZoneInfo(self.time_zone)
        first, last = (
            at.astimezone(zone).strftime("%Y%m%dT%H%M%S").removesuffix("T000000")
            for at in (self.filters.start, self.filters.end)
        )
        kind = "focus-1.2" if self.format.startswith("focus") else "ledger"
        suffix = {"focus": "parquet", "focus-csv": "csv"}.get(self.format, self.format)
        return f"{kind}_{first}_{last}.{suffix}"

    def as_json(self) -> dict[str, Any]:
        """The filter, as the sidecar has it."""
        filters = self.filters
        return {
            "from": format_timestamp(filters.start),
            "to": format_timestamp(filters.end),
            "time_zone": self.time_zone,
            **{
                name: getattr(filters, name)
                for name in ("outcome", "model", "served_model", "tenant", "function")
            },
            "tags": list(filters.tags),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportContext:
    """What the rows do not say: the price book of today, when this is, and how complete the range is.

    `as_of` is when the oldest of the files was made (None: now); `completeness` is any JSON object; `provider_of` names
    who provides a model, by the name that answered, or None; `list_ratios` what the list asks beside a contract.
    """

    price_book_version: str
    generated_at: datetime
    as_of: datetime | None = None
    completeness: Mapping[str, Any] | None = None
    provider_of: Callable[[str], str | None] = lambda model: None
    list_ratios: Callable[[Iterable[Charged]], Iterable[Ratio]] = lambda charged: ()


@dataclass(frozen=True, slots=True)
class _Totals:
    """What a range holds, summed exactly; a sum is None where no row knows the amount."""

    rows: int
    corrections: int
    unpriced_rows: int
    total: Decimal
    amounts: dict[str, Decimal | None]
    versions: list[str]
    without_charge: int  # rows of which no component is known, or all are 0


def export_range(
    store: Store,
    book: PriceBook,
    rows: RowFiles,
    request: ExportRequest,
    folder: Path,
    now: datetime,
    on_progress: compact.Progress = compact.no_progress,
) -> list[Path]:
    """Write what `request` asks of a ledger into `folder`, with how complete it is; returns as `export` does.

    Raises StoreError, and what `export` raises.
    """
    opened = rows.files(*request.filters.days, on_progress)
    counted = store.completeness(*request.filters.days)
    context = ExportContext(
        price_book_version=book.version,
        generated_at=now,
        as_of=opened.as_of,
        completeness={
            "unreadable_objects": len(opened.unreadable),
            "unreadable_names": opened.unreadable,
            "hours": {str(day): found for day, found in counted.items()},
        },
        provider_of=book.provider,
        list_ratios=lambda charged: ratios(charged, book, PriceBook.load()),
    )
    return export(
        opened.files,
        request,
        folder,
        context,
        lambda done, of: on_progress(f"write {request.format}", done, of),
    )


def export(
    files: Sequence[Path],
    request: ExportRequest,
    folder: Path,
    context: ExportContext,
    on_progress: Progress | None = None,
) -> list[Path]:
    """Write the rows of `files` that `request` asks for into `folder`; returns the file and its sidecar.

    `on_progress(done, of)` is called now and then with rows. A range without rows makes a file with headings only.

    Raises ExportError (a workbook too large), DuckError, OSError.
    """
    report = on_progress or (lambda done, of: None)
    path = folder / request.name
    with (
        TemporaryDirectory(dir=folder) as spill,
        duck_errors(),
        open_ledger(
            files,
            writes=[folder],
            spill=Path(spill),
            # Lines of FOCUS have no order of their own, and keeping one takes time and memory. (CSV without one is out
            # of memory at a single row, in DuckDB 2.0.0.)
            in_order=request.format != "focus",
        ) as connection,
    ):
        totals = _totals(connection, request.filters)
        about = _about(request, context, totals)
        lines = _write(connection, path, request, context, totals, about, report)
    sidecar = path.with_name(path.name + ".json")
    described = {
        **about,
        "file": {"name": path.name, "rows": lines, "bytes": path.stat().st_size, "sha256": digest(path)},
    }
    sidecar.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    return [path, sidecar]


def _write(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    request: ExportRequest,
    context: ExportContext,
    totals: _Totals,
    about: Mapping[str, Any],
    on_progress: Progress,
) -> int:
    """Write the file, and return how many rows it has."""
    if request.format == "xlsx":
        _write_xlsx(connection, path, request, totals, about, on_progress)
        return totals.rows
    if request.format.startswith("focus"):
        charged = [
            Charged(*found) for found in connection.execute(*focus.charged_sql(request.filters)).fetchall()
        ]
        connection.execute(focus.LIST_RATIO)
        for ratio in context.list_ratios(charged):
            row = (ratio.component, *astuple(ratio.of), ratio.value)
            connection.execute(f"INSERT INTO list_ratio VALUES ({', '.join('?' * len(row))})", row)
        models = {one.model for one in charged if one.model is not None}
        sql, values = focus.focus_sql(request.filters, models, context.provider_of)
        if request.format == "focus-csv":
            return write_csv(connection, path, sql, values, totals.rows, on_progress)
        return write_parquet(connection, path, sql, values, _key_values(about), totals.rows, on_progress)
    if request.format == "csv":
        sql, values = _ledger_sql(request.filters, request.time_zone)
        return write_csv(connection, path, sql, values, totals.rows, on_progress)
    names = ", ".join(column.name for column in COLUMNS)
    sql, values = selection(f"SELECT {names} FROM requested", requested(request.filters))
    return write_parquet(connection, path, sql, values, _key_values(about), totals.rows, on_progress)


def _totals(connection: duckdb.DuckDBPyConnection, filters: Filters) -> _Totals:
    amounts = (*COMPONENTS, *PHASES)
    charged = " + ".join(f"CASE WHEN {name} <> 0 THEN 1 ELSE 0 END" for name in COMPONENTS)
    sql, values = selection(
        "SELECT count(*), count(*) FILTER (WHERE entry = 'correction'), "
        "count(*) FILTER (WHERE is_lower_bound), coalesce(sum(total), 0), "
        "array_agg(DISTINCT price_book_version), "
        f"count(*) FILTER (WHERE {charged} = 0), {', '.join(f'sum({name})' for name in amounts)} FROM requested",
        requested(filters),
    )
    found = connection.execute(sql, values).fetchall()[0]
    rows, corrections, unpriced, total, versions, without, *sums = found
    return _Totals(
        rows=rows,
        corrections=corrections,
        unpriced_rows=unpriced,
        total=Decimal(total),
        amounts=dict(zip(amounts, sums, strict=True)),
        versions=sorted(version for version in versions or () if version is not None),
        without_charge=without,
    )


def _about(request: ExportRequest, context: ExportContext, totals: _Totals) -> dict[str, Any]:
    """What the sidecar says but the file itself."""
    extra = {"xlsx": _XLSX_ASSUMPTIONS, "focus": _FOCUS_ASSUMPTIONS, "focus-csv": _FOCUS_ASSUMPTIONS}
    return {
        "format": request.format,
        "filter": request.as_json(),
        "generated_at": format_timestamp(context.generated_at.astimezone(UTC)),
        "as_of": None if context.as_of is None else format_timestamp(context.as_of.astimezone(UTC)),
        "currency": "USD",
        "total": plain(totals.total),
        "ledger_rows": totals.rows,
        "correction_rows": totals.corrections,
        "unpriced_rows": totals.unpriced_rows,
        "rows_without_charge": totals.without_charge,
        "price_book": {"version": context.price_book_version, "versions_in_rows": totals.versions},
        "completeness": None if context.completeness is None else dict(context.completeness),
        "assumptions": dict((*ASSUMPTIONS, *extra.get(request.format, ()))),
    }


def _key_values(about: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"weir.{name}": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in about.items()
    }


def _ledger_sql(filters: Filters, time_zone: str) -> tuple[str, list[str]]:
    """The table with each row's time and day in the reader's zone, after UTC's."""
    selected = []
    for column in COLUMNS:
        selected.append(column.name)
        if column.name == "at_utc":
            selected += ["at_local", "CAST(at_local AS date) AS day_local"]
    # By the report's clock, not by the engine's own time zones, which are of another edition.
    values = requested(filters, ZoneInfo(time_zone))
    return selection(f"SELECT {', '.join(selected)} FROM requested", values)


# ---- The workbook ----------------------------------------------------------------------------------------------------


def _write_xlsx(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    request: ExportRequest,
    totals: _Totals,
    about: Mapping[str, Any],
    on_progress: Progress,
) -> None:
    most = min(XLSX_MAX_ROWS, disk_usage(path.parent).free // _XLSX_ROW_BYTES)
    if totals.rows > most:
        raise ExportError(
            f"xlsx: expected at most {most:,} rows here, got {totals.rows:,}: "
            "ask for csv or parquet, or for a shorter range"
        )
    sql, values = _ledger_sql(request.filters, request.time_zone)
    summary = [*_about_lines(request, about), *_breakdowns(connection, request.filters, totals)]
    columns, selected = _xlsx_columns(connection, sql, values)
    rows = _rows(connection.execute(f"SELECT {selected} FROM ({sql})", values), totals.rows, on_progress)
    assumptions = [["Assumptions"], *map(list, about["assumptions"].items())]
    xlsx.write_workbook(path, summary, columns, rows, assumptions)


def _xlsx_columns(
    connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[str]
) -> tuple[list[xlsx.Column], str]:
    """Columns of Detail, and how they are selected: Excel knows doubles and text alone."""
    money = {column.name for column in COLUMNS if column.type == MONEY}
    selected = []
    described = connection.execute(f"DESCRIBE {sql}", values).fetchall()
    for name, kind, *_ in described:
        if name in money:
            selected.append(f"CAST({name} AS double)")
        elif kind.startswith("MAP") or kind.endswith("[]"):
            selected.append(f"json_format(CAST({name} AS json))")
        else:
            selected.append(name)
    return [xlsx.Column(name, name in money) for name, *_ in described], ", ".join(selected)


def _rows(cursor: duckdb.DuckDBPyConnection, total: int, on_progress: Progress) -> Iterator[tuple[Any, ...]]:
    done = 0
    on_progress(0, total)
    while batch := cursor.fetchmany(_BATCH):
        yield from batch
        done += len(batch)
        on_progress(done, total)


def _about_lines(request: ExportRequest, about: Mapping[str, Any]) -> Iterator[list[Any]]:
    """What the workbook is, in words, its range by the reader's clock."""
    zone = ZoneInfo(request.time_zone)
    start, end = (
        f"{at.astimezone(zone):%Y-%m-%d %H:%M} {request.time_zone}"
        for at in (request.filters.start, request.filters.end)
    )
    filters = {
        "Outcome": request.filters.outcome,
        "Model": request.filters.model,
        "Served model": request.filters.served_model,
        "Tenant": request.filters.tenant,
        "Function": request.filters.function,
        "Tags": ", ".join(request.filters.tags),
    }
    book = about["price_book"]
    yield ["Export of the ledger"]
    yield ["From", start]
    yield ["To, not included", end]
    yield from ([name, value] for name, value in filters.items() if value)
    yield ["Made at, UTC", about["generated_at"]]
    yield ["Rows as of, UTC", about["as_of"]]
    yield ["Currency", about["currency"]]
    yield ["Rows", about["ledger_rows"]]
    yield ["of them corrections", about["correction_rows"]]
    yield ["of them not priced in full", about["unpriced_rows"]]
    yield ["Price book today", book["version"]]
    yield ["Price books of the rows", ", ".join(book["versions_in_rows"])]
    yield from _completeness_lines(about["completeness"])


def _completeness_lines(completeness: Mapping[str, Any] | None) -> Iterator[list[Any]]:
    if completeness is None:
        yield ["Completeness", "not known"]
        return
    hours = [hour for day in completeness["hours"].values() for hour in day.get("hours", {}).values()]
    missing = sum(max(0, hour["reports_in_log"] - hour["reports_stored"]) for hour in hours)
    yield ["Hours counted against the log", len(hours)]
    yield ["Reports missing in them", missing if hours else None]
    yield ["Objects that cannot be read", completeness["unreadable_objects"]]


def _breakdowns(
    connection: duckdb.DuckDBPyConnection, filters: Filters, totals: _Totals
) -> Iterator[list[Any]]:
    yield ["Totals, USD; at least so much" if totals.unpriced_rows else "Totals, USD"]
    yield ["", "Amount", "Exact"]
    yield ["Total", totals.total, plain(totals.total)]
    for name, amount in totals.amounts.items():
        yield [_words(name), amount, None if amount is None else plain(amount)]
    for dimension in BREAKDOWNS:
        yield [f"By {dimension}"]
        yield [dimension.capitalize(), "Amount", "Exact", "Requests", "At least"]
        sql, values = selection(
            f"SELECT {dimension}_name, sum(total), count(*) FILTER (WHERE is_request), "
            "count(*) FILTER (WHERE is_lower_bound) FROM requested "
            "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50",
            requested(filters),
        )
        found = connection.execute(sql, values).fetchall()
        for group, amount, requests, lower_bounds in found:
            yield [group, amount, plain(amount), requests, "yes" if lower_bounds else None]


def _words(name: str) -> str:
    """`cost_lambda_duration` as a reader's word for it, `Charge: Lambda duration`."""
    kind, _, rest = name.partition("_")
    text = rest.replace("_", " ").replace("api gateway", "API Gateway")
    return f"{'Charge' if kind == 'cost' else 'Of the duration'}: {text[:1].upper()}{text[1:]}"


def _text(event: Mapping[str, Any], name: str) -> str | None:
    value = event.get(name)
    if value is not None and not isinstance(value, str):
        raise ExportError(f"{name}: expected text, got {value!r}")
    return value


def _instant(event: Mapping[str, Any], name: str) -> datetime:
    value = _text(event, name)
    try:
        found = datetime.fromisoformat(value or "")
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ExportError(f"{name}: expected an ISO 8601 instant with its zone, got {value!r}")
    return found
