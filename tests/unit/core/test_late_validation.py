"""A validator that comes late changes no verdict: an answer is what it would have been, had it been there from the start.

The same reads are given to two attempts, of which one gets its validator after some of them, as at a cold start.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.recordings import DECODERS, recordings
from weir.generate import events
from weir.generate.asked import Asked
from weir.generate.attempt import Attempt
from weir.generate.policy import Caps
from weir.generate.timing import RequestTiming
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.routes import single_route
from weir.providers.sse import SSEDecoder

BROKE = Problem(Outcome.UPSTREAM_ERROR, "the connection broke")


class Line(BaseModel):
    word: str
    count: int


class Report(BaseModel):
    title: str
    lines: list[Line] = []
    note: str | None = None


def attempt(api: str = "chat.completions", **options: Any) -> Attempt:
    route = single_route("https://x/v1", "m", "", "openai").routes["m"]
    ticks = itertools.count()
    asked = Asked(route, 10, options.pop("max_tokens", 1_000), None, lambda: Report)
    given = {"include": frozenset({"delta", "value"}), "stop_at_violation": True, "validated_release": False}
    return Attempt(
        1, asked, DECODERS[api](), wire=events, released="", keep=True, whole_members=False, caps=Caps(),
        timing=RequestTiming(0), clock=lambda: next(ticks), **(given | options),
    )  # fmt: skip


def run(made: Attempt, reads: Sequence[bytes], begins: int, *, broken: bool) -> list[tuple[str, Any]]:
    """What an answer in these reads gives, as the question drives it; the validator comes after `begins` of them."""
    out = b""
    for number, data in enumerate(reads):
        if number == begins:
            made.begin_validation()
        out += made.absorb(data) + made.validate()
        if made.over:
            break
    if made.waits:
        made.begin_validation()
        out += made.validate()
    if broken and not made.over:
        made.fail(BROKE)
    else:
        out += made.end_body()
        if (validator := made.conclude()) is not None:
            from pydantic_streaming import InvalidDocument

            try:
                out += made.accept(validator.close())
            except InvalidDocument as error:
                made.refuse(error)
    return [(event.event, json.loads(event.data)) for event in SSEDecoder().feed(out)]


def told(made: Attempt) -> tuple[Any, ...]:
    verdict = made.verdict
    assert verdict is not None
    problem = verdict.problem.as_json() if verdict.problem else None
    return verdict.outcome, verdict.violations, problem, made.failed, made.sent_paths


def text_of(found: list[tuple[str, Any]]) -> str:
    return "".join(data["text"] for kind, data in found if kind == "delta")


def same(reads: Sequence[bytes], begins: int, api: str = "chat.completions", **options: Any) -> Outcome:
    broken = options.pop("broken", False)
    plain, late = attempt(api, **options), attempt(api, **options)
    theirs, ours = run(plain, reads, 0, broken=broken), run(late, reads, begins, broken=broken)
    assert told(late) == told(plain)
    assert [event for event in ours if event[0] == "value"] == [
        event for event in theirs if event[0] == "value"
    ]
    # Text may run ahead of what ends it, and only where it leaves the moment it comes.
    assert text_of(ours).startswith(text_of(theirs))
    if options.get("validated_release") or (
        plain.verdict is not None and plain.verdict.outcome is Outcome.OK
    ):
        assert text_of(ours) == text_of(theirs)
    assert plain.verdict is not None
    return plain.verdict.outcome


def chunk(text: str = "", finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


ENDS: dict[str, list[bytes]] = {
    "whole": [chunk(finish="stop"), b"data: [DONE]\n\n"],
    "cut": [chunk(finish="length"), b"data: [DONE]\n\n"],
    "filtered": [chunk(finish="content_filter")],
    "no end": [],
    "error": [b'data: {"error": {"message": "overloaded", "code": 529}}\n\n'],
    "no JSON": [b"data: {not json\n\n"],
}
DOCUMENTS = [
    {"title": "a", "lines": [{"word": f"w{number}", "count": number} for number in range(40)], "note": None},
    {
        "title": "a",
        "lines": [{"word": "w", "count": 1}, {"word": "w", "count": "x"}, {"word": "w", "count": 2}],
    },
    {"title": 5, "lines": []},
    {"lines": [{"word": "é" * 300, "count": 1}], "note": "n"},
    ["no", "object"],
]


@given(
    st.sampled_from(DOCUMENTS), st.sampled_from(sorted(ENDS)), st.integers(1, 60), st.integers(1, 9),
    st.integers(0, 1_500), st.integers(0, 30), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([1_000, 7]),
)  # fmt: skip
def test_the_verdict_and_the_values_do_not_hang_on_when_the_validator_came(
    document: Any, end: str, size: int, joined: int, cut: int, begins: int, stop: bool, release: bool, broken: bool,
    max_tokens: int,
) -> None:  # fmt: skip
    text = json.dumps(document, ensure_ascii=False)
    text = text[:cut] if cut < len(text) and end != "whole" else text
    chunks = [chunk(text[at : at + size]) for at in range(0, len(text), size)] + ENDS[end]
    reads = [b"".join(chunks[at : at + joined]) for at in range(0, len(chunks), joined)]
    same(
        reads, begins, stop_at_violation=stop, validated_release=release, broken=broken, max_tokens=max_tokens
    )


def test_a_violation_that_came_reads_before_a_failure_is_the_verdict() -> None:
    reads = [chunk('{"title": 5,'), chunk(' "lines": []'), *ENDS["error"]]
    assert same(reads, begins=9) is Outcome.INVALID_OUTPUT
    assert same(reads, begins=9, stop_at_violation=False) is not Outcome.INVALID_OUTPUT


@pytest.mark.parametrize("api", list(DECODERS))
def test_recorded_streams_get_one_verdict_whenever_the_validator_came(api: str) -> None:
    for recording in recordings(api):
        step = max(1, len(recording.body) // 7)
        reads = [recording.body[at : at + step] for at in range(0, len(recording.body), step)]
        for begins, release in ((1, False), (9, True)):
            same(reads, begins, api, validated_release=release)
