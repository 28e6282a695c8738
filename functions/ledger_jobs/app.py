"""The ledger's jobs: what is done to the ledger on a schedule, or takes longer than somebody waits for.

    {"task": "compact"}                                      the last three days, and closed months' late facts
    {"task": "compact", "days": 40}                          as many; or "first" and "last", both included
    {"task": "compact_unit", "day": "...", "shard": 0, "shards": 4}  one unit of it, where a run has much to do
    {"task": "reconcile_completeness", "hours": 26}          counts reports in the log groups, and brings in what is
                                                             missing; not yet the last "settle_minutes" (15)
    {"task": "export", "job": "...", ...}                    writes files of rows under exports/, and how far it is
    {"task": "close", "month": "2026-10"}                    the month's immutable snapshot
    {"task": "refresh_prices"}                               AWS's prices of this Region, from its own list
    {"task": "meter", "hours": 3}                            counts what the ledger's own functions took, as rows
    {"task": "settle_budgets"}                               settles what killed requests hold of tenants' budgets

Every task may be repeated: Lambda delivers an asynchronous event at least once. WEIR_LEDGER_TASKS names those that this
function does: whoever may start an export may not close a month.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from weir.access.settlement import Cost, settle_all
from weir.access.tenant_item import LEASE
from weir.embedded_metrics import embedded_metrics, stage_of
from weir.errors import CallerError
from weir.ledger.close import close, closed_months, correct
from weir.ledger.compact import Compacted, compact_day, facts_around, stale_days
from weir.ledger.completeness import SETTLE, reconcile_completeness
from weir.ledger.current_book import CurrentBook
from weir.ledger.facts import format_timestamp
from weir.ledger.log_groups import LogReader, ReportCounts
from weir.ledger.meter import meter
from weir.ledger.store import Store
from weir.pricing.aws_offers import fetch_offers
from weir.pricing.aws_price_list import refreshed
from weir.pricing.price_book import PriceBook
from weir.reports.budget import budget_from
from weir.reports.export import ExportError, ExportRequest, export_range
from weir.reports.parquet_cache import RowFiles
from weir.reports.report import LedgerReader

_OPEN_DAYS = 3
_MAX_DAYS = 400
# Of facts: a run that has more to join, about half a million requests, starts itself for each unit.
FAN_OUT_BYTES = 100 * 1024**2

# All functions of a stack run on the processor of this one.
_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}

type Metrics = Mapping[str, tuple[str, float]]  # name: CloudWatch's unit, value


class TaskError(CallerError, ValueError):
    """An event that names no task, or asks for what cannot be; says what was expected and what came."""


@cache
def _store() -> Store:
    # Kept between invocations for its connection; made at the first, so that importing reads nothing.
    return Store(os.environ["WEIR_LEDGER_BUCKET"])


@cache
def _current_book() -> CurrentBook:
    overrides = os.environ.get("WEIR_PRICE_OVERRIDES", "")
    return CurrentBook(_store(), os.environ.get("AWS_REGION"), overrides)


def _book() -> PriceBook:
    return _current_book().get()


def _now() -> datetime:
    return datetime.now(UTC)


def _row_files() -> RowFiles:
    return RowFiles(_store(), _book(), Path(gettempdir()) / "weir-rows", _now)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do one task; the answer is for whoever invokes by hand.

    Raises TaskError, and what the task raises; Lambda then tries an asynchronous event again.
    """
    allowed = [name for name in _TASKS if name in os.environ.get("WEIR_LEDGER_TASKS", "").split(",")]
    if event.get("task") not in allowed:
        raise TaskError(
            f"expected a task of {', '.join(allowed) or 'none'} (WEIR_LEDGER_TASKS), "
            f"got {str(event.get('task'))[:40]!r}"
        )
    task, used = _TASKS[event["task"]], _store().used
    used.take()
    try:
        with TemporaryDirectory() as folder:
            done, metrics = task(event, Path(folder))
    except Exception:
        failed = {
            "level": "ERROR",
            "message": f"ledger_jobs.{event['task']}.failed",
            "used": used.take().as_json(),
        }
        print(json.dumps(failed), flush=True)
        raise
    now = _now()
    line = {
        "level": "INFO",
        "timestamp": format_timestamp(now),
        "requestId": context.aws_request_id,
        "message": f"ledger_jobs.{event['task']}",
        "done": done,
        "used": used.take().as_json(),
        **embedded_metrics("ledger-jobs", stage_of(os.environ), now, metrics),
    }
    print(json.dumps(line), flush=True)
    return done


def _compact(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    first, last = _days(event)
    done = Compacted()
    stale = stale_days(_store(), first, last, done)
    size = sum(entry.size for objects, _ in stale.values() for entry in objects)
    started = 0
    for day, (objects, shards) in sorted(stale.items()):
        if size <= FAN_OUT_BYTES:
            compact_day(_store(), _book(), day, objects, shards, folder, done)
            continue
        for shard in range(shards):
            _start({"task": "compact_unit", "day": day.isoformat(), "shard": shard, "shards": shards})
            started += 1
    corrected = [
        correct(_store(), _book(), month, _now(), folder) for month in closed_months(_store(), first, last)
    ]
    metrics: dict[str, tuple[str, float]] = {
        "DaysCompacted": ("Count", len(done.days)),
        "RowsCompacted": ("Count", done.rows),
        "CorrectionRows": ("Count", sum(entry.rows for entry in corrected)),
        "PriceBookAgeDays": ("Count", _book().age(_now()).days),
    }
    budget = budget_from("WEIR_MONTHLY_BUDGET_USD", os.environ.get("WEIR_MONTHLY_BUDGET_USD", ""))
    reader = LedgerReader(_store(), _book(), _row_files(), _now, budget=budget)
    metrics["RequestsWithoutPrice"] = ("Count", reader.requests_without_price())
    if (percent := reader.budget_used_percent()) is not None:
        metrics["BudgetUsedPercent"] = ("Percent", percent)
    corrections = [entry.as_json() for entry in corrected]
    return {**done.as_json(), "units_started": started, "corrections": corrections}, metrics


def _compact_unit(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    day = _day(event, "day", _now().date())
    shards = _number(event, "shards", 1, 1, 99_999)
    shard = _number(event, "shard", 0, 0, shards - 1)
    objects = facts_around(_store().fact_objects(day, day), day)
    done = Compacted()
    compact_day(_store(), _book(), day, objects, shards, folder, done, only=shard)
    return done.as_json(), {"RowsCompacted": ("Count", done.rows)}


def _start(event: Mapping[str, Any]) -> None:
    """Have this function do another task, beside this one."""
    import boto3  # heavy, and seldom needed

    name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    boto3.client("lambda").invoke(
        FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode()
    )


def _reconcile_completeness(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    hours = _number(event, "hours", 26, 1, 24 * _MAX_DAYS)
    settle = timedelta(minutes=_number(event, "settle_minutes", SETTLE // timedelta(minutes=1), 0, 24 * 60))
    groups = _groups("WEIR_LOG_GROUPS")
    counted = reconcile_completeness(
        groups,
        LogReader(),
        _store(),
        now=_now(),
        hours=hours,
        settle=settle,
        region=os.environ.get("AWS_REGION"),
        counts=ReportCounts(metric) if (metric := os.environ.get("WEIR_REPORTS_METRIC")) else None,
    )
    # Where no report was expected nothing is missing, and nothing is known: then there is no point in the metric.
    known = counted.percent is not None
    metrics: Metrics = {"CompletenessPercent": ("Percent", float(counted.percent or 0))} if known else {}
    return counted.as_json(), metrics


def _export(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    job, began = str(event.get("job", "")), _now()
    if not job or not set(job) <= set("0123456789abcdefghijklmnopqrstuvwxyz-"):
        raise TaskError(f"job: expected an id of small letters, digits and hyphens, got {job[:40]!r}")
    store = _store()

    def tell(status: str, **members: Any) -> dict[str, Any]:
        document = {
            "id": job,
            "status": status,
            "began_at": format_timestamp(began),
            "error": None,
            **members,
        }
        store.put_export_status(job, document)
        return document

    tell("running")
    try:
        files = export_range(store, _book(), _row_files(), ExportRequest.of(event), folder, began)
    except ExportError as error:
        # The caller's, and no other try would end otherwise.
        return tell("failed", error=str(error), ended_at=format_timestamp(_now())), {
            "ExportsFailed": ("Count", 1)
        }
    except Exception as error:
        tell(
            "failed",
            error=f"{type(error).__name__}, which is ours: the log has it",
            ended_at=format_timestamp(_now()),
        )
        raise
    for path in files:
        store.put_export_file(job, path)
    names = [{"name": path.name, "bytes": path.stat().st_size} for path in files]
    return tell("done", files=names, ended_at=format_timestamp(_now())), {"ExportsDone": ("Count", 1)}


def _close(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    document = close(_store(), str(event.get("month", "")), _now(), folder)
    return document, {"MonthsClosed": ("Count", 1)}


def _refresh_prices(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    region = os.environ["AWS_REGION"]
    # What days before today cost is known: a price that the list has changed holds from today on.
    offers = fetch_offers(region, os.environ["WEIR_PRICE_LIST"])
    done = refreshed(_book().region_document(region), offers, region, not_before=_now().date())
    _current_book().replace(done.document)
    said = {"region": region, "new_records": done.new, "not_in_the_list": list(done.lacking)}
    return {**said, "price_book": _book().version}, {"PriceRecordsNew": ("Count", done.new)}


def _meter(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    hours = _number(event, "hours", 26, 1, 24 * _MAX_DAYS)
    settle = timedelta(minutes=_number(event, "settle_minutes", SETTLE // timedelta(minutes=1), 0, 24 * 60))
    metered = meter(
        _groups("WEIR_METERED_LOG_GROUPS"),
        LogReader(),
        _store(),
        _book(),
        now=_now(),
        hours=hours,
        settle=settle,
        region=os.environ.get("AWS_REGION"),
        architecture=_ARCHITECTURES.get(os.uname().machine),
        folder=folder,
    )
    return metered.as_json(), {"MeteringRows": ("Count", metered.rows)}


def _settle_budgets(event: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Metrics]:
    table = os.environ.get("WEIR_ACCESS_TABLE", "")
    if not table:
        return {"settled": 0}, {}
    import boto3  # heavy, and of stacks with an access table alone

    client, reader = boto3.client("dynamodb"), LedgerReader(_store(), _book(), _row_files(), _now)

    def cost_of(name: str, begun: datetime) -> Cost | None:
        return reader.of_lease(name, begun) if name.startswith(LEASE) else reader.cost_of(name)

    def update(request: Mapping[str, Any]) -> None:
        with suppress(client.exceptions.ConditionalCheckFailedException):  # its process was quicker
            client.update_item(TableName=table, **request)

    pages = client.get_paginator("scan").paginate(TableName=table)
    settled = settle_all((item for page in pages for item in page["Items"]), cost_of, update, _now())
    return {"settled": settled}, {"HoldsSettled": ("Count", settled)}


_TASKS: dict[str, Callable[[Mapping[str, Any], Path], tuple[dict[str, Any], Metrics]]] = {
    "compact": _compact,
    "compact_unit": _compact_unit,
    "reconcile_completeness": _reconcile_completeness,
    "export": _export,
    "close": _close,
    "refresh_prices": _refresh_prices,
    "meter": _meter,
    "settle_budgets": _settle_budgets,
}


def _days(event: Mapping[str, Any]) -> tuple[date, date]:
    today = _now().date()
    days = _number(event, "days", _OPEN_DAYS, 1, _MAX_DAYS)
    # Tomorrow too: a log line's clock may run ahead of this one.
    last = _day(event, "last", today + timedelta(days=1))
    first = _day(event, "first", today - timedelta(days=days - 1))
    if not timedelta(0) <= last - first <= timedelta(days=_MAX_DAYS):
        raise TaskError(f"first, last: expected up to {_MAX_DAYS} days in order, got {first} to {last}")
    return first, last


def _groups(variable: str) -> list[str]:
    groups = [name for name in os.environ.get(variable, "").split(",") if name]
    if not groups:
        raise TaskError(f"{variable}: expected the names of the log groups, got none")
    return groups


def _number(event: Mapping[str, Any], name: str, otherwise: int, least: int, most: int) -> int:
    value = event.get(name, otherwise)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise TaskError(f"{name}: expected a number from {least} to {most}, got {str(value)[:40]!r}")
    return value


def _day(event: Mapping[str, Any], name: str, otherwise: date) -> date:
    value = event.get(name)
    if value is None:
        return otherwise
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise TaskError(f"{name}: expected a day YYYY-MM-DD, got {str(value)[:40]!r}") from None
