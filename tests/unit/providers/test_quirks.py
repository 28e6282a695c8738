"""What OpenAI-compatible servers really send (CORPORA/quirks, one raw response a file): what it must be read as.

The same bytes over a socket, through the whole of generate: tests/functional/generate/test_quirks.py.
"""

from typing import Any

import pytest

from tests.quirks import body_of, quirk
from tests.recordings import read

DOCUMENT = '{"title":"A","count":3}'


def reading(name: str) -> Any:
    return read("chat.completions", body_of(quirk(name)))


@pytest.mark.parametrize(
    ("name", "text", "complete"),
    [
        ("mistral-content-parts", "Hello world", True),
        ("index-null", "Hello", True),
        ("message-not-delta", "Hello", True),
        ("empty-data-keepalive", "Hello", True),
        ("float-counts", "Hello", True),
        ("done-trailing-space-json", DOCUMENT, True),
        ("sse-but-text-plain", DOCUMENT, True),
        ("finish-eos", DOCUMENT, True),
        ("finish-max_tokens", DOCUMENT, True),
        ("finish-tool_calls-with-content", DOCUMENT, True),
        ("abrupt-close-after-finish-usage-json", DOCUMENT, True),
        ("hang-after-finish-usage-json", DOCUMENT, True),
        ("lone-surrogates-json", '{"title":"ok 😀 ok","count":1}', True),
        ("done-only", "", False),
        ("finish-stop-every-chunk-cut", "Half of a sen", False),
        ("object-error-then-done", "Half", False),
        ("openrouter-top-error", "Half", False),
        ("minimax-base_resp", "", False),
        ("raw-json-error-line", "", False),
        ("200-json-error", "", False),
    ],
)
def test_text_and_whether_it_is_all_of_it(name: str, text: str, complete: bool) -> None:
    found = reading(name)
    assert (found.text, found.complete) == (text, complete)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("object-error-then-done", "server", "CUDA out of memory"),
        ("openrouter-top-error", "rate_limited", "Provider returned error"),
        ("minimax-base_resp", "quota", "insufficient balance"),
        ("raw-json-error-line", "rate_limited", "Too many requests"),
        ("200-json-error", "quota", "Rate limit exceeded: free-models-per-day"),
    ],
)
def test_an_error_is_one_wherever_it_stands(name: str, kind: str, message: str) -> None:
    [failed] = reading(name).failures
    assert (failed.kind, failed.message) == (kind, message)


@pytest.mark.parametrize(
    ("name", "raw", "normal"),
    [
        ("finish-eos", "eos", "stop"),
        ("finish-max_tokens", "max_tokens", "length"),
        ("finish-tool_calls-with-content", "tool_calls", "tool"),
    ],
)
def test_finish_reasons_of_any_text_have_one_meaning(name: str, raw: str, normal: str) -> None:
    finish = reading(name).finish
    assert (finish.raw, finish.normal) == (raw, normal)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("zero-last-usage", {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "fell": True}),
        ("later-lacks-details", {"input_tokens": 100, "cached_input_tokens": 80, "output_tokens": 20, "fell": False}),
        ("float-counts", {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}),
        ("kimi-cached-top-level", {"input_tokens": 2989, "cached_input_tokens": 2900, "output_tokens": 10}),
        # The total is as it was reported; the output is what it has beside the prompt.
        ("xai-reasoning-outside", {"input_tokens": 10120, "output_tokens": 4308, "total_tokens": 14428, "reasoning_tokens": 2809}),
    ],
)  # fmt: skip
def test_counts_are_read_wherever_they_stand_and_never_fall(name: str, counts: dict[str, Any]) -> None:
    usage = reading(name).usage
    assert {member: getattr(usage, member) for member in counts} == counts
    assert usage.complete and not usage.inconsistent


def test_usage_before_the_end_is_a_lower_bound() -> None:
    body = body_of(quirk("placeholder-usage-then-violation"))
    stopped = read("chat.completions", body[: len(body) // 2])
    assert stopped.usage is not None
    assert (stopped.usage.input_tokens, stopped.usage.output_tokens) == (
        1234,
        1,
    ) and not stopped.usage.complete


def test_thoughts_in_parts_are_thoughts() -> None:
    assert reading("mistral-content-parts").reasoning == "hm"


def test_halves_that_meet_are_no_replacement() -> None:
    """A high surrogate is held for the next delta: what is forwarded is always text that UTF-8 can say."""
    reading("lone-surrogates-json").text.encode()
