"""The log groups are counted apart from the subscription; what it skipped is brought in, once, and nothing else is."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.endpoints.http_server import HttpServer
from infra.local.endpoints.logs_api import logs_api
from infra.local.logs.log_groups import LogEvent, LogGroups
from tests import log_lines as lines
from tests.buckets import facts_of
from weir.ledger.compact import compact
from weir.ledger.completeness import Completeness, Logs, reconcile_completeness
from weir.ledger.ingest import ingest
from weir.ledger.join import join
from weir.ledger.log_groups import FoundEvent, LogReader, LogsError, ReportCounts
from weir.ledger.store import Store, StoreError
from weir.pricing.price_book import PriceBook

BOOK = PriceBook.load()
NOW = datetime.now(UTC).replace(minute=40, second=0, microsecond=0)  # CloudWatch takes no lines of last month
HOURS = 3
HOUR = timedelta(hours=1)
BEGIN = NOW.replace(minute=0) - HOUR * HOURS


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def written() -> list[tuple[int, dict[str, Any]]]:
    """(time, line) of a request every ten minutes, from BEGIN to NOW."""
    found = []
    for number in range((NOW - BEGIN) // timedelta(minutes=10)):
        at = milliseconds(BEGIN + timedelta(minutes=10 * number))
        found += [(at + offset, line) for offset, line in enumerate(lines.request(f"r{number:02d}"))]
    return found


def delivered(events: list[FoundEvent], store: Store) -> None:
    """What a subscription brings: the lines with the ids that CloudWatch gave them."""
    for stream in {event.stream for event in events}:
        batch = [
            {"id": event.id, "timestamp": event.timestamp_ms, "message": event.message}
            for event in events
            if event.stream == stream
        ]
        ingest(lines.batch(batch, log_stream=stream), store, "us-east-1")


def run(store: Store, logs: Logs | None = None, **settings: Any) -> Completeness:
    given = {"now": NOW, "hours": HOURS, "region": "us-east-1", **settings}
    return reconcile_completeness([lines.GROUP], logs or LogReader(), store, **given)


def requests(store: Store) -> list[str]:
    """The requests in the ledger that are complete."""
    found = facts_of(store, BEGIN.date(), NOW.date())
    return [row.request_id for row in join(found, BOOK) if row.join_status == "complete"]


def objects(store: Store) -> set[str]:
    """The names of all objects but the counts, which are replaced."""
    return {entry.key for entry in store.objects("") if not entry.key.startswith("completeness/")}


def hours(store: Store) -> dict[str, dict[str, Any]]:
    documents = store.completeness(BEGIN.date(), NOW.date())
    return {hour: entry for document in documents.values() for hour, entry in document["hours"].items()}


# Against moto's CloudWatch Logs


@pytest.fixture
def group(store: Store) -> list[FoundEvent]:
    """A group with the lines, in two streams, as CloudWatch gives them back."""
    client = boto3.client("logs")
    client.create_log_group(logGroupName=lines.GROUP)
    for stream, parity in (("2026/[$LATEST]aa", 0), ("2026/[$LATEST]bb", 1)):
        client.create_log_stream(logGroupName=lines.GROUP, logStreamName=stream)
        events = [
            {"timestamp": at, "message": lines.log_event(line, "")["message"]}
            for at, line in written()
            if (at // 600_000) % 2 == parity
        ]
        client.put_log_events(logGroupName=lines.GROUP, logStreamName=stream, logEvents=events)
    return list(LogReader().events(lines.GROUP, 0, milliseconds(NOW)))


def test_an_hour_that_the_subscription_skipped_is_brought_in(store: Store, group: list[FoundEvent]) -> None:
    skipped = BEGIN + HOUR
    delivered(
        [
            event
            for event in group
            if not milliseconds(skipped) <= event.timestamp_ms < milliseconds(skipped + HOUR)
        ],
        store,
    )
    assert len(requests(store)) == 16
    found = run(store)
    assert (found.reports_in_log, found.reports_stored) == (21, 15)  # the last minutes are not counted
    assert found.as_json()["backfilled"] == 6
    assert found.as_json()["backfilled_records"] == 24  # with the halves that the application wrote
    assert found.percent is not None and 71 < found.percent < 72
    assert requests(store) == [f"r{number:02d}" for number in range(22)]
    assert [entry["reports_in_log"] for entry in hours(store).values()] == [6, 6, 6, 3]
    assert [entry["backfilled"] for entry in hours(store).values()] == [0, 6, 0, 0]
    assert all(entry["reports_stored"] == entry["reports_in_log"] for entry in hours(store).values())


def test_counting_again_finds_all_and_writes_nothing(store: Store, group: list[FoundEvent]) -> None:
    run(store)
    before, rows = objects(store), requests(store)
    again = run(store)
    assert (again.reports_in_log, again.reports_stored, again.percent) == (21, 21, 100)
    assert objects(store) == before
    # The subscription's own delivery, when it comes after all, changes nothing either.
    delivered(group, store)
    assert requests(store) == [f"r{number:02d}" for number in range(22)]
    assert rows == requests(store)[:21]
    assert len(join(facts_of(store, BEGIN.date(), NOW.date()), BOOK)) == 22
    # What was brought in once is remembered by later counts.
    assert sum(entry["backfilled"] for entry in hours(store).values()) == 21


def test_a_line_that_is_alone_missing_is_brought_in_alone(store: Store, group: list[FoundEvent]) -> None:
    delivered(
        [event for event in group if '"r05"' not in event.message or "platform.report" not in event.message],
        store,
    )
    assert "r05" not in requests(store)
    found = run(store)
    assert (found.as_json()["backfilled"], found.as_json()["backfilled_records"]) == (1, 1)
    assert "r05" in requests(store)


def test_the_last_minutes_are_left_to_settle(store: Store, group: list[FoundEvent]) -> None:
    found = run(store, settle=timedelta(minutes=45))
    assert found.counted_until == NOW - timedelta(minutes=45)
    assert found.reports_in_log == 18
    assert max(requests(store)) == "r17"
    last = max(hours(store))
    assert hours(store)[last]["until"] == (NOW - timedelta(minutes=45)).isoformat(
        timespec="milliseconds"
    ).replace("+00:00", "Z")
    # The hours between are completed by a later, shorter count, and the earlier ones stay as they were.
    run(store, hours=0, settle=timedelta(0))
    assert sum(entry["reports_in_log"] for entry in hours(store).values()) == 22
    assert len(hours(store)) == 5  # from the hour that the earlier count began in


def test_a_store_that_fails_loses_nothing(
    store: Store, group: list[FoundEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = store.client.put_object, count()

    def fails_at_the_third(**asked: Any) -> Any:
        if next(calls) == 2:
            answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
            raise ClientError(answer, "PutObject")
        return put(**asked)

    with monkeypatch.context() as patched:
        patched.setattr(store.client, "put_object", fails_at_the_third)
        with pytest.raises(StoreError, match="SlowDown"):
            run(store)
    # Hours before the failure are whole; the one that failed counts as nothing.
    counted = hours(store)
    assert len(counted) <= HOURS
    assert all(entry["backfilled"] == entry["reports_in_log"] for entry in counted.values())
    assert run(store).as_json()["backfilled"] > 0
    assert len(requests(store)) == 21


def test_long_lines_are_counted_like_short_ones(store: Store) -> None:
    class LongLines:
        def events(self, group: str, start_ms: int, end_ms: int) -> Iterator[FoundEvent]:
            long = lines.completed("r0", said="\N{GRINNING FACE}" * 40_000)
            for number in range(150 if start_ms == milliseconds(BEGIN) else 0):  # 72 MB in one batch
                message = json.dumps(long, ensure_ascii=False)
                yield FoundEvent(f"said-{number}", "aa", start_ms, message)
                yield FoundEvent(f"report-{number}", "aa", start_ms, json.dumps(lines.report(f"r{number}")))

    found = run(store, LongLines())
    assert (found.reports_in_log, found.as_json()["backfilled"]) == (150, 150)
    assert run(store, LongLines()).reports_stored == 150


def test_where_the_counts_agree_no_log_is_read_and_where_they_differ_it_is(
    store: Store, group: list[FoundEvent], tmp_path: Path
) -> None:
    read: list[datetime] = []

    class Watched:
        def events(self, name: str, start_ms: int, end_ms: int) -> Iterator[FoundEvent]:
            read.append(datetime.fromtimestamp(start_ms / 1000, UTC))
            return LogReader().events(name, start_ms, end_ms)

    class Counts:
        def reports(self, start: datetime, end: datetime) -> dict[datetime, int]:
            return {BEGIN + HOUR * number: 6 for number in range(3)}

    lost = BEGIN + HOUR
    delivered([event for event in group if '"r07"' not in event.message], store)
    compact(store, BOOK, BEGIN.date(), NOW.date(), tmp_path)
    found = run(store, Watched(), counts=Counts())
    # The hour that lacks one, and the last, which is not over.
    assert read == [lost, BEGIN + 3 * HOUR]
    assert (found.reports_in_log, found.as_json()["backfilled"]) == (21, 1)
    assert "r07" in requests(store)
    compact(store, BOOK, BEGIN.date(), NOW.date(), tmp_path)
    read.clear()
    assert run(store, Watched(), counts=Counts()).percent == 100
    assert read == [BEGIN + 3 * HOUR]


def test_what_cloudwatch_counted_is_read_by_the_hour(store: Store) -> None:
    data = [
        {"MetricName": "PlatformReports", "Value": 1.0, "Timestamp": BEGIN + timedelta(minutes=25 * number)}
        for number in range(5)
    ]
    boto3.client("cloudwatch").put_metric_data(Namespace="Weir/stack", MetricData=data)
    found = ReportCounts("Weir/stack/PlatformReports").reports(BEGIN, NOW)
    assert {hour: count for hour, count in found.items() if count} == {BEGIN: 3, BEGIN + HOUR: 2}


def test_a_group_that_is_not_there_is_named(store: Store, group: list[FoundEvent]) -> None:
    with pytest.raises(
        LogsError, match="/aws/lambda/gone: CloudWatch Logs answered ResourceNotFoundException"
    ):
        reconcile_completeness(["/aws/lambda/gone"], LogReader(), store, now=NOW, hours=HOURS)


# Against the laptop's CloudWatch Logs


type Asgi = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


@asynccontextmanager
async def local_logs(
    groups: LogGroups,
    monkeypatch: pytest.MonkeyPatch,
    *,
    page: int = 7,
    outer: Callable[[Asgi], Asgi] | None = None,
) -> AsyncIterator[LogReader]:
    """boto3's client on the laptop's front, found by the environment as a function finds it."""
    app: Any = logs_api(groups, max_page_events=page)
    server = HttpServer(app if outer is None else outer(app))  # type: ignore[arg-type]
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", server.url)
    try:
        yield LogReader()
    finally:
        await server.close()


def local_groups(extra: list[tuple[int, str]] | None = None) -> LogGroups:
    groups, numbers = LogGroups(), count()
    events = [(at, lines.log_event(line, "")["message"]) for at, line in written()]
    for at, message in [*events, *(extra or [])]:
        event = LogEvent(str(next(numbers)).zfill(56), at, message, f"stream-{at // 600_000 % 3}")
        groups[lines.GROUP].events.append(event)
    return groups


async def test_the_laptops_groups_are_read_in_pages_with_the_subscriptions_ids(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = local_groups()
    async with local_logs(groups, monkeypatch) as logs:
        found = await asyncio.to_thread(lambda: list(logs.events(lines.GROUP, 0, milliseconds(NOW))))
    assert sorted(event.id for event in found) == [event.id for event in groups[lines.GROUP].events]
    assert [event.timestamp_ms for event in found] == sorted(event.timestamp_ms for event in found)


async def test_the_same_count_on_the_laptop(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_logs(local_groups(), monkeypatch) as logs:
        found = await asyncio.to_thread(run, store, logs)
        assert (found.reports_in_log, found.reports_stored) == (21, 0)
        again = await asyncio.to_thread(run, store, logs)
        assert (again.reports_in_log, again.reports_stored) == (21, 21)
    assert len(requests(store)) == 21


async def test_forged_lines_are_no_reports_and_poison_is_set_aside_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = milliseconds(BEGIN)
    forged = {**lines.report("r00", 900_000), "level": "INFO"}
    inside = {"level": "INFO", "message": '{"type":"platform.report","record":{}}', "type": "platform.report"}
    poison = lines.report("r00", -5)
    extra = [(at, lines.log_event(line, "")["message"]) for line in (forged, inside, poison)]
    async with local_logs(local_groups(extra), monkeypatch) as logs:
        for _ in range(2):
            found = await asyncio.to_thread(run, store, logs)
            assert found.reports_in_log == 21
            assert found.as_json()["set_aside"] == 1
    assert store.count_poison() == 1
    rows = join(facts_of(store, BEGIN.date(), NOW.date()), BOOK)
    assert {row.billed_ms for row in rows} == {1600}


async def test_throttling_is_waited_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count()

    def throttled(app: Asgi) -> Asgi:
        async def outer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            if next(calls) != 1:
                await app(scope, receive, send)
                return
            body = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
            headers = [(b"content-type", b"application/x-amz-json-1.1")]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return outer

    async with local_logs(local_groups(), monkeypatch, page=1000, outer=throttled) as logs:
        found = await asyncio.to_thread(run, store, logs)
    assert found.reports_in_log == 21
    assert next(calls) == 5  # four hours and one repeat


async def test_what_was_counted_before_a_failure_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count()

    def denied(app: Asgi) -> Asgi:
        async def outer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            if next(calls) < 2:
                await app(scope, receive, send)
                return
            body = b'{"__type": "AccessDeniedException", "message": "no"}'
            headers = [(b"content-type", b"application/x-amz-json-1.1")]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return outer

    async with local_logs(local_groups(), monkeypatch, page=1000, outer=denied) as logs:
        with pytest.raises(LogsError, match="/aws/lambda/generate: CloudWatch Logs answered AccessDenied"):
            await asyncio.to_thread(run, store, logs)
    assert [entry["reports_in_log"] for entry in hours(store).values()] == [6, 6]


async def test_the_laptops_api_refuses_in_the_real_ones_words(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_logs(local_groups(), monkeypatch) as logs:

        async def code(call: Callable[[], Any]) -> str:
            with pytest.raises(ClientError) as caught:
                await asyncio.to_thread(call)
            return str(caught.value.response["Error"]["Code"])

        client, name = logs.client, lines.GROUP
        assert (
            await code(lambda: client.filter_log_events(logGroupName="/gone")) == "ResourceNotFoundException"
        )
        bad = "{ $.type > 3 }"
        assert (
            await code(lambda: client.filter_log_events(logGroupName=name, filterPattern=bad))
            == "InvalidParameterException"
        )
        assert (
            await code(lambda: client.filter_log_events(logGroupName=name, nextToken="x"))
            == "InvalidParameterException"
        )
        assert await code(lambda: client.describe_log_groups()) == "UnknownOperationException"
        page = await asyncio.to_thread(lambda: client.filter_log_events(logGroupName=name, limit=2))
        assert len(page["events"]) == 2 and page["nextToken"]
        of_stream = await asyncio.to_thread(
            lambda: client.filter_log_events(logGroupName=name, logStreamNames=["stream-0"])
        )
        assert {event["logStreamName"] for event in of_stream["events"]} == {"stream-0"}
