"""One attempt, sans IO: what a provider's bytes become, with clocks and caps handed in."""

import json
from itertools import count
from typing import Any

from pydantic import BaseModel

from weir.generate import events
from weir.generate.asked import Asked
from weir.generate.attempt import Attempt
from weir.generate.policy import Caps
from weir.generate.timing import RequestTiming
from weir.outcomes import Outcome
from weir.providers.chat_completions import ChatCompletionsDecoder
from weir.providers.routes import single_route
from weir.providers.structured_output import structured_output


class Answer(BaseModel):
    name: str
    level: int = 7
    note: str | None = None


def attempt(provider: str = "openai") -> Attempt:
    route = single_route("https://x/v1", "m", "", provider).routes["m"]
    schema = Answer.model_json_schema()
    structured = structured_output("answer", schema, route.profile)
    asked = Asked(
        route, 10, 1_000, structured, lambda: Answer, None, schema if structured.null_is_absent else None
    )
    ticks = count()
    made = Attempt(
        1, asked, ChatCompletionsDecoder(), include=frozenset({"delta", "value"}), stop_at_violation=True, keep=True,
        caps=Caps(), timing=RequestTiming(0), clock=lambda: next(ticks), wire=events, validated_release=False, released="",
        whole_members=True,
    )  # fmt: skip
    made.begin_validation()
    return made


def stream(text: str, finish: str | None = "stop", size: int = 3) -> bytes:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    if finish:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return b"".join(b"data: " + json.dumps(item).encode() + b"\n\n" for item in chunks) + b"data: [DONE]\n\n"


def run(made: Attempt, data: bytes) -> list[tuple[str, bytes]]:
    made.absorb(data)
    made.end_body()
    validator = made.conclude()
    if validator is not None:
        made.accept(validator.close())
    return [(value.path, value.json) for value in made.values]


def test_null_for_a_field_with_a_default_is_absent_where_a_strict_mode_wants_every_field() -> None:
    text = '{"name": "a", "level": null, "note": null}'
    values = run(attempt(), stream(text))
    assert dict(values) == {"/name": b'"a"', "/level": b"7", "/note": b"null"}
    assert attempt("anthropic").asked.document is None


def test_the_same_null_is_a_violation_where_the_field_could_be_left_out() -> None:
    made = attempt("anthropic")
    made.absorb(stream('{"name": "a", "level": null}'))
    made.validate()
    assert made.verdict is not None and made.verdict.outcome is Outcome.INVALID_OUTPUT


def test_a_failure_right_behind_wrong_text_is_the_failure_with_the_violation() -> None:
    made = attempt("anthropic")
    text = stream('{"name": "a", "level": null, "note": 5', finish=None).replace(b"data: [DONE]\n\n", b"")
    deltas = made.absorb(text + b'data: {"error": {"message": "overloaded", "code": 529}}\n\n')
    assert b"event: value" not in deltas
    assert b'"path":"/name"' in made.validate()
    assert made.verdict is not None and made.failed is not None
    assert made.verdict.outcome is not Outcome.INVALID_OUTPUT
    assert [violation.path for violation in made.verdict.violations] == ["/level"]


def test_text_behind_the_last_token_is_held_no_longer_than_the_end() -> None:
    made = attempt()
    made.absorb(stream('{"name": "a"} x'))
    made.end_body()
    assert made.verdict is not None and made.verdict.outcome is Outcome.INVALID_OUTPUT
