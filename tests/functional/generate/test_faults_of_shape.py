"""Faults in what a provider's stream says: its bytes, its counts, its model's name, and JSON that is none."""

import json
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, door, facts
from tests.functional.generate.scripted import (
    DONE,
    END,
    HEAD,
    Step,
    chunk,
    completion,
    framed,
    provider,
    text,
)

DOCUMENT = json.dumps(BLOG_POST)


async def ask(script: list[Step], monkeypatch: pytest.MonkeyPatch, **body: Any) -> Answer:
    """One answer; the provider is api.openai.com as far as prices go."""
    async with provider(script) as upstream:
        model = {"base_url": upstream.base_url, "model": "gpt-4.1-mini", "seller": "openai"}
        models = json.dumps({"models": {"m": model}})
        async with door(upstream.base_url, monkeypatch, WEIR_MODELS=models, AWS_REGION="us-east-1") as app:
            return await app.request({"prompt": "x", **body})


def counted(given: int, taken: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": given, "completion_tokens": taken, "total_tokens": given + taken, **more}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("space", [b"", b" "])
async def test_a_mark_any_line_ends_and_no_space_are_the_same_stream(
    end: bytes, space: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 20."""
    said = json.dumps(
        {"choices": [{"index": 0, "delta": {"content": "a\0é\u2028b"}, "finish_reason": "stop"}]}
    )
    lines = [b"\xef\xbb\xbfdata:" + space + said.encode(), b"", b"data:" + space + b"[DONE]", b"", b""]
    whole = end.join(lines)
    for pieces in ([whole], [whole[at : at + 1] for at in range(len(whole))]):
        answer = await ask([HEAD, *map(framed, pieces), END], monkeypatch)
        assert (answer.text, answer.final[1]["outcome"]) == ("a\0é\u2028b", "ok")


@pytest.mark.parametrize(
    ("reports", "wanted"),
    [
        ([], ("estimated", None, False)),
        ([counted(10, 5), counted(10, 9)], ("provider", 9, True)),
        (
            [counted(10, 9), {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}],
            ("provider", 9, True),
        ),
        ([{"prompt_tokens": 10.0, "completion_tokens": 9.0, "total_tokens": 19.0}], ("provider", 9, True)),
    ],
    ids=["none", "twice, running", "zeros behind", "floats"],
)
async def test_the_last_report_counts_none_is_added_and_without_one_it_is_an_estimate(
    reports: list[dict[str, Any]], wanted: tuple[str, int | None, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 28."""
    script = [HEAD, text("some text of ten words"), chunk(finish="stop")]
    answer = await ask([*script, *(chunk(usage=usage) for usage in reports), DONE, END], monkeypatch)
    usage = answer.final[1]["usage"]
    source, output, complete = wanted
    assert (usage["source"], usage.get("complete", True)) == (source, complete)
    assert usage["output_tokens"] == output or (output is None and usage["output_tokens"] >= 1)


async def test_usage_in_a_chunk_that_has_text_counts_and_what_comes_behind_it_counts_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fault 28."""
    script = [
        HEAD,
        chunk({"content": "a"}, usage=counted(10, 1)),
        chunk({"content": "b"}, "stop", usage=counted(10, 2)),
    ]
    answer = await ask([*script, DONE, END], monkeypatch)
    assert (answer.text, answer.final[1]["usage"]["output_tokens"]) == ("ab", 2)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -4, "completion_tokens": 5, "total_tokens": 1},
        counted(10, 900_000_000),
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3},
        counted(10, 5, prompt_tokens_details={"cached_tokens": 11}),
    ],
    ids=["negative", "absurd", "no sum", "a part more than the whole"],
)
async def test_counts_that_contradict_themselves_are_flagged_and_not_priced(
    usage: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 29."""
    answer = await ask([HEAD, text("a"), chunk(finish="stop"), chunk(usage=usage), DONE, END], monkeypatch)
    cost = answer.final[1]["cost"]
    assert "usage_inconsistent" in cost["unpriced"] and cost["components"]["output_tokens"] is None
    # What was reported stands as it was reported.
    [attempt] = facts(capsys.readouterr().out)[-1]["attempts"]
    assert attempt["usage"]["output_tokens"] == usage["completion_tokens"]


@pytest.mark.parametrize(
    ("name", "priced"),
    [("gpt-4.1-mini-2025-04-14", True), ("gpt-4.1-2025-04-14", True), ("nobodys-model", False)],
)
async def test_the_model_that_answered_is_priced_and_one_that_nobody_knows_is_named(
    name: str, priced: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 30."""
    usage = counted(1_000_000, 1_000_000)
    events = [
        chunk({"content": "a"}, model=name),
        chunk(finish="stop", model=name),
        chunk(usage=usage, model=name),
    ]
    answer = await ask([HEAD, *events, DONE, END], monkeypatch)
    cost = answer.final[1]["cost"]
    output = cost["components"]["output_tokens"]
    if priced:
        unpriced = [reason for reason in cost["unpriced"] if "tokens" in reason]
        assert (unpriced, float(output)) == ([], 1.6 if "mini" in name else 8.0)
    else:
        assert output is None and any(f"tokens:{name}:" in reason for reason in cost["unpriced"])
    assert facts(capsys.readouterr().out)[-1]["model_returned"] == name


@pytest.mark.parametrize(
    "broken", ["[1 true", "}", '{"title": "a" "slug"', '{"title":: 1', "Sure! {", '{"tags": [,']
)
async def test_what_can_never_be_the_document_ends_the_call_where_it_is_first_known(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 45."""
    answer = await ask([HEAD, text(broken), "stall"], monkeypatch, schema="blog_post")
    assert answer.final[1]["outcome"] == "invalid_output"
    assert answer.final[1]["violations"][0]["type"] in ("json_invalid", "model_type")


@pytest.mark.parametrize("broken", ['{"title": tru3', '{"author": [1 true]}', "[1 true", '{"title": "a"'])
async def test_what_is_no_json_is_refused_at_its_end(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 45."""
    answer = await ask(completion(broken), monkeypatch, schema="blog_post", on_violation="finish")
    assert answer.final[1]["outcome"] == "invalid_output"
    assert answer.final[1]["violations"][0]["type"] == "json_invalid"


@pytest.mark.parametrize(
    "bomb", ["[" * 300, '{"a":' * 300, '{"tags": ' + "[" * 300], ids=["lists", "objects", "inside"]
)
async def test_a_bomb_of_depth_is_refused_at_once_and_is_no_error_of_ours(
    bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 44."""
    pieces = [bomb[at : at + 50] for at in range(0, len(bomb), 50)]
    answer = await ask([HEAD, *map(text, pieces), "stall"], monkeypatch, schema="blog_post")
    assert answer.final[1]["outcome"] == "invalid_output"
