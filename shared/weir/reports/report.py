"""What finance reads: a range's report, its rows page by page, and one request.

All of it is asked of the table, in SQL (sql/), of DuckDB or of Athena by the size of what is stored. What an engine
found is kept with the state of the rows that it was found in, so the same question costs nothing until a row changes.
"""

import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from threading import Lock
from typing import Any, Literal
from zoneinfo import ZoneInfo

from weir.ledger import s3_keys
from weir.ledger.compact import Progress
from weir.ledger.duck import key_values
from weir.ledger.facts import format_timestamp
from weir.ledger.rollups import LEFT_OUT
from weir.ledger.store import Store, Stored
from weir.pricing.price_book import PriceBook
from weir.pricing.token_charges import tokens_are_priced
from weir.reports import budget as budgets
from weir.reports import corrections as corrected
from weir.reports import histograms, queries, report_math, row_queries
from weir.reports.athena import AthenaEngine
from weir.reports.cursors import CursorError, cursor_after, position_of
from weir.reports.engine import DuckEngine, Engine, Row
from weir.reports.parquet_cache import Opened, RowFiles
from weir.reports.queries import Filters
from weir.reports.row_queries import Sort
from weir.reports.row_view import row_json, timeline
from weir.reports.statements import Query, Source
from weir.reports.time_buckets import Unit, buckets, local_day, spans

__all__ = ["CursorError", "Filters", "LedgerReader"]

_HOURLY = timedelta(hours=72)  # longer ranges are drawn by day
_ALL_HOURS = timedelta(days=35)  # longer ranges list only the hours that miss something
_KEPT_QUERIES = 128
_QUARTER_S = 15 * 60
_ROLLED_UP_HERE_BYTES = (
    4 * 1024**2
)  # of rows that have no roll-up: more are read as they are, which is quicker once
_MAX_FETCHED = 150  # objects: a look costs no more than 200 requests of S3, listings and counts included
# How far back from today a request is looked for first, and then at a time.
_FIRST_LOOK, _NEXT_LOOKS = timedelta(days=7), timedelta(days=31)
_MEMORY = "2000MB"  # two thirds of finance's (template.yaml): percentiles keep what they are taken of


@dataclass(frozen=True, slots=True)
class _Opened:
    """Who answers for some days, and what is known of the rows there: `state` changes when they do."""

    engine: Engine
    state: str
    as_of: datetime | None
    unreadable: int
    source: Source = "rows"


@dataclass(frozen=True, slots=True)
class _Trust:
    """What is known beside the rows of how complete they are; `counted` is reports in the log by hour."""

    dropped: int
    set_aside: int
    counted: Mapping[str, int]
    counted_until: str | None


class LedgerReader:
    """Answers from one ledger; `budget` is a month's, in USD, and None if there is none.

    Ranges whose stored rows are bigger than `athena_over_bytes` are asked of `athena`, if there is one. Whatever reads
    may raise StoreError, TooBig, AthenaError and AthenaRunning.
    """

    def __init__(
        self,
        store: Store,
        book: PriceBook,
        rows: RowFiles,
        now: Callable[[], datetime],
        *,
        budget: Decimal | None = None,
        athena: AthenaEngine | None = None,
        athena_over_bytes: int = 0,
    ) -> None:
        self._store = store
        self._book = book
        self._rows = rows
        self._now = now
        self._budget = budget
        self._athena = athena
        self._athena_over_bytes = athena_over_bytes
        self._kept: OrderedDict[tuple[str, Query], list[Row]] = OrderedDict()
        self._keeping = Lock()
        # DuckDB uses every processor for one statement, and files in use must not be thrown away for others.
        self._lock = Lock()

    def overview(self, filters: Filters, by: str, zone: ZoneInfo) -> dict[str, Any]:
        """A range's totals and series, which are there before the whole report is.

        Its statements are among the report's, which finds their answers kept.
        """
        unit = _unit_of(filters)
        with self.open_sums(*filters.days, filters, by, None) as opened:
            wanted = _overview_queries(filters, zone, unit, by, opened.source)
            got = self.ask(opened, wanted)
        summed = report_math.add_up(got["sums"])
        drawn = _series(filters, zone, unit, by, got, summed)
        points = [
            {name: value for name, value in point.items() if not name.endswith("_ms")}
            for point in drawn["points"]
        ]
        return {
            "range": range_json(filters, zone),
            "as_of": None if opened.as_of is None else format_timestamp(opened.as_of),
            "engine": opened.engine.name,
            "currency": "USD",
            "totals": report_math.totals(summed, got["reasons"], defaultdict(lambda: None)),
            "unit_economics": report_math.unit_economics(summed),
            "series": {**drawn, "points": points},
        }

    def report(
        self, filters: Filters, by: str, zone: ZoneInfo, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """Totals, series, breakdowns and trust of a range; `by` is component, a breakdown, or tag:NAME."""
        unit = _unit_of(filters)
        first, last = filters.days
        month = None if self._budget is None else self._month(filters.end, zone)
        if month is not None:
            first, last = min(first, month.days[0]), max(last, month.days[1])
        with ThreadPoolExecutor(1) as beside:
            # Listings in S3 take their time, which DuckDB does not need Python for.
            trust = beside.submit(self._trust, filters)
            with self.open_sums(first, last, filters, by, on_progress) as opened:
                got = self.ask(opened, _report_queries(filters, zone, unit, by, month, opened.source))
            months = self._corrected(filters)
        _add_percentiles(got)
        summed = report_math.add_up(got["sums"])
        [overall] = got["overall"]
        return {
            "range": range_json(filters, zone),
            "as_of": None if opened.as_of is None else format_timestamp(opened.as_of),
            "engine": opened.engine.name,
            "currency": "USD",
            "price_book": {
                **self._prices(),
                "versions_in_rows": [row["price_book_version"] for row in got["versions"]],
            },
            "totals": report_math.totals(summed, got["reasons"], overall),
            "unit_economics": report_math.unit_economics(summed),
            "waste": report_math.waste(summed),
            "latency": report_math.latency(summed, overall),
            "series": _series(filters, zone, unit, by, got, summed),
            "breakdowns": report_math.breakdowns(got["names"], summed["total"]),
            "distribution": report_math.distribution(got["costs"], overall),
            "budget": self._spent(filters.end, zone, got["days"]) if "days" in got else None,
            "completeness": _completeness(filters, summed, opened.unreadable, got["hours"], trust.result()),
            "corrections": {
                "rows": summed["corrections"] or 0,
                "total": report_math.amount(summed["total_corrected"] or Decimal(0)),
                "is_lower_bound": bool(summed["lower_bounds_corrected"]),
                "months": months,
            },
        }

    def page(self, filters: Filters, sort: Sort, limit: int, cursor: str | None) -> dict[str, Any]:
        """At most `limit` rows after `cursor`; rows that came since do not shift them. Raises CursorError."""
        after = None if cursor is None else position_of(cursor, sort)
        query = row_queries.page(filters, sort, limit + 1, after)
        with self.open_rows(*filters.days) as opened:
            rows = self.ask(opened, {"rows": query})["rows"]
        return {
            "rows": [row_json(row) for row in rows[:limit]],
            "next_cursor": cursor_after(rows[limit - 1], sort) if len(rows) > limit else None,
            "as_of": None if opened.as_of is None else format_timestamp(opened.as_of),
            "price_book_version": self._book.version,
            "unreadable_objects": opened.unreadable,
        }

    def one(self, request_id: str, days: tuple[date, date] | None = None) -> dict[str, Any] | None:
        """A request with its timeline and all of its corrections, whenever they were found; None if there is none.

        It is looked for on the UTC `days`, both included; without them, from today back to the ledger's first day.
        """
        tomorrow = self._now().date() + timedelta(days=1)
        for first, last in [days] if days else self._back_from(tomorrow):
            rows = self._rows_of(request_id, first, last)
            if rows and rows[0]["entry"] == "correction" and rows[0]["corrects_at"] is not None:
                # A correction lies on the day on which it was found; its request says where it is itself.
                day = rows[0]["corrects_at"].date()
                rows = self._rows_of(request_id, day, day)
            if rows:
                return _request(rows)
        return None

    def cost_of(self, request_id: str) -> Decimal | Literal["unknown"] | None:
        """What a request cost, corrections included; None where there is no row.

        It is `unknown` of one that was killed, and where tokens have no number or no price.
        """
        found = self.one(request_id)
        if found is None:
            return None
        cost = found["row"]["cost"]
        if found["row"]["outcome"] == "killed" or not tokens_are_priced(cost["unpriced"]):
            return "unknown"
        return Decimal(found["corrected_total"] or cost["total"])

    def of_lease(self, lease: str, begun: datetime) -> Decimal | Literal["unknown"] | None:
        """What the requests that drew on a lease cost, from the UTC day of its begin to the next; None without any.

        It is `unknown` where one of them was killed, and where tokens have no number or no price.
        """
        first = begun.astimezone(UTC).date()
        filters = Filters(start=_midnight(first), end=_midnight(first + timedelta(days=2)))
        with self.open_rows(*filters.days, corrections=True) as opened:
            rows = self.ask(opened, {"rows": row_queries.of_lease(filters, lease)})["rows"]
        if not rows:
            return None
        if any(row["killed"] or not tokens_are_priced(json.loads(row["reasons"] or "[]")) for row in rows):
            return "unknown"
        return sum((Decimal(row["total"]) for row in rows), Decimal(0))

    def corrections(self, filters: Filters, limit: int) -> dict[str, Any]:
        """Corrections that were found in a range, or later for its requests: before, difference, after."""
        until = self._until()
        with self.open_rows(*filters.days, corrections=True) as opened:
            got = self.ask(
                opened,
                {
                    "rows": queries.corrections(filters, until, limit + 1),
                    "sums": queries.corrected(filters, until),
                },
            )
        rows = got["rows"][:limit]
        return {
            "corrections": corrected.listed(rows, self._booked(rows, until)),
            "has_more": len(got["rows"]) > limit,
            "months": [_month_corrected(row) for row in got["sums"]],
        }

    def _until(self) -> datetime:
        """After whatever can have been found until now; the same all day, so that the same is asked again."""
        return _midnight(self._now().date() + timedelta(days=2))

    def _rows_of(self, request_id: str, first: date, last: date) -> list[Row]:
        """The request's own row, then its corrections until now in the order in which they were found."""
        found = Filters(start=_midnight(first), end=max(self._until(), _midnight(last + timedelta(days=1))))
        with self.open_rows(first, last, corrections=True) as opened:
            return self.ask(opened, {"rows": row_queries.one(found, request_id)})["rows"]

    def _back_from(self, last: date) -> Iterator[tuple[date, date]]:
        """The last days, whose facts may still arrive; then those that were ever compacted, the newest first."""
        first = last - _FIRST_LOOK
        yield first, last
        older = self._store.row_objects(date.min, first - timedelta(days=1))
        days = sorted({day for entry in older if (day := s3_keys.day_of(entry.key))}, reverse=True)
        while days:
            together = [day for day in days if days[0] - day < _NEXT_LOOKS]
            yield together[-1], together[0]
            days = days[len(together) :]

    def _booked(self, rows: Sequence[Row], until: datetime) -> list[Row]:
        """What is booked of the requests that `rows` correct, their own rows included, month by month."""
        booked: list[Row] = []
        by_month: dict[str, list[Row]] = {}
        for row in rows:
            by_month.setdefault(row["corrects"], []).append(row)
        for of_month in by_month.values():
            days = corrected.days_of(of_month)
            ids = sorted({row["request_id"] for row in of_month})
            wanted = Filters(start=_midnight(days[0]), end=until)
            with self.open_rows(days[0], days[-1], corrections=True) as opened:
                booked += self.ask(opened, {"rows": queries.booked(wanted, ids)})["rows"]
        return booked

    def budget_used_percent(self) -> float | None:
        """What the running month (UTC) has cost until now, in percent of its budget; None without a budget."""
        if self._budget is None:
            return None
        # A range's end is not in it; this instant is.
        zone, end = ZoneInfo("UTC"), self._now() + timedelta(microseconds=1)
        month = self._month(end, zone)
        # Of roll-ups where there are: the rows of a month may be more than a function can hold.
        with self.open_sums(*month.days, month, "component", None) as opened:
            query = queries.spending(month, zone, Unit.DAY, opened.source)
            days = self.ask(opened, {"days": query})["days"]
        return float(self._spent(end, zone, days)["percent"])

    def requests_without_price(self) -> int:
        """Requests of the last day that lack a price; one that lacks two counts twice."""
        now = self._now()
        end = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
        last_day = Filters(start=end - timedelta(days=1), end=end)
        with self.open_sums(*last_day.days, last_day, "component", None) as opened:
            rows = self.ask(opened, {"reasons": queries.reasons(last_day, opened.source)})["reasons"]
        return sum(int(row["requests"]) for row in rows if row["reason"].startswith("no_price:"))

    @contextmanager
    def open_rows(
        self, first: date, last: date, on_progress: Progress | None = None, *, corrections: bool = False
    ) -> Iterator[_Opened]:
        """The engine for the UTC days `first` to `last`, both included; with `corrections`, those found since."""
        stored = self._store.row_objects(first, last)
        if self._athena is not None and self._is_for_athena(stored):
            state = _digest([f"{entry.key} {entry.etag}" for entry in stored])
            as_of = max(entry.modified for entry in stored)
            yield _Opened(self._athena.at(state), state, as_of, 0)
            return
        with self._lock:
            until = self._now().date() + timedelta(days=1) if corrections else None
            found = self._rows.files(first, last, on_progress, corrections_until=until)
            with DuckEngine(found.files, memory=_MEMORY, spill=self._rows.spill) as engine:
                yield _Opened(engine, _state_of(found), found.as_of, len(found.unreadable))

    @contextmanager
    def open_sums(
        self, first: date, last: date, filters: Filters, by: str, on_progress: Progress | None
    ) -> Iterator[_Opened]:
        """The engine for sums over some days: over roll-ups, or over rows where roll-ups cannot tell.

        A roll-up knows a quarter of an hour and no less, and leaves out tags with very many values.
        """
        edges = (filters.start, filters.end)
        rollups = self._store.rollup_objects(first, last)
        written = {entry.key for entry in rollups}
        rows = self._store.row_objects(first, last)
        without = [entry for entry in rows if s3_keys.rollup_key(entry.key) not in written]
        if (
            all(at.timestamp() % _QUARTER_S == 0 for at in edges)
            and sum(entry.size for entry in without) <= _ROLLED_UP_HERE_BYTES
            and not self._is_for_athena([*rollups, *without])
        ):
            with self._lock:
                found = self._rows.rollups(first, last, on_progress, listed=rows, written=rollups)
                left_out = {
                    name for listed in key_values(found.files, LEFT_OUT) for name in json.loads(listed)
                }
                if not left_out & {by.removeprefix("tag:"), *(tag.partition("=")[0] for tag in filters.tags)}:
                    with DuckEngine(
                        found.files, source="rollups", memory=_MEMORY, spill=self._rows.spill
                    ) as engine:
                        state = _state_of(found)
                        yield _Opened(engine, state, found.as_of, len(found.unreadable), "rollups")
                        return
        with self.open_rows(first, last, on_progress) as opened:
            yield opened

    def _corrected(self, filters: Filters) -> list[dict[str, Any]]:
        """What came to closed months: found in the range, or later for its requests. Corrections are few files."""
        with self._lock:
            found = self._rows.corrections(filters.days[0], self._now().date() + timedelta(days=1))
            if not found.files:
                return []
            with DuckEngine(found.files, memory=_MEMORY, spill=self._rows.spill) as engine:
                opened = _Opened(engine, _state_of(found), None, 0)
                rows = self.ask(opened, {"rows": queries.corrected(filters, self._until())})["rows"]
        return [_month_corrected(row) for row in rows]

    def _is_for_athena(self, stored: Sequence[Stored]) -> bool:
        """Whether objects are too many, or too big, to be fetched while somebody waits, and Athena is there."""
        if self._athena is None or self._athena_over_bytes <= 0:
            return False
        return len(stored) > _MAX_FETCHED or sum(entry.size for entry in stored) > self._athena_over_bytes

    def ask(self, opened: _Opened, wanted: Mapping[str, Query]) -> dict[str, list[Row]]:
        """The named rows of each query: of those that are kept, or of the engine."""
        keys = {query: (opened.state, query) for query in wanted.values()}
        with self._keeping:
            rows = {query: self._kept[key] for query, key in keys.items() if key in self._kept}
        if new := [query for query in keys if query not in rows]:
            rows |= zip(new, opened.engine.rows(new), strict=True)
        with self._keeping:
            for query, key in keys.items():
                self._kept[key] = rows[query]
                self._kept.move_to_end(key)
            while len(self._kept) > _KEPT_QUERIES:
                self._kept.popitem(last=False)
        return {name: rows[query] for name, query in wanted.items()}

    def _prices(self) -> dict[str, Any]:
        age = self._book.age(self._now())
        return {
            "version": self._book.version,
            "as_of": age.as_of.isoformat(),
            "age_days": age.days,
            "warning": age.warning,
        }

    def _budget_day(self, end: datetime, zone: ZoneInfo) -> date:
        """A day of the month whose budget is shown: that in which the range ends, or this one if it is yet to come."""
        return min(
            (end - timedelta(microseconds=1)).astimezone(zone).date(), self._now().astimezone(zone).date()
        )

    def _month(self, end: datetime, zone: ZoneInfo) -> Filters:
        """The days whose cost the budget has to know."""
        month = self._budget_day(end, zone).replace(day=1)
        start, until = (
            local_day(datetime(day.year, day.month, day.day, 12, tzinfo=zone), zone)
            for day in (budgets.first_day(month), (month + timedelta(days=32)).replace(day=1))
        )
        return Filters(start=start, end=until)

    def _spent(self, end: datetime, zone: ZoneInfo, days: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        assert self._budget is not None
        daily: dict[date, Decimal] = {day["bucket"].date(): day["total"] for day in days}
        bounds = {day["bucket"].date() for day in days if day["lower_bounds"]}
        today = self._now().astimezone(zone).date()
        return budgets.budget(self._budget, self._budget_day(end, zone), today, daily, bounds).as_json()

    def _trust(self, filters: Filters) -> _Trust:
        first, last = filters.days
        counted = self._store.completeness(first, last)
        return _Trust(
            dropped=self._count_dropped(filters),
            set_aside=self._store.count_poison(),
            counted={
                hour: count["reports_in_log"]
                for day in counted.values()
                for hour, count in day.get("hours", {}).items()
            },
            counted_until=max(
                (str(day["counted_until"]) for day in counted.values() if day.get("counted_until")),
                default=None,
            ),
        )

    def _count_dropped(self, filters: Filters) -> int:
        """How often the platform itself said in the range that it lost log lines."""
        return sum(filters.start <= at < filters.end for at in self._store.dropped(*filters.days))


def range_json(filters: Filters, zone: ZoneInfo) -> dict[str, str]:
    """A range as the reader's clock has it."""
    return {
        "from": filters.start.astimezone(zone).isoformat(),
        "to": filters.end.astimezone(zone).isoformat(),
        "time_zone": zone.key,
    }


def _unit_of(filters: Filters) -> Unit:
    return Unit.HOUR if filters.end - filters.start <= _HOURLY else Unit.DAY


def _series(
    filters: Filters,
    zone: ZoneInfo,
    unit: Unit,
    by: str,
    got: Mapping[str, list[Row]],
    summed: Mapping[str, Any],
) -> dict[str, Any]:
    within = spans(filters.start, filters.end, zone)
    starts = buckets(filters.start, filters.end, zone, unit, within)
    groups = got.get("groups")
    names, points = report_math.points(starts, got["sums"], groups)
    return {
        "bucket": unit.value,
        "by": by,
        "groups": names,
        "totals": [] if groups is None else report_math.group_totals(groups, summed["total"], names),
        "points": points,
    }


def _completeness(
    filters: Filters,
    summed: Mapping[str, Any],
    unreadable: int,
    booked: Sequence[Mapping[str, Any]],
    trust: _Trust,
) -> dict[str, Any]:
    statuses = ("complete", "bill_only", "usage_only", "started_only", "rows_with_anomalies")
    return {
        **{name: summed[name] or 0 for name in statuses},
        "logs_dropped": trust.dropped,
        "set_aside": trust.set_aside,
        "unreadable_objects": unreadable,
        "hours": report_math.hours(
            filters, booked, trust.counted, all_of_them=filters.end - filters.start <= _ALL_HOURS
        ),
        "counted_until": trust.counted_until,
    }


def _overview_queries(
    filters: Filters, zone: ZoneInfo, unit: Unit, by: str, source: Source
) -> dict[str, Query]:
    """What the totals and the series are made of."""
    wanted = {
        "sums": queries.sums(filters, zone, unit, source),
        "reasons": queries.reasons(filters, source),
    }
    if by != "component":
        wanted["groups"] = queries.series(filters, zone, unit, by, source)
    return wanted


def _report_queries(
    filters: Filters, zone: ZoneInfo, unit: Unit, by: str, month: Filters | None, source: Source
) -> dict[str, Query]:
    """What a report is made of, of rows or of roll-ups."""
    wanted = {
        **_overview_queries(filters, zone, unit, by, source),
        "names": queries.breakdowns(filters, source),
        "hours": queries.hours(Filters(start=filters.start, end=filters.end), source),
        "versions": queries.versions(filters, source),
    }
    if source == "rollups":
        wanted |= {"steps": queries.steps(filters, zone, unit), "largest": queries.largest(filters)}
    else:
        wanted |= {
            "latency": queries.latency(filters, zone, unit),
            "overall": queries.percentiles(filters),
            "costs": queries.distribution(filters),
        }
    if month is not None:
        wanted["days"] = queries.spending(month, zone, Unit.DAY, source)
    return wanted


def _add_percentiles(got: dict[str, list[Row]]) -> None:
    """Make what roll-ups give in histograms what rows give as percentiles."""
    if "steps" in got:
        [largest] = got["largest"]
        got["overall"] = [histograms.overall(got["steps"], largest["cost_max"])]
        got["costs"] = list(histograms.distribution(got["steps"]))
        by_bucket = histograms.by_bucket(got["steps"])
    else:
        by_bucket = {row["bucket"]: row for row in got["latency"]}
    got["sums"] = [{**row, **by_bucket.get(row["bucket"], {})} for row in got["sums"]]


def _state_of(opened: Opened) -> str:
    return _digest([f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in opened.files])


def _request(rows: Sequence[Row]) -> dict[str, Any]:
    """One request as the API shows it, from its own row and its corrections."""
    first, *corrections = rows
    history = corrected.history(first, corrections)
    return {
        "row": row_json(first),
        "timeline": timeline(first),
        "corrections": history,
        "corrected_total": history[-1]["after"] if history else None,
        "changes": corrected.changes(first, corrections),
    }


def _month_corrected(row: Row) -> dict[str, Any]:
    return {
        "month": row["corrects"],
        "is_later": row["is_later"],
        "corrections": row["corrections"],
        "requests": row["requests"],
        "total": report_math.amount(row["total"]),
        "is_lower_bound": bool(row["lower_bounds"]),
    }


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _digest(names: Sequence[str]) -> str:
    return sha256("\n".join(sorted(names)).encode()).hexdigest()
