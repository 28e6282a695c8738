"""The ledger's two inner loops, on one core: batches of log lines into stored facts, and facts into rows of the table.

The lines are what generate and the platform log for a mix of requests: warm and cold, one or two attempts, stopped at a
violation, killed. Stored is by the real `Store` into a dictionary in S3's place, whose own time is not ours.
"""

import gc
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests import log_lines as lines
from tests.bench.tables import Bound, Table, spread
from weir.ledger.ingest import ingest
from weir.ledger.join import join
from weir.ledger.store import Store
from weir.ledger.table import flat
from weir.pricing.price_book import PriceBook

REQUESTS = 4_000
REQUESTS_IN_A_BATCH = 200
RUNS = 12
RECORDS_PER_S = 50_000


class _Bucket:
    """What S3 does for the ledger: keeps an object unless it is there."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str) -> None:
        self.objects.setdefault(Key, Body)


def requests(count: int, seed: int = 1) -> Iterator[list[dict[str, Any]]]:
    """The lines of `count` requests, each in order."""
    random_ = random.Random(seed)
    for _ in range(count):
        yield _request(random_)


def _request(random_: random.Random) -> list[dict[str, Any]]:
    request_id = str(random_.randbytes(16).hex())
    wait, stream = round(random_.uniform(150, 900), 3), round(random_.uniform(500, 9000), 3)
    validate, billed = round(random_.uniform(1, 60), 3), round(wait + stream) + random_.randrange(5, 60)
    cold, killed, stopped = (random_.random() < share for share in (0.05, 0.01, 0.1))
    usage = lines.usage(random_.randrange(200, 4000), random_.randrange(50, 2500))
    usage["source"] = "estimated" if stopped else "provider"
    timing = {"wait_ms": wait, "stream_ms": stream}
    attempt = {"attempt": 1, "model": "gpt-4o-mini", "outcome": "ok", "usage": usage, "timing": timing}
    attempts = [attempt, {**attempt, "attempt": 2}] if random_.random() < 0.05 else [attempt]
    tags = {"team": random_.choice(("search", "docs", "mail")), "feature": f"feature-{random_.randrange(12)}"}
    common = {"tags": tags, "memory_mb": 512, "cold_start": cold}
    written = [
        lines.platform("start", request_id, version="7"),
        lines.fact(
            "request.started", request_id, schema="blog_post", on_violation="stop", stream=True, **common
        ),
    ]
    if killed or random_.random() < 0.1:
        progress = {"usage": usage, "timing": {**timing, "validate_ms": validate, "ttft_ms": wait}}
        written.append(lines.fact("request.progress", request_id, **progress, **common))
    if not killed:
        written.append(
            lines.completed(
                request_id,
                outcome="invalid_output" if stopped else "ok",
                usage=usage,
                attempts=attempts,
                timing={"duration_ms": wait + stream, **timing, "validate_ms": validate, "ttft_ms": wait},
                streamed_bytes=random_.randrange(2_000, 90_000),
                violations=int(stopped),
                saved={"output_tokens": 300, "method": "estimated"} if stopped else None,
                cost={"total": f"0.000{random_.randrange(10**9)}", "unpriced": []},
                **common,
            )
        )
        metrics = {
            "Namespace": "Weir",
            "Dimensions": [["service", "stage"]],
            "Metrics": [{"Name": "ColdStart", "Unit": "Count"}],
        }
        written.append(
            {"_aws": {"Timestamp": lines.NOON_MS, "CloudWatchMetrics": [metrics]}, "ColdStart": int(cold)}
        )
    status = "timeout" if killed else "success"
    done = {"durationMs": billed - 0.4, "producedBytes": 20_000}
    written.append(lines.platform("runtimeDone", request_id, status=status, metrics=done))
    init = {"initDurationMs": 260.5} if cold else {}
    written.append(lines.report(request_id, billed, status=status, **init))
    return written


def batches(count: int) -> list[dict[str, Any]]:
    """The events that a subscription delivers for `count` requests."""
    found: list[dict[str, Any]] = []
    batch: list[dict[str, Any]] = []
    for number, written in enumerate(requests(count), 1):
        batch += [
            lines.log_event(
                json.dumps(line, separators=(",", ":")), f"{number:036d}{place:020d}", lines.NOON_MS + number
            )
            for place, line in enumerate(written)
        ]
        if number % REQUESTS_IN_A_BATCH == 0 or number == count:
            found.append(lines.batch(batch))
            batch = []
    return found


def run() -> list[Table]:
    """Both loops, each several times over the same input."""
    events = batches(REQUESTS)

    def store_all() -> int:
        store = Store("ledger", client=_Bucket())
        return sum(ingest(event, store, "us-east-1").records for event in events)

    stored = _rates(
        store_all
    )  # before there are records: the function has none beside those of its batch, either
    records = [record for event in events for record in lines.read_batch(event, region="us-east-1").records]
    book = PriceBook.load()

    def join_all() -> int:
        return len([flat(row) for row in join(records, book)])

    joined = _rates(join_all)
    return [
        Table(
            f"The ledger's loops, one core, {REQUESTS:,} requests",
            ("loop", "a second and core: slowest run (median)"),
            (
                ("batches into stored facts, records", spread(stored)),
                ("facts into rows of the table, rows", spread(joined)),
            ),
            bounds=(Bound("a record into the ledger", 1e6 / max(stored), 1e6 / RECORDS_PER_S, "us"),),
            notes=(
                f"{len(records):,} records in {len(events)} batches; the best of {RUNS} runs is held to the bound.",
            ),
        )
    ]


def _rates(work: Callable[[], int]) -> list[float]:
    """Items a second of CPU time, run by run; each begins with a clean heap."""
    rates = []
    for _ in range(RUNS):
        gc.collect()
        started = time.process_time()
        items = work()
        rates.append(items / (time.process_time() - started))
    return rates
