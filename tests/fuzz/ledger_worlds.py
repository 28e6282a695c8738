"""Small worlds for the ledger's fuzzing: what was logged, and how it was delivered.

A world is a few requests near a midnight, in two log streams, with every kind of misfortune: retried events, lines that
come late or never, the same instant twice, counts that are absent or contradict themselves, records that are forged or
broken. What each line is meant to say is kept beside it (`Line.says`), so that nobody has to parse it again.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests import log_lines as lines

HOUR_MS = 3_600_000
# The last is half a surrogate pair, which JSON can carry and UTF-8 cannot.
MODELS = ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o", "a-model-without-price", "\ud800")
OUTCOMES = ("ok", "invalid_output", "client_disconnected", "stopped", "upstream_error", "deadline")


@dataclass(slots=True)
class Line:
    """One log line of one stream; `request` is None where it is no record, `poison` where it must be set aside."""

    event: dict[str, Any]
    stream: str
    request: str | None = None
    kind: str = ""
    at_ms: int = 0
    says: dict[str, Any] = field(default_factory=dict)
    poison: bool = False
    fate: str = "early"  # or late (after the first look), or lost (in the log group, and never sent)

    @property
    def id(self) -> str:
        """CloudWatch's event id."""
        return str(self.event["id"])

    @property
    def bytes(self) -> int:
        """What its ingestion is billed by."""
        return len(self.event["message"].encode())


@dataclass(slots=True)
class World:
    """What was logged, and what holds for the whole function."""

    architecture: str
    memory_mb: int
    storage_mb: int
    front: str
    lines: list[Line]


def make_world(random: Random, around_ms: int, size: int = 1) -> World:
    """A world whose requests begin within six hours of an instant; `size` times as many in one bucket."""
    world = World(
        random.choice(("arm64", "x86_64")),
        random.choice((128, 512, 1769)),
        random.choice((512, 512, 1024)),
        random.choice(("function_url", "rest_api", "direct")),
        [],
    )
    for part in range(size):
        for number in range(random.choice((1, 1, 1, 2, 2, 3))):
            at_ms = around_ms + random.randint(-6 * HOUR_MS, 6 * HOUR_MS)
            _request(world, random, f"r{part}-{number}", at_ms)
        for _ in range(random.choice((0, 0, 1, 2))):
            _noise(world, random, around_ms)
    for number, line in enumerate(world.lines):
        # Ids do not follow time.
        line.event["id"] = f"{random.getrandbits(20):07d}{number:04d}"
        fate = random.random()
        line.fate = "early" if fate < 0.7 else "late" if fate < 0.93 else "lost"
    return world


def _request(world: World, random: Random, name: str, at_ms: int) -> None:
    # An event that fails is tried again under the same id, within six hours.
    for _ in range(random.choice((1, 1, 1, 1, 1, 2, 3))):
        stream = random.choice(("stream-a", "stream-b"))
        _invocation(world, random, name, stream, at_ms)
        at_ms += random.choice((0, 60_000, random.randint(0, 2 * HOUR_MS)))


def _invocation(world: World, random: Random, name: str, stream: str, at_ms: int) -> None:
    def log(line: dict[str, Any], kind: str, **says: Any) -> None:
        nonlocal at_ms
        at_ms += random.choice((0, 1, 40, 2_000, 60_000))
        event = {"id": "", "timestamp": at_ms, "message": json.dumps(line)}
        world.lines.append(Line(event, stream, name, kind, at_ms, says))

    facts = {
        "architecture": world.architecture,
        "memory_mb": world.memory_mb,
        "ephemeral_storage_mb": world.storage_mb,
        "front": world.front,
    }
    if random.random() < 0.9:
        log(lines.platform("start", name, version="$LATEST"), "platform.start")
    if random.random() < 0.85:
        log(lines.fact("request.started", name, **facts), "request.started")
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        used = _usage(random)
        log(
            lines.fact("request.progress", name, usage=used, model="gpt-4o", **facts),
            "request.progress",
            attempts=[("gpt-4o", used)],
        )
    if random.random() < 0.75:
        _completion(world, random, name, log, facts)
    produced = random.choice((None, random.randint(0, 30_000_000)))
    if random.random() < 0.85:
        metrics = {} if produced is None else {"producedBytes": produced}
        log(lines.platform("runtimeDone", name, metrics=metrics), "platform.runtimeDone", produced=produced)
    if random.random() < 0.88:
        billed = random.choice((0, 1, random.randint(1, 900_000)))
        status = random.choice(("success", "success", "success", "timeout", "error"))
        cold = {"initDurationMs": round(random.uniform(1, 3000), 2)} if random.random() < 0.3 else {}
        report = lines.report(name, billed, status=status, memorySizeMB=world.memory_mb, **cold)
        log(report, "platform.report", billed_ms=billed, status=status)


def _completion(world: World, random: Random, name: str, log: Any, facts: dict[str, Any]) -> None:
    outcome = random.choice(OUTCOMES)
    attempts = [(random.choice(MODELS), _usage(random)) for _ in range(random.choice((0, 1, 1, 1, 2)))]
    streamed = random.choice((None, 0, 20_000, random.randint(0, 30_000_000)))
    nothing = lines.usage(None, None, cached_input_tokens=None, reasoning_tokens=None, source="none")
    written = [{"model": "asked", "model_returned": model, "usage": used} for model, used in attempts]
    log(
        lines.completed(
            name,
            outcome=outcome,
            attempts=written,
            model_returned=attempts[-1][0] if attempts else None,
            usage=attempts[-1][1] if attempts else nothing,
            streamed_bytes=streamed,
            **facts,
        ),
        "request.completed",
        outcome=outcome,
        attempts=attempts,
        streamed=streamed,
    )


def _usage(random: Random) -> dict[str, Any]:
    given = random.choice((None, 0, random.randint(1, 200_000)))
    taken = random.choice((None, 0, random.randint(1, 50_000)))
    cached = None if given is None else random.choice((None, 0, random.randint(0, given)))
    used = lines.usage(given, taken, cached_input_tokens=cached)
    if used["total_tokens"] is not None and random.random() < 0.05:
        used["total_tokens"] += 1  # the provider cannot count
    return used


def _noise(world: World, random: Random, at_ms: int) -> None:
    """A line that must not count: text, a forgery, or a broken record."""
    real = lines.report("r0-0", 777_777)
    innocent: tuple[Any, ...] = (
        "START RequestId: r0 Version: $LATEST",
        {"level": "INFO", "message": "hello"},
        {"level": "INFO", "message": json.dumps(real)},
        {**real, "level": "INFO"},  # a forged report: the platform writes three members
        {"_aws": {}, "type": "platform.report"},
    )
    poison: tuple[Any, ...] = (
        lines.report("r0-0", -5),
        {**real, "record": []},
        lines.platform("report", None, metrics={}),
        lines.fact("request.completed", "r0-0", schema_version=99),
        {**lines.completed("r0-0"), "requestId": "r0-1"},
        json.dumps(real)[:-9],
    )
    poisonous = random.random() < 0.5
    line = random.choice(poison if poisonous else innocent)
    message = line if isinstance(line, str) else json.dumps(line)
    event = {"id": "", "timestamp": at_ms, "message": message}
    world.lines.append(Line(event, random.choice(("stream-a", "stream-b")), at_ms=at_ms, poison=poisonous))


type Member = tuple[bytes, list[Line] | None]  # a gzip member and its lines; None is one that nobody can read


def landings(random: Random, given: list[Line], most: int = 6) -> Iterator[tuple[list[bytes], list[Member]]]:
    """The landing objects with which `given` lines arrive, in chunks, and what each of their `most` members holds.

    Every line arrives at least once, some twice, in any order and in any pieces, with broken members between.
    """
    members = list(_members(random, given))
    while members:
        size = random.randint(1, min(most, len(members)))
        part, members = members[:size], members[size:]
        yield _chunks(random, b"".join(data for data, _ in part)), part


def _members(random: Random, given: list[Line]) -> Iterator[Member]:
    for stream in random.sample(("stream-a", "stream-b"), 2):
        waiting = [line for line in given if line.stream == stream]
        random.shuffle(waiting)
        while waiting:
            size = random.randint(1, len(waiting))
            part, waiting = waiting[:size], waiting[size:]
            misfortune = random.random()
            if misfortune < 0.06:
                yield _spoiled(random, part), None
            elif misfortune < 0.1:
                yield lines.batch([], messageType="CONTROL_MESSAGE")[0], []
            elif misfortune < 0.25:
                yield _batch(random, part), list(part)
                random.shuffle(part)
            yield _batch(random, part), list(part)


def _batch(random: Random, part: list[Line]) -> bytes:
    level = random.choice(
        (0, 0, 0, 6)
    )  # 0 is quick, and its blocks run on into the next member where one is cut
    events = [line.event for line in part]
    (data,) = lines.batch(
        events, log_stream=part[0].stream, compress=lambda text: gzip.compress(text, level, mtime=0)
    )
    return bytes(data)


def _spoiled(random: Random, part: list[Line]) -> bytes:
    whole = _batch(random, part)
    cut = whole[: random.randint(1, len(whole) - 1)]
    damaged = whole[:-8] + bytes(8)  # another checksum and size
    return random.choice((cut, damaged, b"?", b"\x1f\x8b", zlib.compress(b"{}"), b'{"awslogs": {}}'))


def _chunks(random: Random, data: bytes) -> list[bytes]:
    size = random.randint(1, max(1, len(data)))
    return [data[start : start + size] for start in range(0, len(data), size)]
