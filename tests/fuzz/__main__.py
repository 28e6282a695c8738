"""`python -m tests.fuzz [validation | caller-schema | ledger | ...] [--cases N | --seconds S | --seed N]`: fuzzing.

    validation    streamed validation against Pydantic's `model_validate_json`: 10,000 texts of generated models
    caller-schema validators of callers' own schemas against `jsonschema`: 10,000 schemas, four documents each
    ledger        the ledger's properties over random worlds, against an oracle in memory: 100,000
    ledger-store  the same through compaction, closing and corrections in DuckDB and moto's S3: 1,000
    fast-join     the rows that SQL makes of facts against the join's own: 60,000 requests, mutated

Without a name all of them run. A case that fails is made smaller and printed with its seed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from itertools import count, islice
from random import Random

from tests.fuzz import caller_schema, fast_join, ledger, ledger_store, validation
from tests.fuzz.ledger_worlds import World

CASES = {
    "validation": 10_000,
    "caller-schema": 10_000,
    "ledger": 100_000,
    "ledger-store": 1_000,
    "fast-join": 60_000,
}
CHUNK = {"ledger": 1_000, "ledger-store": 5}  # seeds that a process takes at a time

type Failure = tuple[int, str]  # seed, what is wrong


def main() -> None:
    """Run what is asked for, and say how much it was."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help=f"of {', '.join(CASES)}; all without any")
    parser.add_argument("--cases", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None, help="for each, instead of --cases")
    parser.add_argument("--seed", type=int, default=None, help="repeat one case")
    asked = parser.parse_args()
    if unknown := set(asked.what) - set(CASES):
        parser.error(f"expected {', '.join(CASES)}, got {', '.join(sorted(unknown))}")
    for name in asked.what or CASES:
        cases = asked.cases or CASES[name]
        if name == "validation":
            validation.run(cases, asked.seconds, asked.seed)
        elif name == "caller-schema":
            caller_schema.run(cases, asked.seconds, asked.seed)
        elif name == "fast-join":
            fast_join.run(cases, asked.seconds, asked.seed)
        else:
            run(name, cases, asked.seconds, asked.seed)


def run(name: str, cases: int, seconds: float | None, seed: int | None) -> None:
    """The ledger's cases, spread over the processors."""
    began = time.monotonic()
    worlds = ledger_store.WORLDS if name == "ledger-store" else 1
    if seed is not None:
        failure = chunk(name, seed, seed + 1)
        if failure:
            _exit(name, failure)
        print(f"{name}: seed {seed} holds")
        return
    seeds = -(-cases // worlds)
    done = 0
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        chunks = _chunks(seeds, CHUNK[name], endless=seconds is not None)
        running = {pool.submit(chunk, name, *part): part for part in islice(chunks, 2 * workers)}
        while running:
            finished = next(as_completed(running))
            first, last = running.pop(finished)
            if failure := finished.result():
                pool.shutdown(cancel_futures=True)
                _exit(name, failure)
            done += last - first
            part = next(chunks, None)
            if part and (seconds is None or time.monotonic() - began < seconds):
                running[pool.submit(chunk, name, *part)] = part
    print(
        f"{name}: {done * worlds} worlds, every property holds; {time.monotonic() - began:.0f} s", flush=True
    )


def chunk(name: str, first: int, last: int) -> Failure | None:
    """The cases of some seeds, in this process; the first that fails, as small as it gets."""
    logging.disable(logging.CRITICAL)  # whatever moto has to say
    case: Callable[[int], None]
    check: Callable[[World, int], None]
    if name == "ledger":
        case, check, draw = ledger.one_case, ledger.check, ledger.draw
    else:
        case, check, draw = ledger_store.one_case, ledger_store.check, ledger_store.draw
    with ledger_store.in_memory_s3() if name == "ledger-store" else nullcontext():
        for seed in range(first, last):
            try:
                case(seed)
            except Exception as error:
                world, said = ledger.smallest(draw(Random(seed)), seed, check)
                shown = "\n".join(f"  {line}" for line in world.lines)
                return seed, f"{type(error).__name__}: {error}\nsmaller: {said}\n{shown}"
    return None


def _chunks(seeds: int, size: int, *, endless: bool) -> Iterator[tuple[int, int]]:
    for first in count(0, size):
        if first >= seeds and not endless:
            return
        yield first, first + size if endless else min(first + size, seeds)


def _exit(name: str, failure: Failure) -> None:
    seed, said = failure
    print(f"{name} --seed {seed}: {said}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
