"""`make soak`: many streams, some of them faulty in thirty ways, in both modes, from one seed; every sum must be exact.

    python -m tests.soak [--streams 20000] [--faults 0.05] [--seeds 1 2 3]

Each request has one scripted provider, chosen by the seed. At the end: each request has exactly one final event (or one
buffered object), one completion and one row; outcomes are as scripted; providers were called as often as the policy says;
memory and descriptors are flat; the rows' tokens are the sum of what was scripted. Prints the figures; ends with 1
where one of them is wrong.
"""

import argparse
import asyncio
import io
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from random import Random
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Door, door, facts, set_policy
from tests.functional.generate.scripted import (
    DONE,
    END,
    HEAD,
    USAGE,
    Step,
    chunk,
    completion,
    framed,
    status,
    text,
)

CONCURRENT = 32
WARM_UP = 400
GROWTH_KB = 65_536
GOOD = json.dumps(BLOG_POST)
WRONG = json.dumps(BLOG_POST | {"slug": "Not A Slug"})
PIECES = [GOOD[at : at + 40] for at in range(0, len(GOOD), 40)]
DOCUMENT = {"schema": "blog_post"}

# Name: what the provider does, what is asked, how it ends, how often the provider is called.
type Fault = tuple[Sequence[Sequence[Step]], dict[str, Any], str, int]
FINE = completion(*PIECES)


def error(code: int, message: str = "x", *headers: str) -> list[Step]:
    return status(code, {"error": {"message": message}}, *headers)


FAULTS: dict[str, Fault] = {
    "429 once": ([error(429), FINE], {}, "ok", 2),
    "500 once": ([error(500), FINE], {}, "ok", 2),
    "503 twice": ([error(503), error(503), FINE], {}, "ok", 3),
    "502 always": ([error(502)], {}, "upstream_error", 3),
    "529 always": ([error(529)], {}, "upstream_error", 3),
    "504 always": ([error(504)], {}, "upstream_timeout", 2),
    "408 once": ([error(408), FINE], {}, "ok", 2),
    "429 for long": ([error(429, "x", "retry-after: 99")], {}, "rate_limited", 1),
    "quota": ([error(429, "insufficient_quota")], {}, "rate_limited", 1),
    "401": ([error(401)], {}, "upstream_error", 1),
    "400": ([error(400)], {}, "upstream_error", 1),
    "context": ([error(400, "maximum context length")], {}, "upstream_error", 1),
    "filter": ([error(400, "content_filter")], {}, "filtered", 1),
    "redirect": ([status(301, {}, "location: http://127.0.0.1:1/")], {}, "upstream_error", 1),
    "reset once": ([["reset"], FINE], {}, "ok", 2),
    "close always": ([["close"]], {}, "upstream_error", 3),
    "garbage": ([[b"garbage\r\n\r\n", "close"]], {}, "upstream_error", 3),
    "stalled headers": ([["stall"], FINE], {}, "ok", 2),
    "stalled token": ([[HEAD, text("{"), "stall"]], {}, "upstream_timeout", 1),
    "cut": ([[HEAD, text("{"), END]], {}, "incomplete_stream", 1),
    "closed": ([[HEAD, text("{"), "close"]], {}, "upstream_error", 1),
    "reset": ([[HEAD, text("{"), "reset"]], {}, "upstream_error", 1),
    "bad chunk": ([[HEAD, text("{"), b"zz\r\n", "close"]], {}, "upstream_error", 1),
    "error event": ([[HEAD, text("{"), chunk(error={"message": "died"}), END]], {}, "upstream_error", 1),
    "no JSON": ([[HEAD, text("{"), framed(b"data: {oops\n\n"), DONE, END]], {}, "upstream_error", 1),
    "endless line": ([[HEAD, framed(b"data: " + b"x" * 1_200_000), END]], {}, "upstream_error", 1),
    "violation": ([completion(WRONG)], DOCUMENT, "invalid_output", 1),
    "violation, once more": ([completion(WRONG), FINE], DOCUMENT | {"on_violation": "retry"}, "ok", 2),
    "length": ([completion(GOOD[:200], finish="length")], DOCUMENT, "truncated_output", 1),
    "refusal": ([[HEAD, chunk({"refusal": "no"}), chunk(finish="stop"), DONE, END]], DOCUMENT, "refused", 1),
}  # fmt: skip
assert len(FAULTS) == 30


class Scripted:
    """One provider for all requests: the prompt names the request, which has a script of its own."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Sequence[Step]]] = {}
        self.calls: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                name = json.loads(await reader.readexactly(size))["messages"][0]["content"]
                self.calls[name] += 1
                left = self.scripts.get(name)
                if left is None:
                    return  # whoever asked has given up
                for step in left.pop(0) if len(left) > 1 else left[0]:
                    if step == "stall":
                        await reader.read()
                        return
                    if step == "reset":
                        writer.transport.abort()
                        return
                    if step == "close":
                        return
                    assert isinstance(step, bytes)
                    writer.write(step)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Soak:
    """One seed's run, and what is wrong with it."""

    def __init__(self, seed: int, streams: int, faults: float) -> None:
        self.random = Random(seed)
        self.streams, self.faults = streams, faults
        self.provider = Scripted()
        self.wrong: list[str] = []
        self.expected: dict[str, tuple[str, int]] = {}
        self.sizes: list[tuple[int, int]] = []
        self.completions: Counter[str] = Counter()
        self.rows: dict[str, str] = {}
        self.tokens = self.resent = 0
        self.kinds: Counter[str] = Counter()
        self.kind_of: dict[str, str] = {}

    async def run(self, patch: pytest.MonkeyPatch) -> None:
        """All streams, some at a time."""
        server = await asyncio.start_server(self.provider.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, door(f"http://127.0.0.1:{port}/v1", patch) as app:
            # Far above what a busy machine is late, and what the stalls among the faults wait for.
            set_policy(app, headers_s=8.0, between_tokens_s=8.0, longest_wait_s=5.0)
            numbers = iter(range(self.streams))
            async with asyncio.TaskGroup() as group:
                for _ in range(CONCURRENT):
                    group.create_task(self._work(app, numbers))
            server.close()
            server.close_clients()

    async def _work(self, app: Door, numbers: Any) -> None:
        for number in numbers:
            await self._one(app, f"r{number}")
            if number % 200 == 0 and number >= WARM_UP:
                descriptors = len(os.listdir("/proc/self/fd"))
                self.sizes.append((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, descriptors))

    async def _one(self, app: Door, name: str) -> None:
        body: dict[str, Any] = dict(DOCUMENT)
        kind, scripts, outcome, calls = "fine", [FINE], "ok", 1
        if self.random.random() < self.faults:
            kind = self.random.choice(list(FAULTS))
            found, more, outcome, calls = FAULTS[kind]
            scripts, body = list(found), body | more
        self.kinds[kind] += 1
        self.kind_of[name] = kind
        self.provider.scripts[name] = list(scripts)
        self.expected[name] = (outcome, calls)
        buffered = self.random.random() < 0.5
        headers = {"accept": "application/json"} if buffered else {}
        answer = await app.request({"prompt": name, "tags": {"name": name}, **body}, headers=headers)
        if answer.headers["content-type"].startswith("text/event-stream"):
            finals = answer.body.count(b"\nevent: done\n") + answer.body.count(b"\nevent: error\n")
            finals += answer.body.startswith((b"event: done\n", b"event: error\n"))
            told = json.loads(answer.body.rstrip().rpartition(b"\ndata: ")[2])["outcome"]
        else:
            finals, told = 1, answer.json["outcome"]
        if (finals, told) != (1, outcome):
            self.wrong.append(f"{kind}: expected one final, {outcome}; got {finals}, {told}")
        del self.provider.scripts[name]

    def account(self, log: str) -> None:
        """Hold the facts against what was scripted."""
        for fact in facts(log):
            if fact["kind"] != "request.completed":
                continue
            name = fact["tags"]["name"]
            self.completions[name] += 1
            self.rows[fact["request_id"]] = name
            outcome, calls = self.expected[name]
            # A pooled connection that was dead is sent again once, as a call of its own on the bill.
            lines = fact["attempts"]
            dead = bool(lines[0].get("maybe_served")) and lines[0]["usage"].get("input_tokens") == 0
            self.resent += dead and len(lines) > calls
            called = self.provider.calls[name]
            if fact["outcome"] != outcome or called != len(lines) or called - calls not in (0, int(dead)):
                kind, got = self.kind_of[name], f"{fact['outcome']}, {called} calls, {len(lines)} attempts"
                self.wrong.append(f"{kind}: expected {outcome}, {calls} calls, each an attempt; got {got}")
            counted = [
                line["usage"].get("output_tokens") or 0
                for line in fact["attempts"]
                if line["outcome"] == "ok"
            ]
            self.tokens += sum(counted)
        if set(self.completions.values()) != {1} or len(self.rows) != self.streams:
            self.wrong.append(f"expected {self.streams} completions, one each, got {len(self.rows)}")
        good = sum(outcome == "ok" for outcome, _ in self.expected.values())
        if self.tokens != good * USAGE["completion_tokens"]:
            self.wrong.append(
                f"expected {good * USAGE['completion_tokens']} output tokens, got {self.tokens}"
            )
        if self.sizes:
            grown_kb = self.sizes[-1][0] - self.sizes[0][0]
            opened = self.sizes[-1][1] - self.sizes[0][1]
            # What is kept of each request here, its log and its name, is this program's own.
            if grown_kb > GROWTH_KB + len(log) // 512 or opened > 2 * CONCURRENT:  # both ends are here
                self.wrong.append(
                    f"expected flat memory and descriptors, got {grown_kb} KB and {opened} more"
                )


def main(argv: list[str]) -> int:
    """0 where every sum is exact."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=20_000)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args(argv)
    failed = False
    for seed in given.seeds:
        soak, log, began = Soak(seed, given.streams, given.faults), io.StringIO(), time.monotonic()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(log):
            asyncio.run(soak.run(patch))
        soak.account(log.getvalue())
        failed = failed or bool(soak.wrong)
        faulty = sum(count for kind, count in soak.kinds.items() if kind != "fine")
        memory = (
            f"{(soak.sizes[-1][0] - soak.sizes[0][0]) / 1024:.0f} MB more" if soak.sizes else "not measured"
        )
        print(
            f"seed {seed}: {given.streams} streams, {faulty} faults of {len(soak.kinds) - 1} kinds, "
            f"{sum(soak.provider.calls.values())} calls ({soak.resent} on connections found dead), {soak.tokens} output tokens, memory {memory}, "
            f"{time.monotonic() - began:.0f} s: {len(soak.wrong)} wrong"
        )
        for line in soak.wrong[:10]:
            print(f"  {line}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
