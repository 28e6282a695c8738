"""`/v1/chat/completions` as OpenAI's own SDK speaks it, over real sockets, with a provider made of bytes behind."""

import asyncio
import json
from typing import Any

import openai
import pytest

from weir.schemas.blog_post import BlogPost

from .door import BLOG_POST, door, facts
from .openai_sdk import DOCUMENT, VALID_BEFORE_GATE, Recipe, broken_then_rest, gated, pieces, sdk
from .scripted import DONE, END, HEAD, Step, chunk, completion, provider, status, text

ASK: list[Any] = [{"role": "user", "content": "Write."}]
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "blog_post"}}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "What it is like there.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
                "additionalProperties": False,
            },
        },
    }
]
FORCED: list[Any] = ["required", {"type": "function", "function": {"name": "weather"}}]


async def test_the_sdks_parse_and_stream_helpers_give_the_model_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, completion(*pieces(DOCUMENT)), completion(*pieces(DOCUMENT))) as (client, _):
        parsed = await client.chat.completions.parse(
            model="test-model", messages=ASK, response_format=BlogPost
        )
        assert parsed.choices[0].message.parsed == BlogPost.model_validate(BLOG_POST)
        assert parsed.usage is not None and parsed.usage.prompt_tokens == 12
        async with client.chat.completions.stream(
            model="test-model", messages=ASK, response_format=BlogPost
        ) as stream:
            async for _event in stream:
                pass
            final = await stream.get_final_completion()
        assert final.choices[0].message.parsed == BlogPost.model_validate(BLOG_POST)


async def test_a_schema_of_the_callers_own_is_compiled_and_held(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"title": "Bread", "steps": ["mix", "bake"], "minutes": 90, "parent": None}
    async with sdk(monkeypatch, completion(*pieces(json.dumps(good)))) as (client, asked):
        parsed = await client.chat.completions.parse(model="test-model", messages=ASK, response_format=Recipe)
        assert parsed.choices[0].message.parsed == Recipe.model_validate(good)
        sent = asked.requests[0]["response_format"]["json_schema"]["schema"]
        assert "steps" in json.dumps(sent)


async def test_only_text_whose_values_have_validated_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    async with sdk(monkeypatch, gated(gate)) as (client, _):
        stream = await client.chat.completions.create(
            model="test-model", messages=ASK, stream=True, response_format=SCHEMA
        )
        received = ""
        async for part in stream:
            received += part.choices[0].delta.content or "" if part.choices else ""
            if received and not gate.is_set():
                assert received == VALID_BEFORE_GATE
                gate.set()
        assert received == DOCUMENT


async def test_raw_release_is_for_those_who_want_the_first_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sdk(monkeypatch, completion(*pieces(DOCUMENT, 5))) as (client, _):
        stream = await client.chat.completions.create(
            model="test-model", messages=ASK, stream=True, response_format=SCHEMA,
            extra_body={"release": "raw", "on_violation": "stop"},
        )  # fmt: skip
        parts = [part.choices[0].delta.content async for part in stream if part.choices]
        assert [part for part in parts if part][:2] == pieces(DOCUMENT, 5)[:2]


async def test_a_violation_is_retried_behind_what_has_left_and_the_caller_sees_one_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, *broken_then_rest()) as (client, asked):
        stream = await client.chat.completions.create(
            model="test-model", messages=ASK, stream=True, response_format=SCHEMA,
            stream_options={"include_usage": True},
        )  # fmt: skip
        received, finish, usage = "", None, None
        async for part in stream:
            usage = part.usage or usage
            for choice in part.choices:
                received += choice.delta.content or ""
                finish = choice.finish_reason or finish
        assert BlogPost.model_validate_json(received) == BlogPost.model_validate(BLOG_POST)
        assert (finish, len(asked.requests)) == ("stop", 2)
        assert usage is not None and usage.prompt_tokens >= 12


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("profile", ["openai", "groq"])
@pytest.mark.parametrize(
    "wrong",
    [
        {**BLOG_POST, "conclusion": 5},
        {**BLOG_POST, "slug": "Not A Slug"},
        {**BLOG_POST, "surprise": 1},
        {name: value for name, value in BLOG_POST.items() if name != "tags"},
    ],
)
async def test_where_a_grammar_is_compiled_the_whole_comes_again_and_goes_on_behind_what_has_left(
    wrong: dict[str, Any], profile: str, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_UPSTREAM_PROVIDER", profile)
    first, again = completion(*pieces(json.dumps(wrong))), {**BLOG_POST, "title": "Another title"}
    async with sdk(monkeypatch, first, completion(*pieces(json.dumps(again)))) as (client, asked):
        answer = await client.chat.completions.create(
            model="test-model", messages=ASK, stream=streams, response_format=SCHEMA
        )  # type: ignore[call-overload]
        if streams:
            received = ""
            async for part in answer:
                received += part.choices[0].delta.content or ""
        else:
            received = answer.choices[0].message.content
        document = json.loads(received)
        assert BlogPost.model_validate_json(received)
        # What had left stands; where nothing had, the second answer is the answer.
        assert document in (BLOG_POST, again) and len(asked.requests) == 2
        assert document == BLOG_POST or not streams
        formats = [request.get("response_format") for request in asked.requests]
        assert profile != "openai" or formats[0] == formats[1]


@pytest.mark.parametrize("streams", [False, True])
async def test_a_document_that_stays_wrong_is_an_error_and_never_a_retraction(
    streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = completion(*pieces(json.dumps(dict(BLOG_POST, tags="none"))))
    async with sdk(monkeypatch, wrong, wrong) as (client, _):
        received = ""
        with pytest.raises(openai.APIError) as caught:
            answer = await client.chat.completions.create(
                model="test-model", messages=ASK, stream=streams, response_format=SCHEMA
            )  # type: ignore[call-overload]
            async for part in answer:
                received += part.choices[0].delta.content or ""
        assert caught.value.code == "invalid_output"
        assert json.dumps(BLOG_POST).startswith(received)


async def test_plain_text_leaves_the_moment_it_comes_and_costs_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, completion("Hel", "lo"), completion("Hello")) as (client, _):
        stream = await client.chat.completions.create(
            model="test-model", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        parts = [part async for part in stream]
        assert [part.choices[0].delta.content for part in parts if part.choices] == ["", "Hel", "lo", None]
        assert parts[-1].choices == [] and parts[-1].usage is not None
        assert "cost" in parts[-1].usage.model_dump() and parts[-1].model_dump()["weir"]["outcome"] == "ok"
        whole = await client.chat.completions.create(model="test-model", messages=ASK)
        assert whole.choices[0].message.content == "Hello"
        assert whole.choices[0].finish_reason == "stop"
        assert whole.id == f"chatcmpl-{whole.model_dump()['weir']['request_id']}"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"tools": [{"type": "function", "function": {"parameters": {}}}]}, "tools.0.function"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"tools": TOOLS, "response_format": SCHEMA}, "tools"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"temperature": 3}, "temperature"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 10.5}, "max_tokens"),
        ({"stop": ""}, "stop"),
        ({"extra_body": {"stream": "true"}}, "stream"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "system", "content": ""}, {"role": "user", "content": 5}]}, "messages.1.content"),
        (
            {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": [
                {"type": "text", "text": ""}, {"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            "messages.1.content.1.image_url.url",
        ),
        ({"extra_body": {"surprise": 1}}, "surprise"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "nobody"}}}, "response_format.json_schema.name"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
                "type": "object", "properties": {"a": {"type": "string", "contains": 1}}}}}},
            "response_format.json_schema.schema.properties.a.contains",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "referee", "content": "x"}]}, "messages.0.role"),
    ],
)  # fmt: skip
async def test_what_changes_the_question_is_refused_by_the_members_name(
    members: dict[str, Any], param: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch) as (client, asked):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**{"model": "test-model", "messages": ASK, **members})
        assert caught.value.param == param
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert not asked.requests


async def test_what_the_provider_does_not_take_is_named_as_the_caller_wrote_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEIR_UPSTREAM_PROVIDER", "bedrock")
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    parts = [{"type": "text", "text": ""}, {"type": "text", "text": "What?"}, image]
    messages: list[Any] = [{"role": "user", "content": ""}, {"role": "user", "content": parts}]
    async with sdk(monkeypatch) as (client, _):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="test-model", messages=messages)
        assert caught.value.param == "messages.1.content.2"


NULLABLE: Any = {
    "type": "json_schema",
    "json_schema": {"name": "state", "strict": None, "schema": {
        "type": "object", "properties": {"state": {"type": ["string", "null"], "enum": ["open", None]}},
        "required": ["state"], "additionalProperties": False,
    }},
}  # fmt: skip
TURN = {"role": "user", "content": "Write."}
SAID = [{"role": "user", "content": "Write."}]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([{"role": "system", "content": ""}, TURN], SAID),
        ([{"role": "system", "content": []}, TURN], SAID),
        ([{"role": "assistant", "content": None}, TURN], SAID),
        ([{"role": "assistant", "content": None, "refusal": "No."}, TURN], [{"role": "assistant", "content": "No."}, *SAID]),
        (
            [{"role": "assistant", "content": "", "tool_calls": None, "function_call": None, "annotations": []}, TURN],
            SAID,
        ),
        ([{"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "Write."}]}], SAID),
        ([{**TURN, "name": "ada"}, {"role": "assistant", "content": "Sure: "}], [*SAID, {"role": "assistant", "content": "Sure: "}]),
    ],
)  # fmt: skip
async def test_turns_that_say_nothing_are_left_out_as_clients_send_them(
    given: list[Any], sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch, completion("ok")) as (client, asked):
        await client.chat.completions.create(model="test-model", messages=given)
        assert asked.requests[0]["messages"] == sent


@pytest.mark.parametrize(
    "members",
    [
        {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}},
        {"max_tokens": 10.0, "seed": 1.0, "n": 1.0},
        {"prediction": {"type": "content", "content": "x"}, "tools": [], "tool_choice": "none"},
        {
            "top_logprobs": 0,
            "logprobs": False,
            "stop": None,
            "stream": False,
            "response_format": {"type": "text"},
        },
    ],
)
async def test_members_that_ask_for_nothing_are_taken_whatever_the_models_protocol(
    members: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_UPSTREAM_PROVIDER", "anthropic")
    body = {"model": "test-model", "messages": ASK, **members, "seed": None}
    async with provider(completion("ok")) as asked, door(asked.base_url, monkeypatch) as opened:
        await opened.request(body, path="/v1/chat/completions")
        assert asked.requests[0].get("max_tokens") == members.get("max_tokens", 16_000)
        assert not asked.requests[0].keys() & (members.keys() - {"max_tokens", "stream"})


async def test_a_whole_number_is_one_whatever_its_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(completion("ok")) as asked, door(asked.base_url, monkeypatch) as opened:
        body = {"messages": ASK, "max_completion_tokens": 10.0, "max_tokens": 20.0, "seed": 7.0}
        assert (await opened.request(body, path="/v1/chat/completions")).status == 200
        sent = asked.requests[0]
        assert (repr(sent["max_tokens"]), repr(sent["seed"])) == ("10", "7")


@pytest.mark.parametrize("member", ['"logit_bias": {"a": 1e999}', '"extra_body": {"a": NaN}', '"tools": [], "extra_body": {"a": -Infinity}'])  # fmt: skip
async def test_a_number_that_json_does_not_have_is_refused_and_not_sent_on(
    member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f'{{"messages": {json.dumps(ASK)}, {member}}}'.encode()
    async with provider(completion("ok")) as asked, door(asked.base_url, monkeypatch) as opened:
        answer = await opened.request(body, path="/v1/chat/completions")
        assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request") and not asked.requests


async def test_a_choice_that_may_be_null_is_held_as_strict_mode_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for document, outcome in (
        ({"state": None}, "ok"),
        ({"state": "open"}, "ok"),
        ({"state": "shut"}, "invalid_output"),
    ):
        async with sdk(monkeypatch, completion(json.dumps(document))) as (client, _):
            try:
                whole = await client.chat.completions.create(
                    model="test-model", messages=ASK, response_format=NULLABLE
                )
            except openai.APIError as error:
                assert error.code == outcome
            else:
                assert outcome == "ok" and json.loads(whole.choices[0].message.content or "") == document


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_an_error_of_our_own_while_a_body_is_read_is_told_and_on_record(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr("weir.generate.caller_schema.compiled", broken)
    schema = NULLABLE["json_schema"]
    body = {"messages": ASK, "response_format": NULLABLE}
    if path == "/v1/responses":
        body = {"input": "x", "text": {"format": {"type": "json_schema", **schema}}}
    async with provider(completion("ok")) as asked, door(asked.base_url, monkeypatch) as opened:
        answer = await opened.request(body, path=path)
        assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    [fact] = facts(capsys.readouterr().out)
    assert (fact["kind"], fact["outcome"]) == ("request.completed", "internal_error")


async def test_tools_that_must_not_be_called_stand_beside_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sdk(monkeypatch, completion('{"state": null}')) as (client, asked):
        await client.chat.completions.create(
            model="test-model", messages=ASK, response_format=NULLABLE, tools=TOOLS, tool_choice="none"
        )
        assert "tools" not in asked.requests[0]


async def test_members_that_change_nothing_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sdk(monkeypatch, completion("ok")) as (client, _):
        whole = await client.chat.completions.create(
            model="test-model",
            messages=ASK,
            user="u",
            metadata={"a": "b"},
            store=False,
            parallel_tool_calls=False,
        )
        assert whole.choices[0].message.content == "ok"


@pytest.mark.parametrize(
    ("answer", "kind", "retried"),
    [
        (status(429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, "retry-after: 700"), openai.RateLimitError, "true"),
        (status(400, {"error": {"message": "bad"}}), openai.BadRequestError, "false"),
        (status(401, {"error": {"message": "who"}}), openai.InternalServerError, "false"),
    ],
)  # fmt: skip
async def test_a_providers_refusal_is_the_sdks_own_error_and_says_whether_to_ask_again(
    answer: list[Step], kind: type[openai.APIStatusError], retried: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch, answer, answer, answer) as (client, _):
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(model="test-model", messages=ASK)
        assert caught.value.response.headers["x-should-retry"] == retried
        assert caught.value.request_id


async def test_a_failure_in_the_middle_is_an_error_of_the_stream_and_no_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch, [HEAD, text("half"), "reset"]) as (client, _):
        received = ""
        with pytest.raises(openai.APIError) as caught:
            stream = await client.chat.completions.create(model="test-model", messages=ASK, stream=True)
            async for part in stream:
                received += part.choices[0].delta.content or ""
        assert (received, caught.value.code) == ("half", "upstream_error")


async def test_a_document_that_the_limit_cut_is_the_sdks_length_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = completion(*pieces(DOCUMENT)[:9], finish="length")
    async with sdk(monkeypatch, cut) as (client, _):
        with pytest.raises(openai.LengthFinishReasonError):
            await client.chat.completions.parse(model="test-model", messages=ASK, response_format=BlogPost)


async def test_what_is_not_spoken_here_is_not_found_and_says_what_answers_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sdk(monkeypatch) as (client, _):
        with pytest.raises(openai.NotFoundError, match="/v1/chat/completions takes a prompt"):
            await client.completions.create(model="test-model", prompt="Write.")
        with pytest.raises(openai.NotFoundError, match="expected one of"):
            await client.embeddings.create(model="test-model", input="Write.")


async def test_the_models_are_those_that_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sdk(monkeypatch) as (client, _):
        assert [model.id async for model in client.models.list()] == ["test-model"]
        assert (await client.models.retrieve("test-model")).id == "test-model"
        with pytest.raises(openai.NotFoundError, match="expected one of test-model, got 'openai/test-model'"):
            await client.models.retrieve("openai/test-model")


@pytest.mark.parametrize("choice", FORCED)
@pytest.mark.parametrize("streams", [False, True])
async def test_arguments_of_a_function_that_must_be_called_are_validated_like_any_document(
    streams: bool, choice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = '{"city": "Oslo", "days": 3}'
    wrong: list[Step] = [HEAD, *map(text, pieces('{"city": "Oslo", "days": "three"')), "stall"]
    rest = completion('{"days": 3}')
    async with sdk(monkeypatch, wrong, rest) as (client, asked):
        answer = await client.chat.completions.create(
            model="test-model", messages=ASK, tools=TOOLS, tool_choice=choice, stream=streams
        )
        if streams:
            calls, finish, arguments = [], None, ""
            async for part in answer:
                for each in part.choices[0].delta.tool_calls or ():
                    calls.append((each.id, each.function.name))
                    arguments += each.function.arguments or ""
                finish = part.choices[0].finish_reason or finish
            assert (calls[0][1], [name for _, name in calls[1:] if name]) == ("weather", [])
        else:
            [call] = answer.choices[0].message.tool_calls
            arguments, finish = call.function.arguments, answer.choices[0].finish_reason
            assert call.function.name == "weather" and call.id and answer.choices[0].message.content is None
        assert (json.loads(arguments), finish) == (json.loads(good), "tool_calls")
        # It went out as a document, which any protocol has, and what the function is for went with it.
        assert "tools" not in asked.requests[0] and len(asked.requests) == 2
        named = asked.requests[0]["response_format"]["json_schema"]
        assert named["name"].replace("_", "").isalnum()
        assert named["schema"]["description"] == "What it is like there."


@pytest.mark.parametrize("streams", [False, True])
async def test_other_tools_go_to_a_route_of_the_same_protocol_as_they_are_written(
    streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(**function: str) -> Step:
        first = {"id": "c1", "type": "function"} if "name" in function else {}
        return chunk({"tool_calls": [{"index": 0, **first, "function": function}]})

    steps: list[Step] = [
        HEAD, call(name="weather", arguments=""), call(arguments='{"city":'), call(arguments=' "Oslo"}'),
        chunk(finish="tool_calls"), DONE, END,
    ]  # fmt: skip
    history: list[Any] = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c0", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c0", "content": ""},
    ]  # fmt: skip
    async with sdk(monkeypatch, steps) as (client, asked):
        answer = await client.chat.completions.create(
            model="test-model", messages=history, tools=TOOLS, stream=streams, parallel_tool_calls=False
        )
        if streams:
            parts = [part.choices[0] async for part in answer]
            arguments = "".join(
                each.function.arguments for part in parts for each in part.delta.tool_calls or ()
            )
            finish = parts[-1].finish_reason
        else:
            [one] = answer.choices[0].message.tool_calls
            arguments, finish = one.function.arguments, answer.choices[0].finish_reason
            assert (one.id, one.function.name) == ("c1", "weather")
        assert (arguments, finish) == ('{"city": "Oslo"}', "tool_calls")
        sent = asked.requests[0]
        assert (sent["tools"], sent["parallel_tool_calls"], sent["messages"]) == (TOOLS, False, history)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": TOOLS}, "tools"),
        ({"tools": TOOLS, "tool_choice": "none"}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"verbosity": "low"}, "verbosity"),
    ],
)
async def test_what_only_this_protocol_has_passes_to_it_and_is_refused_by_name_elsewhere(
    members: dict[str, Any], param: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch, completion("{}")) as (client, asked):
        answer = await client.chat.completions.create(model="test-model", messages=ASK, **members)
        assert answer.choices[0].message.content == "{}"
        assert {name: asked.requests[0].get(name) for name in members} == members
    monkeypatch.setenv("WEIR_UPSTREAM_PROVIDER", "anthropic")
    async with sdk(monkeypatch) as (client, asked):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="test-model", messages=ASK, **members)
        assert caught.value.param == param and not asked.requests
