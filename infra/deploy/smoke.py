"""Does a stack do what we believe of it? One request through all of it, and a table of what differs.

The order is that of the request: it meets the newest version, is refused without a signature, streams while it is made
at each endpoint that the stack has, is a valid document, has a row in the ledger whose cost is what the caller was
told, and nobody is alarmed by it. A check that cannot be made says why, and is no success. It is the first thing that
an owner runs on AWS, where none of us could.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
from pydantic import ValidationError

from infra.local.terminal.account import estimate_error
from infra.local.terminal.caller import Generation, generate
from weir.schemas.blog_post import BlogPost

from .smoke_targets import Endpoint, Target, expectations, target_of

BODY = {"prompt": "Write a blog post about repairing old bicycles.", "schema": "blog_post"}
# A stream that somebody held back arrives at once, at the end.
LEAST_SPREAD = 0.2
MOST_ESTIMATE_ERROR = 0.1


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the table; `ok` is None where it could not be looked at."""

    what: str
    expected: str
    got: str
    ok: bool | None


async def checks(
    target: Target, expected_alarms: set[str], expected_schedules: Mapping[str, str]
) -> list[Check]:
    """All of them, in order; one that fails does not keep the others from being made."""
    found = await _tried_all("version behind the URL", "the newest", lambda: _published(target))
    generations = [Generation() for _ in target.endpoints]
    began = time.monotonic()
    for endpoint, generation in zip(target.endpoints, generations, strict=True):
        seen = [await _tried("unsigned request", str(endpoint.refusal), partial(_unsigned, endpoint))]
        seen += await _tried_all("request", "an answer", partial(_streamed, endpoint, generation))
        also = f"{endpoint.name}: " if generation is not generations[0] else ""
        found += [replace(one, what=f"{also}{one.what}") for one in seen]
    found += await _tried_all("ledger row", "complete", lambda: _accounted(target, generations[0], began))
    found += await _tried_all("alarms", "none rings", lambda: _alarms(target, expected_alarms))
    found += await _tried_all(
        "schedules", "as the template says", lambda: _schedules(target, expected_schedules)
    )
    return found


async def _published(target: Target) -> list[Check]:
    versions = await target.version()
    if versions is None:
        return [Check("version behind the URL", "the newest", "a laptop runs the working tree", None)]
    newest, behind = versions
    return [Check("version behind the URL", newest, behind, newest == behind)]


async def _unsigned(endpoint: Endpoint) -> Check:
    expected = str(endpoint.refusal)
    if endpoint.auth is None:
        return Check("unsigned request", expected, "nobody checks signatures on a laptop", None)
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(f"{endpoint.url}/v1/generations", json=BODY)
    return Check(
        "unsigned request", expected, str(answer.status_code), answer.status_code == endpoint.refusal
    )


async def _streamed(endpoint: Endpoint, generation: Generation) -> list[Check]:
    url, body = f"{endpoint.url}/v1/generations", BODY
    async with httpx.AsyncClient(timeout=120, auth=endpoint.auth) as client:
        async for _ in generate(client, url, body, generation):
            pass
    final = generation.final or {}
    said = f": {final.get('detail') or final.get('title')}" if generation.outcome != "ok" else ""
    found = [
        Check("status", "200", str(generation.status), generation.status == 200),
        Check("outcome", "ok", f"{generation.outcome}{said}", generation.outcome == "ok"),
        Check("x-request-id", "there", generation.request_id or "absent", generation.request_id is not None),
    ]
    first, last, whole = generation.ttft_ms, generation.ttlt_ms, generation.duration_ms
    if first is None or last is None:
        found.append(Check("arrives as it is made", "deltas", "none", False))
    else:
        spread = (last - first) / whole
        found.append(
            Check(
                "arrives as it is made",
                f"over {LEAST_SPREAD:.0%} of the time or more",
                f"{generation.deltas} deltas over {spread:.0%} of {whole:,.0f} ms, the first after {first:,.0f} ms",
                generation.deltas > 1 and spread >= LEAST_SPREAD,
            )
        )
        found.append(_valid("".join(generation.text)))
    found.append(Check("validated values", "1 or more", str(generation.values), generation.values > 0))
    return found


def _valid(text: str) -> Check:
    try:
        document = BlogPost.model_validate_json(text)
    except ValidationError as error:
        return Check("document", "a blog_post", f"{error.error_count()} violations", False)
    return Check("document", "a blog_post", f"{document.title[:40]!r}", True)


async def _accounted(target: Target, generation: Generation, began: float) -> list[Check]:
    if generation.request_id is None:
        return [Check("ledger row", "complete", "no request id to look for", None)]
    print(f"waiting for the ledger's row, {target.row_timeout_s:,.0f} s at most", file=sys.stderr)
    url = f"{target.finance_url}/api/requests/{generation.request_id}"
    until = time.monotonic() + target.row_timeout_s
    async with httpx.AsyncClient(timeout=120, auth=target.auth) as client:
        while True:  # once at least, however long it takes until it can be asked
            answer = await client.get(url)
            if answer.status_code not in (200, 404):
                said = f"finance: {answer.status_code} {answer.text[:80]}"
                return [Check("ledger row", "complete", said, False)]
            row = answer.json().get("row", {})
            status = row.get("join_status", "no row")
            if status == "complete" or time.monotonic() >= until:
                break
            await asyncio.sleep(1)
    after = f"{time.monotonic() - began:,.0f} s"
    found = [Check("ledger row", "complete", f"{status} after {after}", status == "complete")]
    return found + (_priced(row) if status == "complete" else [])


def _priced(row: Mapping[str, Any]) -> list[Check]:
    error, cost = estimate_error(dict(row)), row["cost"]
    unpriced = ", ".join(cost["unpriced"]) or "nothing"
    return [
        Check("ledger outcome", "ok", row["outcome"], row["outcome"] == "ok"),
        Check("unpriced", "nothing", unpriced, not cost["unpriced"]),
        Check(
            "estimate and row",
            f"within {MOST_ESTIMATE_ERROR:.0%}",
            "unknown" if error is None else f"{row['estimate_total']} and {cost['total']} USD, {error:+.1%}",
            None if error is None else abs(error) <= MOST_ESTIMATE_ERROR,
        ),
        Check("anomalies", "none", ", ".join(row["anomalies"]) or "none", not row["anomalies"]),
    ]


async def _alarms(target: Target, expected: set[str]) -> list[Check]:
    states = await target.alarms()
    found = [Check(f"alarm {name}", "there", "absent", False) for name in sorted(expected - states.keys())]
    ringing = {name: state for name, state in states.items() if state == "ALARM"}
    # Without a compaction it rings, as it should: the first one comes after a quarter of an hour.
    said = {"CompactionStalled": " (rings until the first compaction, 15 minutes after the first deployment)"}
    found += [
        Check(f"alarm {name}", "OK", f"{state}{said.get(name, '')}", False)
        for name, state in sorted(ringing.items())
    ]
    quiet = len(expected & states.keys() - ringing.keys())
    return [*found, Check("alarms that are quiet", str(len(expected)), str(quiet), quiet == len(expected))]


async def _schedules(target: Target, expected: Mapping[str, str]) -> list[Check]:
    states = await target.schedules()
    return [
        Check(f"schedule {name}", expression, states.get(name, "absent"), states.get(name) == expression)
        for name, expression in sorted(expected.items())
    ]


async def _tried(what: str, expected: str, check: Callable[[], Awaitable[Check]]) -> Check:
    async def one() -> list[Check]:
        return [await check()]

    return (await _tried_all(what, expected, one))[0]


async def _tried_all(what: str, expected: str, check: Callable[[], Awaitable[list[Check]]]) -> list[Check]:
    try:
        return await check()
    except Exception as error:  # whatever it is, it is what the owner has to know
        return [Check(what, expected, f"{type(error).__name__}: {str(error)[:160]}", False)]


def table(title: str, found: list[Check]) -> list[str]:
    """The checks as text, and how many are as believed."""
    words = {True: "ok", False: "DIFFERS", None: "not seen"}
    rows = [
        ("check", "", "expected", "got"),
        *((one.what, words[one.ok], one.expected, one.got) for one in found),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[3]]))
    good = sum(one.ok is True for one in found)
    unseen = sum(one.ok is None for one in found)
    return [title, *lines, f"{good} as believed, {len(found) - good - unseen} differ, {unseen} not seen"]


def smoke(stage: str) -> int:
    """Print the table for a stage of samconfig.toml, or `local`; 1 if anything differs."""

    async def run() -> list[Check]:
        async with target_of(stage) as target:
            found = await checks(target, *expectations())
            print("\n".join(table(target.name, found)))
            return found

    return int(any(one.ok is False for one in asyncio.run(run())))
