"""The simulator in every protocol: as the recordings have it, as the providers' SDKs read it, as our decoders do."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import openai
import pytest

from infra.local.simulator import Simulator
from tests.functional.sdks import botocore_events
from tests.recordings import Recording, read_pieces, recordings
from weir.providers.event_stream import EventStreamDecoder
from weir.providers.sse import SSEDecoder

from .schemas import BLOG_POST

SCHEMA = BLOG_POST["json_schema"]["schema"]
PROMPT = "Write about the tides."
SMALL = {
    "type": "object", "properties": {"title": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["title", "count"], "additionalProperties": False,
}  # fmt: skip


def chat(model: str, **more: Any) -> tuple[str, Any]:
    messages = [{"role": "user", "content": PROMPT}]
    return "/v1/chat/completions", {
        "model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}, **more,
    }  # fmt: skip


def responses(model: str, **more: Any) -> tuple[str, Any]:
    return "/v1/responses", {"model": model, "input": PROMPT, "stream": True, **more}


def messages(model: str, **more: Any) -> tuple[str, Any]:
    turns = [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}]
    return "/v1/messages", {"model": model, "messages": turns, "max_tokens": 4_096, "stream": True, **more}


def converse(model: str, **more: Any) -> tuple[str, Any]:
    return f"/model/{quote(model, safe='')}/converse-stream", {
        "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
        **more,
    }


def gemini(model: str, **more: Any) -> tuple[str, Any]:
    path = f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    return path, {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}], **more}


APIS: dict[str, Any] = {
    "chat.completions": chat, "responses": responses, "messages": messages, "bedrock.converse": converse, "gemini": gemini,
}  # fmt: skip
NATIVE: dict[str, Any] = {
    "chat.completions": {"response_format": {"type": "json_schema", "json_schema": {"name": "small", "strict": True, "schema": SMALL}}},
    "responses": {"text": {"format": {"type": "json_schema", "name": "small", "strict": True, "schema": SMALL}}},
    "messages": {"output_config": {"format": {"type": "json_schema", "schema": SMALL}}},
    "bedrock.converse": {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
        "name": "small", "schema": json.dumps(SMALL)}}}}},
    "gemini": {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SMALL}},
}  # fmt: skip
TOOL: dict[str, Any] = {
    "chat.completions": {"tools": [{"type": "function", "function": {"name": "small", "parameters": SMALL}}],
                         "tool_choice": {"type": "function", "function": {"name": "small"}}},
    "responses": {"tools": [{"type": "function", "name": "small", "parameters": SMALL}],
                  "tool_choice": {"type": "function", "name": "small"}},
    "messages": {"tools": [{"name": "small", "input_schema": SMALL}], "tool_choice": {"type": "tool", "name": "small"}},
    "bedrock.converse": {"toolConfig": {"tools": [{"toolSpec": {"name": "small", "inputSchema": {"json": SMALL}}}],
                                        "toolChoice": {"tool": {"name": "small"}}}},
    "gemini": {"tools": [{"functionDeclarations": [{"name": "small", "parametersJsonSchema": SMALL}]}]},
}  # fmt: skip


def send(simulator: Simulator, api: str, model: str, **more: Any) -> httpx.Response:
    path, body = APIS[api](model, **more)
    return httpx.post(f"{simulator.origin}{path}", json=body, timeout=20)


def stream(simulator: Simulator, api: str, model: str, **more: Any) -> Any:
    """What our decoder reads of the answer, in the pieces that came."""
    path, body = APIS[api](model, **more)
    with httpx.stream("POST", f"{simulator.origin}{path}", json=body, timeout=20) as response:
        assert response.status_code == 200, response.read()
        return read_pieces(api, list(response.iter_raw()))


def shapes(api: str, body: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each event's name and its members in their order."""
    if api == "bedrock.converse":
        for message in EventStreamDecoder().feed(body):
            yield message.headers[":event-type"], tuple(json.loads(message.payload))
        return
    for event in SSEDecoder().feed(body):
        if event.data != "[DONE]":
            document = json.loads(event.data)
            yield event.event, tuple(document)


@pytest.mark.parametrize("api", [name for name in APIS if name != "gemini"])
def test_events_have_the_members_of_recorded_ones_in_their_order(simulator: Simulator, api: str) -> None:
    ours = set(shapes(api, send(simulator, api, "sim-fast").content))
    recorded = {shape for recording in _first_party(api) for shape in shapes(api, recording.body)}
    if api == "responses":  # obfuscation pads text for readers on the wire; it can be switched off
        recorded |= {
            (name, tuple(member for member in shape if member != "obfuscation")) for name, shape in recorded
        }
    assert ours <= recorded, sorted(ours - recorded)


def test_geminis_chunks_have_the_members_of_recorded_ones_in_their_order(simulator: Simulator) -> None:
    body = send(simulator, "gemini", "sim-fast").content
    recorded = {
        shape for recording in _first_party("gemini") for _, shape in shapes("gemini", recording.body)
    }
    assert {shape for _, shape in shapes("gemini", body)} <= recorded
    assert b"\r\n\r\n" in body and b"[DONE]" not in body


def _first_party(api: str) -> list[Recording]:
    hosts = ("api.openai.com", "api.anthropic.com", "bedrock-runtime", "generativelanguage")
    return [recording for recording in recordings(api) if recording.host.startswith(hosts)]


@pytest.mark.parametrize("api", list(APIS))
def test_text_finish_and_usage_are_the_scripts(simulator: Simulator, api: str) -> None:
    readings = {name: stream(simulator, name, "sim-cached") for name in ("chat.completions", api)}
    ours, by_chat = readings[api], readings["chat.completions"]
    assert ours.complete and ours.text == by_chat.text and len(ours.text) > 100
    assert ours.finish.normal == "stop" and ours.model in ("sim-cached", None)
    for name in ("output_tokens", "cached_input_tokens"):
        assert getattr(ours.usage, name) == getattr(by_chat.usage, name), name
    assert ours.usage.complete and not ours.usage.inconsistent and ours.usage.cached_input_tokens


@pytest.mark.parametrize("api", list(APIS))
def test_thoughts_are_paid_for_and_no_text(simulator: Simulator, api: str) -> None:
    reading = stream(simulator, api, "sim-reasoning")
    assert reading.usage.output_tokens > 128 and "think" not in reading.text[:20]


@pytest.mark.parametrize("api", list(APIS))
@pytest.mark.parametrize("mode", ["native", "tool"])
def test_a_document_comes_as_text_or_as_a_tools_arguments(simulator: Simulator, api: str, mode: str) -> None:
    reading = stream(simulator, api, "sim-fast", **(NATIVE if mode == "native" else TOOL)[api])
    document = json.loads(reading.text if mode == "native" else reading.arguments)
    assert set(document) == {"title", "count"}
    assert reading.finish.normal == ("stop" if mode == "native" else "tool")


@pytest.mark.parametrize("api", list(APIS))
@pytest.mark.parametrize(
    ("model", "normal"),
    [
        ("sim-truncated", {"length"}),
        ("sim-filtered", {"filtered", "refused"}),
        ("sim-refusal", {"refused", "filtered"}),
    ],
)
def test_endings_have_each_providers_own_words(
    simulator: Simulator, api: str, model: str, normal: set[str]
) -> None:
    reading = stream(simulator, api, model)
    refused = bool(reading.refusal) or reading.finish.normal in normal
    assert refused and reading.complete


@pytest.mark.parametrize("api", list(APIS))
@pytest.mark.parametrize("model", ["sim-error-event", "sim-garbage", "sim-silent-end", "sim-cut"])
def test_faults_are_faults_in_every_protocol(simulator: Simulator, api: str, model: str) -> None:
    path, body = APIS[api](model)
    pieces: list[bytes] = []
    with httpx.stream("POST", f"{simulator.origin}{path}", json=body, timeout=20) as response:
        try:
            pieces.extend(response.iter_raw())
        except httpx.RemoteProtocolError:
            assert model == "sim-cut"
    reading = read_pieces(api, pieces)
    assert not reading.complete
    assert bool(reading.failures) is (model in ("sim-error-event", "sim-garbage"))


@pytest.mark.parametrize("api", list(APIS))
@pytest.mark.parametrize("model", ["sim-odd-event", "sim-bursty", "sim-split", "sim-gzip"])
def test_what_is_odd_and_harmless_is_passed_over(simulator: Simulator, api: str, model: str) -> None:
    path, body = APIS[api](model)
    with httpx.stream("POST", f"{simulator.origin}{path}", json=body, timeout=20) as response:
        assert read_pieces(api, list(response.iter_bytes())).complete


@pytest.mark.parametrize("api", list(APIS))
def test_bytes_that_are_no_utf_8_are_replaced_or_an_error(simulator: Simulator, api: str) -> None:
    reading = stream(simulator, api, "sim-invalid-utf8")
    assert "\ufffd" in reading.text or reading.failures


RULES = {
    "chat.completions": {"title": {"type": "string", "minLength": 1}},
    "responses": {"title": {"type": "string", "minLength": 1}},
    "messages": {"title": {"type": "integer", "minimum": 1}},
    "bedrock.converse": {"title": {"type": "integer", "exclusiveMinimum": 1}},
    "gemini": {"title": {"type": "string", "minLength": 1}},
}


@pytest.mark.parametrize("api", list(APIS))
def test_each_provider_refuses_what_its_subset_lacks(simulator: Simulator, api: str) -> None:
    refused = {**SMALL, "properties": RULES[api], "required": ["title"]}
    asked = json.loads(json.dumps(NATIVE[api]).replace(json.dumps(SMALL), json.dumps(refused)))
    if api == "bedrock.converse":
        asked["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"] = json.dumps(refused)
    answer = send(simulator, api, "sim-fast", **asked)
    assert answer.status_code == 400 and "schema" in answer.text


@pytest.mark.parametrize(
    ("api", "found"),
    [
        ("messages", {"type": "error", "error": {"type": "rate_limit_error"}}),
        ("gemini", {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}),
        ("responses", {"error": {"code": "rate_limit_exceeded"}}),
    ],
)
def test_errors_have_each_providers_own_shape(simulator: Simulator, api: str, found: dict[str, Any]) -> None:
    answer = send(simulator, api, "sim-429")
    assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
    for name, value in found.items():
        assert answer.json()[name] == value or value.items() <= answer.json()[name].items()


def test_amazon_names_the_error_in_a_header(simulator: Simulator) -> None:
    answer = send(simulator, "bedrock.converse", "sim-429")
    assert answer.headers["x-amzn-errortype"] == "ThrottlingException" and set(answer.json()) == {"message"}


def test_anthropics_sdk_reads_it(simulator: Simulator) -> None:
    import anthropic  # three seconds, which only the process that runs this waits for

    with anthropic.Anthropic(api_key="unused", base_url=simulator.origin, max_retries=0) as client:
        turns: Any = [{"role": "user", "content": PROMPT}]
        with client.messages.stream(model="sim-fast", max_tokens=4_096, messages=turns) as stream_:
            final = stream_.get_final_message()
        assert final.stop_reason == "end_turn" and final.usage.output_tokens > 10
        with pytest.raises(anthropic.RateLimitError):
            client.messages.create(model="sim-429", max_tokens=10, messages=turns)


def test_openais_sdk_reads_its_responses(simulator: Simulator) -> None:
    with openai.OpenAI(api_key="unused", base_url=simulator.base_url, max_retries=0) as client:
        with client.responses.stream(model="sim-fast", input=PROMPT) as events:
            final = events.get_final_response()
        assert final.status == "completed" and len(final.output_text) > 100


def test_googles_sdk_reads_it(simulator: Simulator) -> None:
    from google import genai

    options = genai.types.HttpOptions(base_url=simulator.origin, api_version="v1beta")
    client = genai.Client(api_key="unused", http_options=options)
    chunks = list(client.models.generate_content_stream(model="sim-fast", contents=PROMPT))
    assert len("".join(chunk.text or "" for chunk in chunks)) > 100
    assert chunks[-1].candidates and chunks[-1].candidates[0].finish_reason == "STOP"


def test_botocore_reads_it(simulator: Simulator) -> None:
    events = list(botocore_events("ConverseStream", send(simulator, "bedrock.converse", "sim-fast").content))
    names = [next(iter(event)) for event in events]
    assert names[0] == "messageStart" and names[-2:] == ["messageStop", "metadata"]


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key", "api-key"])
def test_a_key_is_asked_for_where_each_protocol_sends_it(header: str) -> None:
    with Simulator(api_key="s3cret") as locked:
        path, body = messages("sim-fast")
        value = "Bearer s3cret" if header == "authorization" else "s3cret"
        for sent, status in ((value, 200), (f"{value}x", 401)):
            assert (
                httpx.post(f"{locked.origin}{path}", json=body, headers={header: sent}).status_code == status
            )
