"""What finance asks beyond the report: what latency costs, and what if; each asked of the ledger as the report is."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from weir.ledger import one_request
from weir.ledger.compact import Progress
from weir.ledger.facts import format_timestamp
from weir.ledger.store import Store
from weir.pricing.money import MONEY, plain
from weir.pricing.price_book import PriceBook
from weir.reports import (
    charge_lines,
    charge_sums,
    latency_cost,
    periods,
    queries,
    row_queries,
    scenarios,
    start_scenarios,
    token_scenarios,
    unpriced,
)
from weir.reports.cursors import cursor_after, position_of
from weir.reports.memory_size import FunctionMemory
from weir.reports.params import FieldError
from weir.reports.places import Range
from weir.reports.report import Filters, LedgerReader, range_json
from weir.reports.request_links import narrowed, query_of
from weir.reports.row_queries import Sort
from weir.reports.row_view import row_json
from weir.reports.supposition import Supposed
from weir.reports.token_scenarios import Tokens
from weir.reports.unit_prices import UnitPrices

_WHOLE_PAGE = 1_000


class Studies:
    """Answers over one ledger's reader; raises as it does."""

    def __init__(
        self, reader: LedgerReader, store: Store, book: PriceBook, now: Callable[[], datetime]
    ) -> None:
        self._reader = reader
        self._store = store
        self._book = book
        self._now = now

    def latency(
        self, filters: Filters, zone: ZoneInfo, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """What each phase of the billed time cost, by day, model, tenant and function, beside the tokens."""
        with self._reader.open_rows(*filters.days, on_progress) as opened:
            rows = self._reader.ask(opened, {"phases": queries.phases(filters, zone)})["phases"]

        def link(by: str, name: str, sort: Sort) -> str:
            return query_of(filters if by == "all" else narrowed(filters, zone, by, name), zone, sort=sort)

        with localcontext(MONEY):
            return {"range": range_json(filters, zone), "currency": "USD", **latency_cost.shown(rows, link)}

    def explain(self, request_id: str, days: tuple[date, date] | None = None) -> dict[str, Any] | None:
        """One request's charges taken apart, as its records are priced today; None if there is no such request."""
        found = self._reader.one(request_id, days)
        if found is None:
            return None
        row = found["row"]
        # Of what came as a whole after its month was closed there is a correction alone, on the day it was found.
        at = datetime.fromisoformat(row["corrects_at"] or row["at"])
        with TemporaryDirectory(prefix="explain-") as folder:
            explained = one_request.explain(self._store, request_id, at, self._book, Path(folder))
        if explained is None:
            return charge_lines.unexplained(row)
        return charge_lines.of_request(*explained, row)

    def charges(
        self, filters: Filters, zone: ZoneInfo, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """What the sums of a range are made of, line by line, each with the query of its requests."""

        def link(line: charge_sums.Line) -> str | None:
            # The ledger's own cost is of no request.
            is_metering = line.part.entry == "metering"
            return None if is_metering else query_of(filters, zone, line=line.part.line_id)

        with self._reader.open_rows(*filters.days, on_progress) as opened, localcontext(MONEY):
            lines, _ = self._lines(opened, filters)
            return {
                "range": range_json(filters, zone),
                "currency": "USD",
                **charge_sums.shown(lines, self._book.version, link),
            }

    def charge_requests(
        self,
        filters: Filters,
        zone: ZoneInfo,
        line_id: str,
        limit: int,
        cursor: str | None = None,
        on_progress: Progress | None = None,
    ) -> dict[str, Any]:
        """The requests that make a line, at most `limit`, each with its share. Raises FieldError, CursorError."""
        after = None if cursor is None else position_of(cursor, "cost")
        with self._reader.open_rows(*filters.days, on_progress) as opened, localcontext(MONEY):
            lines, sizes = self._lines(opened, filters)
            if line_id not in lines:
                raise FieldError(
                    "line", f"expected the id of a line of this range's charges, got {line_id[:40]!r}"
                )
            line = lines[line_id]
            found: list[tuple[Any, charge_sums.Line]] = []
            ended = False
            # Some rows that look like the line's have another price: on, until there are enough.
            while not ended and len(found) <= limit:
                query = row_queries.of_line(filters, line.narrowed, limit + 1, after)
                rows = self._reader.ask(opened, {"rows": query})["rows"]
                shares = ((row, charge_sums.share_of(row, line_id, sizes, self._book)) for row in rows)
                found += [(row, share) for row, share in shares if share is not None]
                ended = len(rows) <= limit
                after = list(row_queries.position(rows[-1], "cost")) if rows else after
        more = len(found) > limit
        return {
            "range": range_json(filters, zone),
            "currency": "USD",
            "line": line.as_json(self._book.version, lambda _: query_of(filters, zone, line=line_id)),
            "rows": [_share(row, share) for row, share in found[:limit]],
            "next_cursor": cursor_after(found[limit - 1][0], "cost") if more else None,
        }

    def all_charge_requests(
        self, filters: Filters, zone: ZoneInfo, line_id: str, at_most: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every request of a line, page by page. Raises FieldError."""
        cursor: str | None = None
        while True:
            page = self.charge_requests(filters, zone, line_id, _WHOLE_PAGE, cursor)
            requests = page["line"]["requests"]
            if at_most is not None and requests > at_most:
                raise FieldError(
                    "line",
                    f"expected a line of at most {at_most:,} requests, got {requests:,}: ask for fewer days, or page "
                    "by page; `costs explain --line ID --csv` has no limit",
                )
            yield page
            if (cursor := page["next_cursor"]) is None:
                return

    def _lines(self, opened: Any, filters: Filters) -> tuple[dict[str, charge_sums.Line], list[int]]:
        """The lines of a range by their ids, and the sizes of input by which prices go there."""
        wanted = {
            "places": queries.charges(filters),
            "beside": queries.charged_beside(filters),
            "models": queries.models(filters),
        }
        got = self._reader.ask(opened, wanted)
        names = [row["model_known"] for row in got["models"]]
        sizes = token_scenarios.input_sizes(names, filters.days, self._book)
        rows = self._reader.ask(opened, {"tokens": queries.charged_tokens(filters, sizes)})["tokens"]
        counted = Tokens(rows, sizes, self._book)
        return charge_sums.lines_of(got["places"], counted, got["beside"], self._book), sizes

    def unpriced(
        self, filters: Filters, zone: ZoneInfo, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """What is not priced, as a queue of work."""
        rows = self._unpriced_rows(filters, on_progress)
        return {
            "range": range_json(filters, zone),
            "currency": "USD",
            "items": unpriced.queue(rows, self._book),
        }

    def override(
        self, filters: Filters, model: str, prices: dict[str, str | None], on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """The record that would price a model's tokens, checked, and what it would add to the range."""
        made = unpriced.record(model, prices)
        return unpriced.repriced(self._unpriced_rows(filters, on_progress), model, made)

    def _unpriced_rows(self, filters: Filters, on_progress: Progress | None) -> list[Any]:
        with self._reader.open_rows(*filters.days, on_progress) as opened:
            rows = self._reader.ask(opened, {"rows": queries.unpriced(filters)})["rows"]
        # The engines' instants are UTC without a zone.
        return [
            {**row, **{name: row[name].replace(tzinfo=UTC) for name in ("first_at", "last_at")}}
            for row in rows
        ]

    def compare(
        self, before: Filters, after: Filters, by: str, zone: ZoneInfo, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """What the cost changed by from one period to another, and what made it; `by` is a breakdown, or tag:NAME."""
        found = []
        for asked in (before, after):
            with self._reader.open_sums(*asked.days, asked, by, on_progress) as opened:
                rows = self._reader.ask(opened, {"cells": queries.period(asked, by, opened.source)})["cells"]
            found.append(periods.Period.of_rows(rows))
        return {
            "before_range": range_json(before, zone),
            "range": range_json(after, zone),
            "currency": "USD",
            "by": by,
            **periods.compared(*found),
        }

    def what_if(
        self, filters: Filters, supposed: Supposed, zone: ZoneInfo, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """What the range would have cost, had one thing been another, each by itself."""
        first, last = filters.days
        with self._reader.open_rows(first, last, on_progress) as opened:
            got = self._reader.ask(
                opened,
                {
                    "places": queries.scenarios(filters, -supposed.ttft_ms),
                    "functions": queries.functions(filters),
                    "models": queries.models(filters),
                    "versions": queries.versions(filters),
                },
            )
            models = [*(row["model_known"] for row in got["models"]), supposed.to_model]
            sizes = token_scenarios.input_sizes(models, (first, last), self._book)
            tokens = self._reader.ask(opened, {"tokens": queries.tokens(filters, sizes)})["tokens"]
        functions = [FunctionMemory.of_row(row) for row in got["functions"]]
        until = max(min(filters.end, self._now()), filters.start)
        seconds = Decimal(round((until - filters.start).total_seconds()))
        within = Range(got["places"], functions, seconds, UnitPrices(self._book))
        counted = Tokens(tokens, sizes, self._book)
        with localcontext(MONEY):
            before = sum((row["total"] for row in got["places"]), Decimal(0))
            worked_out = [
                scenarios.sooner(within, supposed),
                scenarios.memory(within, supposed),
                scenarios.architecture(within, supposed),
                start_scenarios.snap_start(within, supposed),
                start_scenarios.provisioned(within, supposed),
                scenarios.no_early_stop(within, supposed),
                scenarios.no_retries(within, supposed),
                token_scenarios.cached(counted, supposed),
                start_scenarios.managed_instances(within, supposed),
            ]
            if supposed.to_model:
                worked_out.append(token_scenarios.other_model(counted, supposed))
            if supposed.to_region:
                worked_out.append(scenarios.other_region(within, supposed))
            return {
                "range": range_json(filters, zone),
                "as_of": None if opened.as_of is None else format_timestamp(opened.as_of),
                "currency": "USD",
                "requests": sum(int(row["requests"]) for row in got["places"]),
                "total": plain(before),
                "is_lower_bound": any(row["lower_bounds"] for row in got["places"]),
                "price_book": {
                    "version": self._book.version,
                    "versions_in_rows": [row["price_book_version"] for row in got["versions"]],
                },
                "scenarios": [scenario.as_json(before) for scenario in worked_out],
                "memory": [function.as_json() for function in functions],
                "models": [row["model_known"] for row in got["models"] if row["model_known"]],
                "regions": list(self._book.regions),
            }


def _share(row: Any, share: charge_sums.Line) -> dict[str, Any]:
    amounts = {"quantity": share.quantity, "amount": share.amount, "booked": share.booked}
    texts = {name: None if amount is None else plain(amount) for name, amount in amounts.items()}
    return {"row": row_json(row), **texts}
