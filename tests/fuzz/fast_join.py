"""The quick join against the join itself, over requests that are mostly usual and partly anything that JSON can say.

A case is some thousand requests of made log lines. Most get other plausible times, sizes, tokens, models; a third get
values of any type at any place, members doubled or unknown, lines lost, doubled or told twice differently. What the
subscription accepts of them is written as facts, in several files; the rows that a unit makes of these must be the join's
own, value by value and in the same order, whatever the number of shards.
"""

import copy
import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from tests import log_lines as lines
from tests.made_requests import requests
from weir.ledger.duck import connect, write_rows
from weir.ledger.fast_join import JoinedUnit, join_unit
from weir.ledger.join import join
from weir.ledger.log_records import RawRecord
from weir.pricing.price_book import PriceBook

REQUESTS = 3_000
DAY = date(2026, 11, 22)
_MIDNIGHT_MS = round(datetime(2026, 11, 22, tzinfo=UTC).timestamp() * 1000)
_HOUR_MS = 3_600_000
# Of the wrong type, at and beyond the edges, and texts that JSON, DuckDB and Python read in different ways.
_ANYTHING: tuple[Any, ...] = (
    *(None, True, [], {}, [1], {"a": 1}, {"a": "b", "A": "c"}, [{}], [{}, {}, {}]),
    *(
        0,
        1,
        -1,
        3,
        512,
        513,
        6_291_457,
        99_999_999,
        100_000_001,
        10**15,
        10**16,
        2**63,
        2**64,
        2**70,
        -(2**63),
    ),
    *(
        1.0,
        1.5,
        0.1234,
        0.125,
        1e3,
        1e15,
        1e16,
        0.0005,
        1e-9,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        10_000_000.5,
    ),
    *(
        "",
        "1",
        "ok",
        "x" * 200,
        "größe",
        "\ud800",
        "a\0b",
        "😀",
        "null",
        "killed",
        "provider",
        "none",
        "estimated",
    ),
    *(
        "rest_api",
        "direct",
        "gpt-4.1",
        "claude-haiku-4-5",
        "nobody",
        "arm64",
        "x86_64",
        "eu-west-1",
        "us-east-1",
    ),
    *(
        "0.1",
        "1e-7",
        "-0.5",
        "12345678901234567",
        "0.1234567890123456",
        "NaN",
        "snap-start",
        "provisioned-concurrency",
    ),
)
_MODELS = (
    *(
        "gpt-4o-mini-2024-07-18",
        "gpt-4.1",
        "claude-haiku-4-5",
        "claude-sonnet-4-5",
        "gemini-2.5-pro",
        "nobody",
    ),
    *("deepseek-reasoner", "thinks", "by-the-hour"),
)


def _price(*tiers: tuple[str | None, str]) -> list[dict[str, str | None]]:
    return [{"up_to": up_to, "price": price} for up_to, price in tiers]


# Prices at which a charge falls between two units of money, is no whole number of anything, or does not fit.
_CONTRACT = {
    "records": [
        {"item": item, "region": "us-east-1", "architecture": None, "tiers": _price((None, price))}
        for item, price in (
            ("request", "0.0000000000000005"),
            ("logs_ingestion", "0.000000536870912"),
            ("ephemeral_storage", "0.000000000000512"),
        )
    ]
    + [
        {
            "item": "duration",
            "region": "us-east-1",
            "architecture": "arm64",
            "tiers": _price((None, "0.000000003")),
        }
    ],
    "models": [
        {"model": name, "records": [{"prices": prices}]}
        for name, prices in (
            ("gpt-4.1", {"input": _price((None, "0.0000000005")), "output": _price((None, "0.00000000150"))}),
            ("claude-haiku-4-5", {"input": _price((None, "1"))}),
            (
                "gemini-2.5-pro",
                {"input": _price(("10", "1"), ("1000.5", "2"), (None, "3")), "output": _price((None, "1"))},
            ),
            (
                "thinks",
                {
                    kind: _price((None, price))
                    for kind, price in (("input", "1"), ("output", "3"), ("reasoning", "7"))
                },
            ),
            ("gpt-4o-mini", {"input": _price((None, "1e12")), "output": _price((None, "1e-20"))}),
        )
    ]
    + [
        {
            "model": "by-the-hour",
            "records": [
                {"hours": hours, "prices": {"input": _price((None, price)), "output": _price((None, price))}}
                for hours, price in ((None, "1"), (("03:00", "12:01"), "2"))
            ],
        }
    ],
}

type Facts = list[tuple[Any, ...]]


def run(cases: int, seconds: float | None, seed: int | None) -> None:
    """Cases of `REQUESTS` each, or for some seconds; one that fails is raised with its seed."""
    began, rows, plain = time.monotonic(), 0, 0
    for number in count() if seed is None else (seed,):
        over = rows >= cases if seconds is None else time.monotonic() - began > seconds
        if over:
            break
        with TemporaryDirectory() as folder:
            try:
                unit = one_case(number, Path(folder))
            except AssertionError as error:
                raise SystemExit(f"fast-join --seed {number}: {error}") from error
        rows, plain = rows + unit.rows, plain + unit.plain
    took = time.monotonic() - began
    print(
        f"fast-join: {rows:,} rows as the join makes them, {plain:,} of them by SQL; {took:.0f} s", flush=True
    )


def one_case(seed: int, folder: Path, size: int = REQUESTS) -> JoinedUnit:
    """Compare the two on the requests of one seed. Raises AssertionError."""
    random = Random(seed)
    book = PriceBook.load(random.choice((None, _CONTRACT)))
    facts, records = made_facts(random, seed, size)
    random.shuffle(facts)
    files = 3
    paths = [write_facts(folder / f"facts-{n}.parquet", facts[n::files]) for n in range(files)]
    return compare(paths, records, folder, book, shards=random.choice((1, 1, 2, 5)))


def compare(
    paths: Sequence[Path], records: Sequence[RawRecord], folder: Path, book: PriceBook, shards: int = 1
) -> JoinedUnit:
    """Hold a unit's rows against the join's of the same records. Raises AssertionError."""
    expected_path = folder / "expected.parquet"
    write_rows(expected_path, (row for row in join(records, book) if row.day == DAY), {})
    parts, units = [], []
    for shard in range(shards):
        parts.append(folder / f"unit-{shard}.parquet")
        units.append(
            join_unit(
                paths,
                DAY,
                book,
                parts[-1],
                rollup=folder / f"rollup-{shard}.parquet",
                shard=shard,
                shards=shards,
                metadata={"day": str(DAY)},
            )
        )
    expected, found = _rows([expected_path]), _rows(parts)
    types, expected_types = (dict(_types(path)) for path in (parts[0], expected_path))
    assert types == expected_types, f"expected columns {expected_types}, got {types}"
    for part in parts:
        own = [(row["at_utc"], row["request_id"]) for row in _rows([part])]
        assert own == sorted(own), "expected rows by time and id"
    found.sort(key=lambda row: (row["at_utc"], row["request_id"]))
    assert len(found) == len(expected), f"expected {len(expected)} rows, got {len(found)}"
    for got, wanted in zip(found, expected, strict=True):
        # By their text, so that 0.0 is not -0.0, and 1.10 not 1.1.
        differing = {
            name: (wanted[name], got[name]) for name in wanted if repr(wanted[name]) != repr(got[name])
        }
        assert not differing, f"{wanted['request_id']}: expected and got {differing}"
    return JoinedUnit(sum(unit.rows for unit in units), sum(unit.plain for unit in units))


def made_facts(random: Random, seed: int, size: int) -> tuple[Facts, list[RawRecord]]:
    """Facts as they are stored, and the records that they hold."""
    facts: Facts = []
    records: list[RawRecord] = []
    for number, written in enumerate(requests(size, seed, of_version_1=0.4), 1):
        at_ms = _MIDNIGHT_MS + 12 * _HOUR_MS + number * 37
        if random.random() < 0.05:
            at_ms = _MIDNIGHT_MS + random.randrange(-6, 31) * _HOUR_MS + random.randrange(-5, 5)
        messages = [(line, message) for line, message in _messages(random, written) if random.random() > 0.01]
        if random.random() < 0.005:  # nothing that the application said has come
            messages = [(line, message) for line, message in messages if "type" in line]
        stream, region = f"s{number % 7}", random.choice(("us-east-1",) * 20 + (None, "eu-west-1"))
        for place, (_, message) in enumerate(messages):
            late_ms = random.choice((0,) * 99 + (5 * _HOUR_MS,))
            event = lines.log_event(message, f"{number:036d}{place:020d}", at_ms + place + late_ms)
            events = [event]
            if random.random() < 0.004:  # one id with two contents should not be
                events.append({**event, "message": message.replace("ok", "stopped")})
            for told in events:
                batch = lines.read_batch(lines.batch([told], log_stream=stream), region=region)
                for record in batch.records:
                    copies = random.choice((1,) * 99 + (2,))
                    records += [record] * copies
                    facts += [stored(record, told["message"])] * copies
    return facts, records


def stored(record: RawRecord, message: str) -> tuple[Any, ...]:
    """A fact as the Parquet of facts holds it."""
    request_id = record.request_id
    key = None if request_id is None else int.from_bytes(sha256(request_id.encode()).digest()[:8])
    return (
        key,
        record.event_id,
        request_id,
        record.kind,
        record.timestamp_ms,
        record.log_group,
        record.log_stream,
        record.region,
        record.line_bytes,
        message,
    )


def write_facts(path: Path, facts: Facts) -> Path:
    """A file of facts, sorted as they are."""
    names = (
        "hash",
        "event_id",
        "request_id",
        "kind",
        "at",
        "log_group",
        "log_stream",
        "region",
        "bytes",
        "body",
    )
    types = ("UBIGINT", *("VARCHAR",) * 3, "BIGINT", *("VARCHAR",) * 3, "INTEGER", "VARCHAR")
    source = path.with_suffix(".ndjson")
    with source.open("w") as file:
        file.writelines(json.dumps(dict(zip(names, fact, strict=True))) + "\n" for fact in facts)
    columns = ", ".join(f"\"{name}\": '{kind}'" for name, kind in zip(names, types, strict=True))
    with connect(threads=1) as connection:
        connection.execute(
            f'COPY (SELECT * REPLACE (CAST(make_timestamp("at" * 1000) AS TIMESTAMP_MS) AS "at") '
            f"FROM read_json('{source}', format = 'newline_delimited', columns = {{{columns}}}) "
            f"ORDER BY hash NULLS FIRST, \"at\", event_id) TO '{path}' "
            "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192)"
        )
    source.unlink()
    return path


def _messages(random: Random, written: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """The lines of a request, some of them changed."""
    written = copy.deepcopy(written)
    if random.random() < 0.6:
        for line in written:
            _vary(random, line.get("fact") or line["record"])
    if random.random() < 0.3:
        for _ in range(random.randrange(1, 3)):
            _break(random, random.choice(written))
    for line in written:
        message = json.dumps(line, separators=(",", ":"), ensure_ascii=random.random() < 0.5)
        try:
            message.encode()
        except UnicodeEncodeError:
            message = json.dumps(line, separators=(",", ":"))
        yield line, _double_member(random, message) if random.random() < 0.02 else message


def _vary(random: Random, body: dict[str, Any]) -> None:
    """Other values of the kind that a request has."""
    timing, metrics = body.get("timing") or {}, body.get("metrics") or {}
    for name in timing:
        if random.random() < 0.3:
            digits = random.choice((0, 1, 2, 3))
            timing[name] = random.choice(
                (None, 0, 0.001, round(random.uniform(0, 30_000), digits), random.randrange(20_000))
            )
    if "billedDurationMs" in metrics:
        if random.random() < 0.5:
            metrics["billedDurationMs"] = random.choice((0, 1, random.randrange(1, 900_000)))
        if random.random() < 0.5:
            metrics["memorySizeMB"] = random.choice((128, 1, 1769, 10_240, random.randrange(1, 10_241)))
        if random.random() < 0.1:
            metrics["initDurationMs"] = random.choice((0, 1, 0.5, 12_345.678))
        if random.random() < 0.1:  # remainders that are equal
            metrics |= {"billedDurationMs": random.choice((2, 4)), "initDurationMs": random.choice((0, 1))}
    if timing and random.random() < 0.1:
        timing |= dict.fromkeys(("wait_ms", "stream_ms", "validate_ms"), random.choice((0.5, 1)))
    attempts = body.get("attempts", ())
    for usage in [body.get("usage"), *(attempt["usage"] for attempt in attempts)]:
        if isinstance(usage, dict):
            _vary_usage(random, usage)
    for attempt in attempts:
        if random.random() < 0.3:
            attempt["model"] = random.choice(_MODELS)
    for attempt in attempts:
        if random.random() < 0.2:
            attempt["seller"] = random.choice(("openai", "anthropic", "nobody", "", None))
        if random.random() < 0.2 and isinstance(attempt["usage"], dict):
            attempt["usage"]["service_tier"] = random.choice(("default", "flex", "priority", "gold", None))
    others = {
        "model_returned": (*_MODELS, *_MODELS, None, ""),
        "front": ("rest_api", "direct", "function_url", "rest_api", None),
        "ephemeral_storage_mb": (512, 513, 10_240),
        "tenant": ("acme", "größe", "", None),
    }
    for name in sorted(others.keys() & body.keys()):
        if random.random() < 0.2:
            body[name] = random.choice(others[name])
    if body.get("tenant") in ("größe", ""):  # without a throw of its own: the seeds keep their cases
        body["lease"] = "lease-1~2" if body["tenant"] else ""
    if "streamed_bytes" in body and random.random() < 0.3:
        edges = (0, 6_291_456, 6_291_457, 10_485_760, 10_485_761, random.randrange(10**9))
        body["streamed_bytes"] = random.choice(edges)


def _vary_usage(random: Random, usage: dict[str, Any]) -> None:
    if random.random() < 0.3:
        usage["cached_input_tokens"] = random.choice((0, 1, usage["input_tokens"], None))
    if random.random() < 0.3:
        usage["reasoning_tokens"] = random.choice((1, usage["output_tokens"], 5_000, None))
    if random.random() < 0.1:  # at and past the end of a tier
        given = random.choice((200_000, 200_001, 272_000, 272_001))
        usage |= {"input_tokens": given, "total_tokens": given + (usage["output_tokens"] or 0)}
    if random.random() < 0.1:
        usage |= {
            "complete": random.choice((False, False, True, None)),
            "total_tokens": random.choice((0, 1, None)),
        }
    if random.random() < 0.1:
        usage |= dict.fromkeys(sorted(usage.keys() - {"source"}), random.choice((0, None)))
        usage["source"] = random.choice(("none", "provider"))


def _break(random: Random, line: dict[str, Any]) -> None:
    """Anything, at any place of a line."""
    body = line.get("fact") or line["record"]
    kept = ("request_id", "requestId", "kind", "schema_version")
    path = random.choice([path for path in _paths(body) if path[0] not in kept])
    for key in path[:-1]:
        body = body[key]
    if random.random() < 0.1 and isinstance(body, dict):
        body["a_name_of_later"] = random.choice(_ANYTHING)
    else:
        body[path[-1]] = copy.deepcopy(random.choice(_ANYTHING))


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from _paths(inner, (*at, key))


def _double_member(random: Random, message: str) -> str:
    """One member more, of a name that is there already: Python takes the last of them, others the first."""
    names = list(re.finditer(r'[{,]("[a-zA-Z_]+"):', message))
    place = random.choice(names)
    value = json.dumps(random.choice(_ANYTHING))
    return f"{message[: place.start() + 1]}{place[1]}:{value},{message[place.start() + 1 :]}"


def _rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    found = []
    for path in paths:
        cursor = duckdb.execute(f"SELECT * FROM '{path}'")
        names = [column[0] for column in cursor.description or ()]
        found += [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def _types(path: Path) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in duckdb.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
