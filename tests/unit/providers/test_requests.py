"""One call in the words of each protocol: the cap's name, the schema's place, and what cannot be passed, by name."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from weir.providers import (
    anthropic_request,
    chat_completions_request,
    converse_request,
    gemini_request,
    responses_request,
)
from weir.providers.call import ImagePart, Message, ModelCall, NotPassed, ProviderRequest, TextPart
from weir.providers.routes import Route, parse_routes
from weir.providers.structured_output import Mode, structured_output

BUILDERS: dict[str, Callable[[ModelCall, Route], ProviderRequest]] = {
    "chat_completions": chat_completions_request.build,
    "responses": responses_request.build,
    "anthropic": anthropic_request.build,
    "converse": converse_request.build,
    "gemini": gemini_request.build,
}


class Answer(BaseModel):
    name: str
    level: Annotated[int, Field(ge=0)] = 1


def route(provider: str, **members: Any) -> Route:
    usual = {"provider": provider, "model": "m:1", "base_url": "http://x/v1", **members}
    return parse_routes({"models": {"m": usual}}).routes["m"]


def said(text: str, role: Any = "user") -> Message:
    return Message(role, (TextPart(text),))


def build(at: Route, mode: Mode | None = None, **members: Any) -> ProviderRequest:
    structured = structured_output("answer", Answer.model_json_schema(), at.profile, mode) if mode else None
    usual: dict[str, Any] = {"messages": [said("be brief", "system"), said("hi")], "max_output_tokens": 77}
    call = ModelCall(**usual | {"structured": structured} | members)
    return BUILDERS[at.profile.protocol](call, at)


def test_the_cap_goes_out_under_the_name_that_the_server_knows_and_under_no_other() -> None:
    names = {"max_tokens", "max_completion_tokens", "max_output_tokens", "maxTokens", "maxOutputTokens"}
    for provider, name in {
        "openai": "max_completion_tokens", "azure": "max_completion_tokens", "ollama": "max_tokens",
        "deepseek": "max_tokens", "mistral": "max_tokens", "openrouter": "max_tokens", "generic": "max_tokens",
        "openai-responses": "max_output_tokens", "anthropic": "max_tokens",
    }.items():  # fmt: skip
        body = build(route(provider)).body
        assert names & body.keys() == {name} and body[name] == 77
    assert build(route("bedrock", region="us-east-1")).body["inferenceConfig"] == {"maxTokens": 77}
    assert build(route("gemini")).body["generationConfig"]["maxOutputTokens"] == 77


def test_a_document_is_asked_for_natively_where_the_protocol_has_a_place_for_its_schema() -> None:
    chat = build(route("openai"), "native").body["response_format"]["json_schema"]
    assert (chat["name"], chat["strict"]) == ("answer", True)
    assert chat["schema"]["required"] == ["name", "level"]
    flat = build(route("openai-responses"), "native").body["text"]["format"]
    assert flat == {"type": "json_schema", **chat}
    claude = build(route("anthropic"), "native").body["output_config"]["format"]
    assert claude["schema"]["required"] == ["name"] and "level" in claude["schema"]["properties"]
    inner = build(route("bedrock", region="us-east-1"), "native").body["outputConfig"]["textFormat"][
        "structure"
    ]
    assert json.loads(inner["jsonSchema"]["schema"])["additionalProperties"] is False
    gemini = build(route("gemini"), "native").body["generationConfig"]
    assert gemini["responseMimeType"] == "application/json"
    assert gemini["responseJsonSchema"]["propertyOrdering"] == ["name", "level"]


def test_a_document_is_asked_for_by_a_forced_tool() -> None:
    assert build(route("deepseek"), "tool").body["tool_choice"]["function"] == {"name": "answer"}
    assert build(route("openai-responses"), "tool").body["tool_choice"]["name"] == "answer"
    assert build(route("anthropic"), "tool").body["tool_choice"] == {"type": "tool", "name": "answer"}
    converse = build(route("bedrock", region="us-east-1"), "tool").body["toolConfig"]
    assert converse["toolChoice"] == {"tool": {"name": "answer"}}
    assert build(route("gemini"), "tool").body["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"


@pytest.mark.parametrize("provider", ["openai", "openai-responses", "anthropic", "bedrock", "gemini"])
def test_in_json_mode_the_schema_stands_in_the_one_system_message(provider: str) -> None:
    body = build(route(provider, region="us-east-1"), "json").body
    text = json.dumps(body, ensure_ascii=False)
    assert text.count("JSON Schema") == 1 and "be brief" in text
    if provider == "openai":
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert body["response_format"] == {"type": "json_object"}


PARAMETERS: dict[str, Any] = {
    "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ("END",), "reasoning_effort": "low", "service_tier": "flex",
}  # fmt: skip


def test_parameters_pass_under_the_protocols_names() -> None:
    body = build(route("openai"), **PARAMETERS).body
    assert [body[name] for name in PARAMETERS] == [0.5, 0.9, 7, ["END"], "low", "flex"]
    claude = build(route("anthropic"), stop=("END",), reasoning_effort="low").body
    assert claude["stop_sequences"] == ["END"] and claude["output_config"] == {"effort": "low"}
    given = {name: PARAMETERS[name] for name in ("temperature", "top_p", "stop", "service_tier")}
    converse = build(route("bedrock", region="us-east-1"), **given).body
    assert converse["inferenceConfig"] == {
        "maxTokens": 77,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    }
    assert converse["serviceTier"] == {"type": "flex"}
    gemini = build(route("gemini"), seed=7, reasoning_effort="low").body["generationConfig"]
    assert gemini["seed"] == 7 and gemini["thinkingConfig"] == {"thinkingLevel": "low"}


@pytest.mark.parametrize(
    ("provider", "name"),
    [("anthropic", "seed"), ("openai-responses", "seed"), ("openai-responses", "stop"), ("gemini", "service_tier"),
     ("bedrock", "seed"), ("mistral", "service_tier"), ("deepseek", "seed")],
)  # fmt: skip
def test_a_parameter_that_the_protocol_has_not_is_refused_by_its_name(provider: str, name: str) -> None:
    with pytest.raises(NotPassed) as refused:
        build(route(provider, region="us-east-1"), **{name: PARAMETERS[name]})
    assert refused.value.pointer == f"/{name}" and "model 'm' is served by" in refused.value.detail


def test_extra_members_are_added_and_may_not_replace_ours() -> None:
    assert build(route("vllm", extra_body={"min_p": 0.1}), extra_body={"top_k": 5}).body["top_k"] == 5
    for name in ("stream", "messages", "max_tokens", "max_completion_tokens", "n", "response_format"):
        with pytest.raises(NotPassed, match=f"/extra_body/{name}"):
            build(route("vllm"), extra_body={name: 1})
    converse = build(route("bedrock", region="us-east-1"), extra_body={"top_k": 5}).body
    assert converse["additionalModelRequestFields"] == {"top_k": 5}


def test_obfuscation_is_switched_off_only_where_it_is_known() -> None:
    assert build(route("openai")).body["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert build(route("generic")).body["stream_options"] == {"include_usage": True}
    assert build(route("vllm")).body["stream_options"]["continuous_usage_stats"] is True


IMAGE = ImagePart(data="aGk=", media_type="image/png")
LINKED = ImagePart(url="https://example.org/a.png")


def test_images_pass_where_the_provider_takes_them_and_are_refused_by_their_place_where_not() -> None:
    shown = Message("user", (TextPart("what is it?"), IMAGE))
    chat = build(route("openai"), messages=[shown]).body["messages"][0]["content"]
    assert chat[1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    claude = build(route("anthropic"), messages=[Message("user", (LINKED,))]).body["messages"][0]["content"]
    assert claude[0]["source"] == {"type": "url", "url": LINKED.url}
    converse = build(route("bedrock", region="us-east-1"), messages=[shown]).body["messages"][0]["content"]
    assert converse[1] == {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    gemini = build(route("gemini"), messages=[shown]).body["contents"][0]["parts"]
    assert gemini[1] == {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    for provider, part in (("deepseek", IMAGE), ("gemini", LINKED), ("bedrock", LINKED)):
        with pytest.raises(NotPassed) as refused:
            build(route(provider, region="us-east-1"), messages=[Message("user", (TextPart("x"), part))])
        assert refused.value.pointer == "/messages/0/content/1"


def test_system_and_developer_turns_go_where_the_protocol_has_them_and_roles_alternate() -> None:
    messages = [
        said("a", "system"),
        said("b", "developer"),
        said("c"),
        said("d"),
        said("e", "assistant"),
        said("f"),
    ]
    roles = [message["role"] for message in build(route("openai"), messages=messages).body["messages"]]
    assert roles == ["system", "developer", "user", "user", "assistant", "user"]
    generic = build(route("generic"), messages=messages).body["messages"]
    assert [message["role"] for message in generic][:2] == ["system", "system"]
    claude = build(route("anthropic"), messages=messages).body
    assert claude["system"] == "a\n\nb"
    assert [(turn["role"], len(turn["content"])) for turn in claude["messages"]] == [
        ("user", 2), ("assistant", 1), ("user", 1),
    ]  # fmt: skip
    for provider in ("anthropic", "bedrock", "gemini"):
        with pytest.raises(
            NotPassed, match="/messages: model 'm' is served by .*, which wants a turn of the user"
        ):
            build(route(provider, region="us-east-1"), messages=[said("a", "system")])


def test_names_of_models_are_escaped_in_paths() -> None:
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"
    at = route("bedrock", region="us-east-1")._replace(model=arn)
    assert build(at).path == (
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fx/converse-stream"
    )
    assert build(route("gemini")).path == "/models/m%3A1:streamGenerateContent?alt=sse"


def test_our_request_id_stands_in_bedrocks_own_log() -> None:
    assert build(route("bedrock", region="us-east-1"), request_id="r-1").body["requestMetadata"] == {
        "weir_request_id": "r-1"
    }
