"""What finance asks beyond the report: what latency costs, and what if; each asked of the ledger as the report is."""

from collections.abc import Callable
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
    latency_cost,
    periods,
    queries,
    scenarios,
    start_scenarios,
    token_scenarios,
    unpriced,
)
from weir.reports.memory_size import FunctionMemory
from weir.reports.places import Range
from weir.reports.report import Filters, LedgerReader, range_json
from weir.reports.request_links import narrowed, query_of
from weir.reports.row_queries import Sort
from weir.reports.supposition import Supposed
from weir.reports.token_scenarios import Tokens
from weir.reports.unit_prices import UnitPrices


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
            return query_of(filters if by == "all" else narrowed(filters, zone, by, name), zone, sort)

        with localcontext(MONEY):
            return {"range": range_json(filters, zone), "currency": "USD", **latency_cost.shown(rows, link)}

    def explain(self, request_id: str, days: tuple[date, date] | None = None) -> dict[str, Any] | None:
        """One request's charges taken apart, as its records are priced today; None if there is no such request."""
        found = self._reader.one(request_id, days)
        if found is None:
            return None
        row = found["row"]
        at = datetime.fromisoformat(row["at"])
        with TemporaryDirectory(prefix="explain-") as folder:
            explained = one_request.explain(self._store, request_id, at, self._book, Path(folder))
        if explained is None:
            return charge_lines.unexplained(row)
        return charge_lines.of_request(*explained, row)

    def charges(
        self, filters: Filters, zone: ZoneInfo, on_progress: Progress | None = None
    ) -> dict[str, Any]:
        """What the sums of a range are made of, line by line."""
        first, last = filters.days
        with self._reader.open_rows(first, last, on_progress) as opened:
            got = self._reader.ask(
                opened, {"places": queries.charges(filters), "models": queries.models(filters)}
            )
            names = [row["model_known"] for row in got["models"]]
            sizes = token_scenarios.input_sizes(names, (first, last), self._book)
            tokens = self._reader.ask(opened, {"tokens": queries.tokens(filters, sizes)})["tokens"]
        with localcontext(MONEY):
            counted = Tokens(tokens, sizes, self._book)
            return {
                "range": range_json(filters, zone),
                "currency": "USD",
                **charge_lines.of_range(got["places"], counted, self._book),
            }

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
