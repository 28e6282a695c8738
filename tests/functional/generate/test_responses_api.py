"""`/v1/responses` as OpenAI's own SDK speaks it, over real sockets, with a provider made of bytes behind."""

import asyncio
import json
from typing import Any

import openai
import pytest
from pydantic import ValidationError

from weir.generate.openapi import SDKError
from weir.schemas.blog_post import BlogPost

from .door import BLOG_POST
from .openai_sdk import DOCUMENT, VALID_BEFORE_GATE, Recipe, broken_then_rest, gated, pieces, sdk
from .scripted import DONE, END, HEAD, Step, chunk, completion, status, text

SCHEMA: Any = {"format": {"type": "json_schema", "name": "blog_post"}}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [{"type": "function", "name": "weather", "strict": True, "parameters": PARAMETERS}]
FORCED: list[Any] = ["required", {"type": "function", "name": "weather"}]
LIMITED = status(429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, "retry-after: 700")


def asked(**members: Any) -> dict[str, Any]:
    return {"model": "test-model", "input": "Write.", **members}


async def events_of(stream: Any) -> list[Any]:
    return [event async for event in stream]


def deltas(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


async def test_the_sdks_parse_and_stream_helpers_give_the_model_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = {"title": "Bread", "steps": ["mix", "bake"], "minutes": 90, "parent": None}
    answers = [completion(*pieces(json.dumps(good)))] * 2
    async with sdk(monkeypatch, *answers) as (client, provider):
        parsed = await client.responses.parse(**asked(text_format=Recipe))
        assert parsed.output_parsed == Recipe.model_validate(good) and parsed.status == "completed"
        assert parsed.usage is not None and parsed.usage.input_tokens == 12
        async with client.responses.stream(**asked(text_format=Recipe)) as stream:
            events = await events_of(stream)
            final = await stream.get_final_response()
        assert final.output_parsed == Recipe.model_validate(good)
        assert deltas(events) == final.output_text
        sent = provider.requests[0]["response_format"]["json_schema"]["schema"]
        assert "steps" in json.dumps(sent)


async def test_plain_text_leaves_the_moment_it_comes_and_all_of_it_is_repeated_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = asyncio.Event()
    steps: list[Step] = [HEAD, text("Hel"), gate, text("lo"), *completion()[1:]]
    async with sdk(monkeypatch, steps, completion("Hello")) as (client, provider):
        events = []
        async for event in await client.responses.create(**asked(stream=True, instructions="Be brief.")):
            events.append(event)
            if event.type == "response.output_text.delta":
                gate.set()
        assert [event.type.removeprefix("response.") for event in events] == [
            "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
            "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
        ]  # fmt: skip
        assert [event.sequence_number for event in events] == list(range(10))
        final = events[-1].response
        assert (events[6].text, events[7].part.text, final.output_text) == ("Hello", "Hello", "Hello")
        assert events[8].item == final.output[0]
        assert final.model_dump()["weir"]["outcome"] == "ok" and final.usage.model_dump()["cost"] > 0
        assert (final.store, final.instructions, final.model) == (False, "Be brief.", "test-model")
        whole = await client.responses.create(**asked())
        assert whole.output_text == "Hello" and whole.completed_at is not None
        assert whole.id == f"resp_{whole.model_dump()['weir']['request_id']}"
        assert provider.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_a_violation_is_retried_behind_what_has_left_and_the_caller_sees_one_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, *broken_then_rest()) as (client, provider):
        events = await events_of(await client.responses.create(**asked(stream=True, text=SCHEMA)))
        final = events[-1].response
        assert BlogPost.model_validate_json(deltas(events)) == BlogPost.model_validate(BLOG_POST)
        assert (final.status, final.output_text) == ("completed", deltas(events))
        assert len(provider.requests) == 2 and final.usage.input_tokens >= 12


async def test_only_text_whose_values_have_validated_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    async with sdk(monkeypatch, gated(gate)) as (client, _):
        received = ""
        async for event in await client.responses.create(**asked(stream=True, text=SCHEMA)):
            received += event.delta if event.type == "response.output_text.delta" else ""
            if received and not gate.is_set():
                assert received == VALID_BEFORE_GATE
                gate.set()
        assert received == DOCUMENT


async def test_raw_release_is_for_those_who_want_the_first_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sdk(monkeypatch, completion(*pieces(DOCUMENT, 5))) as (client, _):
        raw = {"release": "raw", "on_violation": "stop"}
        stream = await client.responses.create(**asked(stream=True, text=SCHEMA, extra_body=raw))
        parts = [event.delta for event in await events_of(stream) if hasattr(event, "delta")]
        assert parts == pieces(DOCUMENT, 5)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_document_that_stays_wrong_is_an_error_and_never_a_retraction(
    streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = completion(*pieces(json.dumps(dict(BLOG_POST, tags="none"))))
    async with sdk(monkeypatch, wrong, wrong) as (client, _):
        received = ""
        with pytest.raises(openai.APIError) as caught:
            answer = await client.responses.create(**asked(stream=streams, text=SCHEMA))
            async for event in answer:
                received += getattr(event, "delta", "")
        assert caught.value.code == "invalid_output"
        assert json.dumps(BLOG_POST).startswith(received)


async def test_a_failure_in_the_middle_is_the_sdks_error_and_then_a_response_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half: list[Step] = [HEAD, text("half"), "reset"]
    async with sdk(monkeypatch, half, half) as (client, _):
        received = ""
        with pytest.raises(openai.APIError) as caught:
            async for event in await client.responses.create(**asked(stream=True)):
                received += getattr(event, "delta", "")
        assert (received, caught.value.code) == ("half", "upstream_error")
        async with client.responses.with_streaming_response.create(**asked(stream=True)) as raw:
            lines = (await raw.text()).splitlines()
        told, failed = [json.loads(line[6:]) for line in lines if line.startswith("data: ")][-2:]
        assert (told["type"], told["code"], failed["type"]) == ("error", "upstream_error", "response.failed")
        assert failed["sequence_number"] == told["sequence_number"] + 1
        assert (failed["response"]["status"], failed["response"]["error"]["code"]) == (
            "failed",
            "server_error",
        )
        assert failed["response"]["usage"]["output_tokens"] > 0


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_was_cut_is_incomplete_with_its_reason_and_what_came(
    streams: bool, finish: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch, completion("Hel", finish=finish)) as (client, _):
        answer = await client.responses.create(**asked(stream=streams))
        if streams:
            events = await events_of(answer)
            assert (deltas(events), events[-1].type) == ("Hel", "response.incomplete")
            answer = events[-1].response
        assert (answer.status, answer.incomplete_details.reason) == ("incomplete", reason)
        assert (answer.output_text, answer.output[0].status) == ("Hel", "incomplete")


async def test_a_document_that_the_limit_cut_is_no_model_of_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, completion(*pieces(DOCUMENT)[:9], finish="length")) as (client, _):
        with pytest.raises(ValidationError):  # OpenAI's own behaviour: the SDK parses what came
            await client.responses.parse(**asked(text_format=BlogPost))
        raw = await client.responses.create(**asked(text=SCHEMA))
        assert raw.status == "incomplete"


@pytest.mark.parametrize("streams", [False, True])
async def test_a_refusal_is_a_part_of_the_message(streams: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal: list[Step] = [HEAD, chunk({"refusal": "I would rather not."}), *completion()[1:]]
    async with sdk(monkeypatch, refusal) as (client, _):
        answer = await client.responses.create(**asked(stream=streams))
        if streams:
            events = await events_of(answer)
            names = [event.type.removeprefix("response.") for event in events[2:]]
            assert names == [
                "output_item.added", "content_part.added", "refusal.delta", "refusal.done",
                "content_part.done", "output_item.done", "completed",
            ]  # fmt: skip
            answer = events[-1].response
        [part] = answer.output[0].content
        assert part.type == "refusal" and "refused" in part.refusal and answer.output_text == ""


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"tools": [{"type": "function", "parameters": {}}]}, "tools.0"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tools": TOOLS, "text": SCHEMA}, "tools"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"include": ["message.output_text.logprobs"]}, "include.0"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        ({"reasoning": {"effort": "LOW!"}}, "reasoning.effort"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"extra_body": {"messages": []}}, "messages"),
        ({"instructions": ["x"]}, "instructions"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": [{"role": "referee", "content": "x"}]}, "input.0.role"),
        ({"instructions": "Be brief.", "input": [{"role": "referee", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0.type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input.0.content.0.image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]}, "input.0.content.0.image_url"),
        ({"input": [{"role": "user", "content": ""}, {"role": "user", "content": 5}]}, "input.1.content"),
        ({"extra_body": {"stream": "true"}}, "stream"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0.type"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input.0.call_id"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "nobody"}}}, "text.format.name"),
        ({"text": {"surprise": 1}}, "text.surprise"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {
                "type": "object", "properties": {"a": {"type": "string", "contains": 1}}}}}},
            "text.format.schema.properties.a.contains",
        ),
    ],
)  # fmt: skip
async def test_what_changes_the_question_is_refused_by_the_members_name(
    members: dict[str, Any], param: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch) as (client, provider):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(**asked(**members))
        assert caught.value.param == param and caught.value.message.count(param.replace(".", "/"))
        assert caught.value.response.headers["x-should-retry"] == "false"
        SDKError.model_validate_json(caught.value.response.content)
        assert not provider.requests


async def test_members_that_change_nothing_are_ignored_and_those_of_the_request_are_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, completion("ok")) as (client, _):
        whole = await client.responses.create(
            **asked(
                user="u", metadata={"a": "b"}, store=False, parallel_tool_calls=False, truncation="disabled",
                include=["reasoning.encrypted_content"], prompt_cache_key="k", temperature=0.5,
            )
        )  # fmt: skip
        assert (whole.output_text, whole.metadata, whole.store) == ("ok", {"a": "b"}, False)
        assert (whole.temperature, whole.parallel_tool_calls, whole.tools) == (0.5, False, [])


@pytest.mark.parametrize(
    ("answer", "kind", "retried"),
    [
        (LIMITED, openai.RateLimitError, "true"),
        (status(400, {"error": {"message": "bad"}}), openai.BadRequestError, "false"),
        (status(401, {"error": {"message": "who"}}), openai.InternalServerError, "false"),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_providers_refusal_is_the_sdks_own_error_and_says_whether_to_ask_again(
    streams: bool,
    answer: list[Step],
    kind: type[openai.APIStatusError],
    retried: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, answer) as (client, _):
        with pytest.raises(kind) as caught:
            await client.responses.create(**asked(stream=streams))
        assert caught.value.response.headers["x-should-retry"] == retried
        assert caught.value.request_id


async def test_turns_and_images_go_out_as_a_chat_completions_do(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Any] = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "What is it?"},
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AAAA"},
        ]},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": "A cat.", "annotations": []}]},
        {"role": "user", "content": "Sure?"},
    ]  # fmt: skip
    async with sdk(monkeypatch, completion("ok")) as (client, provider):
        await client.responses.create(**asked(input=turns, reasoning={"effort": "low"}, max_output_tokens=99))
        await client.chat.completions.create(
            model="test-model", reasoning_effort="low", max_completion_tokens=99, messages=[
                {"role": "developer", "content": "Be kind."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ]},
                {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
                {"role": "user", "content": "Sure?"},
            ],
        )  # fmt: skip
        first, second = provider.requests
        assert first == second and len(first["messages"]) == 4


async def test_an_image_that_the_provider_does_not_take_is_refused_by_its_place_in_the_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEIR_UPSTREAM_PROVIDER", "bedrock")
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    empty = {"role": "user", "content": ""}  # no part of what goes out
    turn = {"role": "user", "content": [{"type": "input_text", "text": "What?"}, image]}
    async with sdk(monkeypatch) as (client, _):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(**asked(instructions="Be brief.", input=[empty, turn]))
        assert caught.value.param == "input.1.content.1"


@pytest.mark.parametrize("choice", FORCED)
@pytest.mark.parametrize("streams", [False, True])
async def test_arguments_of_a_function_that_must_be_called_are_validated_like_any_document(
    streams: bool, choice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[Step] = [HEAD, *map(text, pieces('{"city": "Oslo", "days": "three"')), "stall"]
    async with sdk(monkeypatch, wrong, completion('{"days": 3}')) as (client, provider):
        # instructor names a format of text beside it, and no text is written.
        members = asked(tools=TOOLS, tool_choice=choice, stream=streams, text=SCHEMA if streams else None)
        answer = await client.responses.create(**members)
        if streams:
            events = await events_of(answer)
            names = [event.type.removeprefix("response.") for event in events[2:]]
            assert (names[0], names[1], names[-3:]) == (
                "output_item.added", "function_call_arguments.delta",
                ["function_call_arguments.done", "output_item.done", "completed"],
            )  # fmt: skip
            assert "".join(event.delta for event in events if hasattr(event, "delta")) == events[-3].arguments
            answer = events[-1].response
        [call] = answer.output
        assert (call.type, call.name, call.status) == ("function_call", "weather", "completed")
        assert json.loads(call.arguments) == {"city": "Oslo", "days": 3} and call.call_id
        # It went out as a document, which any protocol has.
        assert "tools" not in provider.requests[0] and len(provider.requests) == 2


@pytest.mark.parametrize("streams", [False, True])
async def test_other_tools_go_to_a_route_of_chat_completions_in_its_words(
    streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(index: int, **function: str) -> Step:
        first = {"id": f"c{index}", "type": "function"} if "name" in function else {}
        return chunk({"tool_calls": [{"index": index, **first, "function": function}]})

    steps: list[Step] = [
        HEAD, text("Let me see."), call(0, name="weather", arguments=""), call(0, arguments='{"city":'),
        call(0, arguments=' "Oslo"}'), call(1, name="weather", arguments="{}"),
        chunk(finish="tool_calls"), DONE, END,
    ]  # fmt: skip
    history: list[Any] = [
        {"role": "user", "content": "Where is it warm?"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hm."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c8", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "id": "fc_2", "call_id": "c9", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c8", "output": "cold"},
        {"type": "function_call_output", "call_id": "c9", "output": [{"type": "input_text", "text": "wet"}]},
    ]
    async with sdk(monkeypatch, steps) as (client, provider):
        answer = await client.responses.create(**asked(input=history, tools=TOOLS, stream=streams))
        if streams:
            answer = (await events_of(answer))[-1].response
        said, *calls = answer.output
        assert said.content[0].text == "Let me see."
        assert [(each.call_id, each.name, each.arguments) for each in calls] == [
            ("c0", "weather", '{"city": "Oslo"}'), ("c1", "weather", "{}"),
        ]  # fmt: skip
        sent = provider.requests[0]
        function = {"name": "weather", "parameters": PARAMETERS, "strict": True}
        assert sent["tools"] == [{"type": "function", "function": function}]
        named = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
        assert sent["messages"][1:] == [
            {"role": "assistant", "content": [{"type": "text", "text": "Hm."}],
             "tool_calls": [{"id": "c8", **named}, {"id": "c9", **named}]},
            {"role": "tool", "tool_call_id": "c8", "content": "cold"},
            {"role": "tool", "tool_call_id": "c9", "content": [{"type": "text", "text": "wet"}]},
        ]  # fmt: skip


async def test_calls_and_their_results_are_text_where_a_document_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history: list[Any] = [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "c1", "output": ""},
    ]
    async with sdk(monkeypatch, completion(*pieces(DOCUMENT))) as (client, provider):
        await client.responses.create(**asked(input=history, text=SCHEMA))
        assert provider.requests[0]["messages"] == [
            {"role": "assistant", "content": 'Hm.\n{"city":"Oslo"}'},
            {"role": "user", "content": "(nothing)"},
        ]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": TOOLS}, "tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
    ],
)
async def test_what_only_chat_completions_have_is_refused_by_this_protocols_name_elsewhere(
    members: dict[str, Any], param: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch, completion("{}")) as (client, _):
        assert (await client.responses.create(**asked(**members))).output_text == "{}"
    monkeypatch.setenv("WEIR_UPSTREAM_PROVIDER", "anthropic")
    async with sdk(monkeypatch) as (client, provider):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(**asked(**members))
        assert caught.value.param == param and not provider.requests


async def test_an_answer_of_any_length_is_ended_where_its_repeat_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless = completion(*["x" * 1000] * 2100)
    async with sdk(monkeypatch, endless) as (client, _):
        with pytest.raises(openai.APIError) as caught:
            await events_of(await client.responses.create(**asked(stream=True, max_output_tokens=1_000_000)))
        assert caught.value.code == "stopped"
