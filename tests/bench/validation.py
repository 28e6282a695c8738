"""Streamed validation: what it costs a token, when it is done, and how long it holds the loop.

Everything in one run on the same documents, four characters a token. Times are CPU times (of the process, or of the
thread for the longest call), because other work on the machine is not the validator's; lateness of the loop, which is
wall time, is the part `loop_gap`. Of several rounds the minimum counts. Memory and the libraries are in
validation_peers.py.
"""

import asyncio
import gc
import os
import time
from array import array
from collections.abc import Callable
from functools import partial

from pydantic import BaseModel

from pydantic_streaming import StreamedValidator, WholeText
from pydantic_streaming.whole import INLINE_MAX_BYTES
from tests.bench.documents import BlogPost, Dense, dense, prose, tokens
from tests.bench.tables import Bound, Table
from tests.bench.validation_peers import against_the_libraries, memory, stopping
from weir.generate.validator_process import ValidatorProcess

ROUNDS = int(os.environ.get("BENCH_VALIDATION_ROUNDS", "5"))
KB, MB = 1_000, 1_000_000
SIZES = (10 * KB, 100 * KB, MB, 10 * MB)


def run() -> list[Table]:
    """The tables, in the order in which they make their point."""
    pieces = tokens(prose(100 * KB))
    ours_s = cpu_s(partial(stream, BlogPost, pieces))
    return [
        _cpu(),
        _after_the_last_token(),
        _threshold(),
        _longest_call(),
        memory(),
        against_the_libraries(ours_s),
        stopping(),
    ]


def cpu_s(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The least CPU time of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def stream(model: type[BaseModel], pieces: list[str]) -> None:
    """Validate `pieces` as they come, as the service does, and take everything that is handed out."""
    validator = StreamedValidator(model)
    for piece in pieces:
        for _ in validator.feed(piece):
            pass
    validator.close()
    assert validator.fallback == "", validator.fallback


def whole(model: type[BaseModel], text: str) -> str:
    """Validate and dump a document when all of it is there."""
    return model.model_validate_json(text).model_dump_json()


def _cpu() -> Table:
    rows: list[list[str | float]] = []
    bounds: list[Bound] = []
    for name, write, model in (("prose", prose, BlogPost), ("dense", dense, Dense)):
        before = 0.0
        for size in SIZES:
            text = write(size)
            pieces = tokens(text)
            # A document of a millisecond is sooner disturbed than one of a second, and sooner repeated.
            rounds = max(2, min(10 * ROUNDS, ROUNDS * MB // size))
            ours = cpu_s(partial(stream, model, pieces), rounds)
            inline = cpu_s(partial(whole, model, text), rounds)
            a_token = ours / len(pieces) * 1e6
            rows.append([name, _size(size), a_token, inline / len(pieces) * 1e6, ours * 1e3, inline * 1e3])
            limit = 0.5 if name == "prose" else 1.0
            bounds.append(Bound(f"CPU a token, {name}, {_size(size)}", a_token, limit, "us"))
            if size > 100 * KB:
                bounds.append(Bound(f"growth, {name}, to {_size(size)}", ours / before, 11))
            before = ours
    columns = ["text", "size", "us a token", "inline, us a token", "ms", "inline, ms"]
    notes = ["Inline is model_validate_json and model_dump_json of the whole, when it is there.",
             "Dense text is one number or object for every five to twenty characters: many values, hence more calls."]  # fmt: skip
    return Table("CPU of streamed validation", columns, rows, bounds, notes)


def _after_the_last_token() -> Table:
    rows: list[list[str | float | None]] = []
    bounds: list[Bound] = []

    for size in (MB, 10 * MB):
        pieces = tokens(prose(size))
        rounds = ROUNDS if size == MB else 2
        ours = min(_tail(pieces) for _ in range(rounds))
        inline = _wall(partial(whole, BlogPost, "".join(pieces)), rounds)
        thread = _wall(partial(_in_a_thread, "".join(pieces)), rounds)
        child = asyncio.run(_child(pieces, rounds))
        rows.append([_size(size), ours, inline, thread, child])
        if size == MB:
            bounds.append(Bound("after the last token, 1 MB", ours, 0.1, "ms"))
    columns = ["size", "ours, ms", "inline, ms", "thread, ms", "our child process, ms"]
    notes = ["From the last piece to the validated document and its JSON. The child process is for texts that only the whole"
             " can tell; here one that repeats a key."]  # fmt: skip
    return Table("After the last token", columns, rows, bounds, notes)


def _in_a_thread(text: str) -> None:
    async def go() -> None:
        await asyncio.to_thread(whole, BlogPost, text)

    asyncio.run(go())


def _tail(pieces: list[str]) -> float:
    validator = StreamedValidator(BlogPost)
    for piece in pieces[:-1]:
        validator.feed(piece)
    began = time.perf_counter()
    validator.feed(pieces[-1])
    validator.close()
    return (time.perf_counter() - began) * 1e3


def _whole_only(text: str) -> StreamedValidator:
    """A validator whose text only the whole can tell: it repeats a key."""
    validator = StreamedValidator(BlogPost)
    for piece in tokens(text[:-1] + ',"title":"again"}', 4096):
        validator.feed(piece)
    return validator


async def _child(pieces: list[str], rounds: int) -> float:
    process = ValidatorProcess()
    await process.start()
    best = float("inf")
    for _ in range(rounds):
        validator = _whole_only("".join(pieces))
        outcome = validator.end()
        assert isinstance(outcome, WholeText)
        began = time.perf_counter()
        validator.finish(await process.validate(outcome))
        best = min(best, time.perf_counter() - began)
    assert (process.started, process.inline) == (1, 0)
    await process.aclose()
    return best * 1e3


def _threshold() -> Table:
    rows: list[list[str | float]] = []
    for size in (10 * KB, 30 * KB, 100 * KB, 300 * KB, MB):
        text = prose(size)
        split_ms = _wall(partial(lambda text: _whole_only(text).end(), text), ROUNDS)
        whole_ms = _wall(partial(lambda text: _whole_only(text).close(), text), ROUNDS)
        rows.append([_size(size), whole_ms - split_ms, asyncio.run(_child([text], ROUNDS * 2))])
    columns = ["size", "inline (the loop stands still), ms", "child process (it does not), ms"]
    notes = [f"Texts of more than {INLINE_MAX_BYTES // KB} KB go to the child: from there on inline holds up every other"
             " stream for longer than the timers of a loop are late anyway, and the way to the child and back is the"
             " lesser part of the wait."]  # fmt: skip
    return Table("Texts that only the whole can tell: where they are validated", columns, rows, notes=notes)


def _longest_call() -> Table:
    rows: list[list[str | float]] = []
    bounds: list[Bound] = []
    for name, write, model, limit in (("prose", prose, BlogPost, 1.0), ("dense", dense, Dense, 2.0)):
        for size in (MB, 10 * MB):
            pieces = tokens(write(size))
            for instances in (False, True):
                # Another round has other interruptions; the least of the longest calls is the validator's own.
                longest, collecting = min(_calls(model, pieces, instances) for _ in range(2))
                rows.append([name, _size(size), "kept" if instances else "dropped", longest, collecting])
                if not instances and size == 10 * MB:
                    bounds.append(Bound(f"longest call, {name}, {_size(size)}", longest, limit, "ms"))
    columns = ["text", "size", "instances", "longest call, ms", "garbage collection in it, ms"]
    notes = ["CPU time of the thread, garbage collection included. Instances are kept only on request: without them"
             " the collector has nothing to visit, which tames it.",
             "Memory that was there before is taken from the collector's sight (gc.freeze), as the service does at start."]  # fmt: skip
    return Table("Longest call by validation", columns, rows, bounds, notes)


def _calls(model: type[BaseModel], pieces: list[str], instances: bool) -> tuple[float, float]:
    clock = time.thread_time
    collected = began = 0.0

    def on_collection(phase: str, _info: dict[str, int]) -> None:
        nonlocal collected, began
        if phase == "start":
            began = clock()
        else:
            collected += clock() - began

    validator = StreamedValidator(model, instances=instances)
    calls, collections = array("d"), array("d")
    gc.collect()
    gc.freeze()
    gc.callbacks.append(on_collection)
    try:
        for piece in pieces:
            collected = 0.0
            start = clock()
            validator.feed(piece)
            calls.append(clock() - start)
            collections.append(collected)
        start = clock()
        validator.close()
        calls.append(clock() - start)
        collections.append(0.0)
    finally:
        gc.callbacks.remove(on_collection)
        gc.unfreeze()
    longest = max(range(len(calls)), key=calls.__getitem__)
    return calls[longest] * 1e3, collections[longest] * 1e3


def _wall(work: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best * 1e3


def _size(size: int) -> str:
    return f"{size // MB} MB" if size >= MB else f"{size // KB} KB"
