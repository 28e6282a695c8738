"""The simulator, read with the openai package: what it sends is what that SDK expects of OpenAI's API."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from infra.local.simulator import SCRIPTS, Simulator
from weir.schemas.blog_post import BlogPost

from .schemas import BLOG_POST

MESSAGES: Any = [{"role": "user", "content": "Write a blog post about mending bicycles."}]


@pytest.fixture
def client(simulator: Simulator) -> Any:
    with openai.OpenAI(base_url=simulator.base_url, api_key="any", max_retries=0, timeout=10) as client:
        yield client


def read(client: openai.OpenAI, model: str, **options: Any) -> dict[str, Any]:
    """Text, refusal, finish reason, usage and chunks of one stream."""
    options = {"response_format": BLOG_POST, "stream_options": {"include_usage": True}, **options}
    got: dict[str, Any] = {"text": "", "refusal": "", "finish": None, "usage": None, "chunks": []}
    for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **options):
        got["chunks"].append(chunk)
        got["usage"] = chunk.usage or got["usage"]
        for choice in chunk.choices:
            got["text"] += choice.delta.content or ""
            got["refusal"] += choice.delta.refusal or ""
            got["finish"] = choice.finish_reason or got["finish"]
    return got


def test_a_streamed_document_is_valid_and_its_usage_comes_last(client: openai.OpenAI) -> None:
    got = read(client, "sim-fast")
    post = BlogPost.model_validate_json(got["text"])
    assert "bicycles" in post.title
    assert len(post.sections) == SCRIPTS["sim-fast"].sections
    assert got["finish"] == "stop"
    first, last = got["chunks"][0], got["chunks"][-1]
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert last.choices == []
    tokens = sum(1 for chunk in got["chunks"] if chunk.choices and chunk.choices[0].delta.content)
    assert last.usage.completion_tokens == tokens
    assert last.usage.total_tokens == last.usage.prompt_tokens + tokens


def test_usage_is_sent_only_when_asked_for(client: openai.OpenAI) -> None:
    assert read(client, "sim-fast", stream_options=openai.omit)["usage"] is None
    assert read(client, "sim-no-usage")["usage"] is None


def test_an_answer_without_streaming_is_the_streamed_one(client: openai.OpenAI) -> None:
    options: Any = {"model": "sim-fast", "messages": MESSAGES, "response_format": BLOG_POST}
    whole = client.chat.completions.create(**options)
    got = read(client, "sim-fast")
    assert whole.choices[0].message.content == got["text"]
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None and whole.usage.model_dump() == got["usage"].model_dump()


@pytest.mark.parametrize("model", ["sim-bursty", "sim-split", "sim-crlf", "sim-cr", "sim-gzip", "sim-long"])
def test_however_it_is_cut_and_wrapped_the_document_is_valid(client: openai.OpenAI, model: str) -> None:
    BlogPost.model_validate_json(read(client, model)["text"])


def test_without_a_schema_the_answer_is_prose(client: openai.OpenAI) -> None:
    text = read(client, "sim-fast", response_format=openai.omit)["text"]
    assert "bicycles" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_json_mode_answers_a_json_object(client: openai.OpenAI) -> None:
    assert isinstance(
        json.loads(read(client, "sim-fast", response_format={"type": "json_object"})["text"]), dict
    )


def test_the_token_limit_of_a_request_ends_its_answer(client: openai.OpenAI) -> None:
    got = read(client, "sim-fast", max_completion_tokens=12)
    assert got["finish"] == "length"
    assert got["usage"].completion_tokens == 12
    assert len(got["text"]) == 12 * SCRIPTS["sim-fast"].characters_per_token


@pytest.mark.parametrize(
    ("model", "finish"),
    [("sim-truncated", "length"), ("sim-filtered", "content_filter"), ("sim-tool-calls", "tool_calls")],
)
def test_an_ending_other_than_stop_is_named_and_still_charged(
    client: openai.OpenAI, model: str, finish: str
) -> None:
    got = read(client, model)
    assert got["finish"] == finish
    assert got["usage"].prompt_tokens > 0
    with pytest.raises(json.JSONDecodeError):
        json.loads(got["text"])


def test_a_refusal_has_its_own_field(client: openai.OpenAI) -> None:
    got = read(client, "sim-refusal")
    assert got["refusal"] == SCRIPTS["sim-refusal"].refusal
    assert got["text"] == ""


class Note(BaseModel):
    """Without keywords such as maxLength: the SDK's own helper sends them, and the API refuses them."""

    title: str
    lines: list[str]


def test_the_sdks_parser_reports_a_refusal_and_a_length_as_such(client: openai.OpenAI) -> None:
    options: Any = {"messages": MESSAGES, "response_format": Note}
    parsed = client.chat.completions.parse(model="sim-refusal", **options)
    assert parsed.choices[0].message.refusal
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="sim-truncated", **options)
    with pytest.raises(openai.ContentFilterFinishReasonError):
        client.chat.completions.parse(model="sim-filtered", **options)


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("sim-400-context", openai.BadRequestError, "context_length_exceeded"),
        ("sim-400-policy", openai.BadRequestError, "content_policy_violation"),
        ("sim-401", openai.AuthenticationError, "invalid_api_key"),
        ("sim-403", openai.PermissionDeniedError, None),
        ("sim-429", openai.RateLimitError, "rate_limit_exceeded"),
        ("sim-429-quota", openai.RateLimitError, "insufficient_quota"),
        ("sim-500", openai.InternalServerError, None),
        ("sim-502", openai.InternalServerError, None),
        ("sim-503", openai.InternalServerError, None),
        ("sim-529", openai.InternalServerError, None),
        ("no-such-model", openai.NotFoundError, "model_not_found"),
    ],
)
def test_errors_before_the_stream_are_the_sdks_exceptions(
    client: openai.OpenAI, model: str, kind: type[openai.APIStatusError], code: str | None
) -> None:
    with pytest.raises(kind) as caught:
        read(client, model)
    assert caught.value.code == code
    assert isinstance(caught.value.body, dict) and caught.value.body["message"]


def test_a_rate_limit_says_when_to_come_back(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        read(client, "sim-429")
    assert caught.value.response.headers["retry-after"] == "1"


def test_a_fault_limited_to_the_first_time_is_gone_at_the_second(
    simulator: Simulator, client: openai.OpenAI
) -> None:
    simulator.reset()
    with pytest.raises(openai.InternalServerError):
        read(client, "sim-500-once")
    BlogPost.model_validate_json(read(client, "sim-500-once")["text"])


def test_an_error_inside_the_stream_is_raised_after_the_text_before_it(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="had an error") as caught:
        read(client, "sim-error-event")
    assert caught.value.code == "internal_error"


@pytest.mark.parametrize(
    "model", ["sim-cut", "sim-reset", "sim-reset-early", "sim-bad-chunk", "sim-bad-status"]
)
def test_a_broken_connection_is_a_connection_error(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.APIConnectionError):
        read(client, model)


@pytest.mark.parametrize("model", ["sim-no-headers", "sim-stall", "sim-stall-early"])
def test_a_silent_upstream_is_a_timeout(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.APITimeoutError):
        read(client.with_options(timeout=0.6), model)


def test_an_end_without_a_terminator_looks_like_an_end_without_a_finish_reason(client: openai.OpenAI) -> None:
    got = read(client, "sim-silent-end")
    assert (got["finish"], got["usage"]) == (None, None)
    assert got["text"]


def test_an_event_that_is_not_json_stops_the_sdk(client: openai.OpenAI) -> None:
    with pytest.raises(json.JSONDecodeError):
        read(client, "sim-garbage")


def test_usage_variants_carry_what_they_promise(client: openai.OpenAI) -> None:
    def counts(model: str) -> list[int]:
        return [chunk.usage.completion_tokens for chunk in read(client, model)["chunks"] if chunk.usage]

    first, last = counts("sim-usage-twice")
    assert first < last
    running = counts("sim-usage-running")
    assert running == sorted(running) and len(running) > 100
    assert counts("sim-usage-inconsistent") == [-1]
    cached = read(client, "sim-cached")["usage"]
    assert 0 < cached.prompt_tokens_details.cached_tokens < cached.prompt_tokens
    reasoning = read(client, "sim-reasoning")["usage"]
    assert reasoning.completion_tokens_details.reasoning_tokens == 128 < reasoning.completion_tokens


def test_the_model_that_answers_may_have_another_name(client: openai.OpenAI) -> None:
    assert {chunk.model for chunk in read(client, "sim-other-model")["chunks"]} == {"sim-1-2026-10-01"}


def test_prose_around_the_document_is_sent_as_written(client: openai.OpenAI) -> None:
    text = read(client, "sim-prose")["text"]
    assert text.startswith("Here is the document") and text.endswith("```")
    assert read(client, "sim-trailing")["text"].endswith("changes.")


def test_a_redirect_that_is_followed_loses_its_credentials_and_shows(
    simulator: Simulator, client: openai.OpenAI
) -> None:
    simulator.reset()
    with pytest.raises(openai.NotFoundError):
        read(client, "sim-redirect")
    asked, followed = simulator.requests()
    assert (asked.path, asked.authorized) == ("/v1/chat/completions", True)
    assert (followed.path, followed.authorized) == ("/elsewhere", False)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert {"sim-1", "test-paced"} <= {model.id for model in client.models.list()}


def test_a_key_is_demanded_when_there_is_one() -> None:
    with Simulator(api_key="right") as simulator:
        with openai.OpenAI(base_url=simulator.base_url, api_key="wrong", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                read(client, "sim-fast")
            assert read(client.with_options(api_key="right"), "sim-fast")["text"]


def test_a_schema_that_openai_refuses_is_refused_with_its_words(client: openai.OpenAI) -> None:
    loose = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    partial = {**loose, "additionalProperties": False, "required": []}
    for schema, words in (
        (loose, "'additionalProperties' is required to be supplied and to be false"),
        (partial, "Missing 'title'"),
        ({"type": "array"}, 'type: "object"'),
    ):
        described = {"type": "json_schema", "json_schema": {"name": "post", "strict": True, "schema": schema}}
        with pytest.raises(openai.BadRequestError, match=words):
            read(client, "sim-fast", response_format=described)
