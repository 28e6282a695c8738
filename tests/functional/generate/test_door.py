"""The door's own matters: its OpenAPI document, cross-origin answers, the provider's key, TLS, settings."""

import gzip
import json
import ssl
from types import SimpleNamespace

import boto3
import httpx
import pytest
import trustme
from openapi_spec_validator import validate

from functions.generate.app import _METHODS, App
from tests.buckets import enter_account
from tests.functional.generate.door import door, facts
from tests.functional.generate.scripted import END, HEAD, completion, framed, provider, status
from weir.generate.settings import GenerateSettings, SettingsError
from weir.pricing.overrides import load_price_book
from weir.pricing.price_book import PriceBookError
from weir.problems import Problem
from weir.providers.call import ProviderRequest
from weir.providers.routes import single_route
from weir.providers.secret import Secret
from weir.providers.upstream import Upstream


async def test_the_openapi_document_is_served_and_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with door("http://127.0.0.1:1/v1", monkeypatch) as app:
        answer = await app.request(method="GET", path="/openapi.json")
    [completed] = facts(capsys.readouterr().out)
    assert completed["outcome"] == "ok" and completed["attempts"] == []
    assert completed["streamed_bytes"] == len(answer.body)
    assert answer.headers["content-type"] == "application/json"
    validate(answer.json)
    # Every path that is served, by the methods that it takes; a HEAD is a GET's.
    paths = {path: {name.upper() for name in methods} for path, methods in answer.json["paths"].items()}
    assert paths.pop("/v1/generations/{id}") == {"DELETE"}
    assert paths == {path: set(methods.split(", ")) - {"HEAD"} for path, methods in _METHODS.items()}
    body = answer.json["paths"]["/v1/generations"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert body == {"$ref": "#/components/schemas/GenerationRequest"}
    assert {"schema", "prompt", "messages"} <= set(
        answer.json["components"]["schemas"]["GenerationRequest"]["properties"]
    )


async def test_pages_of_allowed_origins_may_read_where_the_event_source_does_not_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    origin = {"origin": "https://app.example"}
    async with provider(completion("a")) as upstream:
        async with door(upstream.base_url, monkeypatch, WEIR_CORS_ORIGINS="https://app.example") as app:
            preflight = await app.request(method="OPTIONS", headers=origin)
            allowed = await app.request({"prompt": "x"}, headers=origin)
            foreign = await app.request({"prompt": "x"}, headers={"origin": "https://evil.example"})
            by_url = await app.request({"prompt": "x"}, headers=origin, event_source="function_url")
    assert preflight.status == 204
    asked = set(preflight.headers["access-control-allow-headers"].split(", "))
    assert {"content-type", "authorization", "idempotency-key", "traceparent", "x-stainless-lang"} <= asked
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in foreign.headers
    assert "access-control-allow-origin" not in by_url.headers, "a function URL says it itself"


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_account(moto_url, monkeypatch)


async def test_the_key_comes_from_secrets_manager_and_a_rotated_one_is_fetched_once(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="rotating", SecretString="key-1")
    refused = status(401, {"error": {"message": "bad key"}})
    async with provider(completion("a"), refused, completion("b"), refused) as upstream:
        async with door(upstream.base_url, monkeypatch, WEIR_UPSTREAM_KEY="secretsmanager:rotating") as app:
            assert (await app.request({"prompt": "x"})).text == "a"
            secrets.put_secret_value(SecretId="rotating", SecretString="key-2")
            assert (await app.request({"prompt": "x"})).text == "b"
            still_refused = await app.request({"prompt": "x"})
    sent = [headers["authorization"] for headers in upstream.headers]
    assert sent == ["bearer key-1", "bearer key-1", "bearer key-2", "bearer key-2"]
    assert (
        still_refused.status == 502 and "key-2" not in still_refused.body.decode() + capsys.readouterr().out
    )
    secrets.close()


async def test_the_key_can_come_from_ssm(aws: None) -> None:
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/weir/key", Value="key-3", Type="SecureString")
    assert await Secret("ssm:/weir/key").get() == "key-3"
    ssm.close()


async def test_a_key_that_cannot_be_had_is_an_internal_error_that_names_the_store(
    aws: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(completion("a")) as upstream:
        async with door(upstream.base_url, monkeypatch, WEIR_UPSTREAM_KEY="secretsmanager:absent") as app:
            answer = await app.request({"prompt": "x"})
    assert answer.status == 500
    assert (
        answer.problem["detail"] == "provider key: expected a value at secretsmanager, got GetParameterError"
    )
    assert facts(capsys.readouterr().out)[-1]["outcome"] == "internal_error"


async def test_a_certificate_that_does_not_verify_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    asked = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = True
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, door(f"https://localhost:{port}/v1", monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert answer.status == 502 and "CERTIFICATE_VERIFY_FAILED" in answer.problem["detail"]
    assert not asked


async def test_a_compressed_stream_is_read_and_a_broken_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = b'data: {"choices":[{"delta":{"content":"zip"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    packed = gzip.compress(plain)
    async with provider([head, framed(packed), END], [head, framed(b"\x1f\x8b\x08garbage"), END]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            good, broken = await app.request({"prompt": "x"}), await app.request({"prompt": "x"})
    assert good.text == "zip" and good.final[0] == "done"
    assert broken.final[1]["outcome"] == "upstream_error" and "got broken ones" in broken.final[1]["detail"]


async def test_the_transport_is_the_only_door_to_io() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            503, json={"error": {"message": f"asked for {json.loads(request.content)['model']}"}}
        )

    upstream = Upstream(transport=httpx.MockTransport(refuse))
    route = single_route("http://provider.example/v1", "m", "").routes["m"]
    with pytest.raises(Problem, match="expected 200, got 503: asked for m"):
        await upstream.call(route, ProviderRequest("/chat/completions", {}), b'{"model":"m"}')
    await upstream.close()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"WEIR_UPSTREAM_BASE_URL": ""}, r"WEIR_UPSTREAM_BASE_URL: expected an http\(s\) URL .*, got ''"),
        ({"WEIR_UPSTREAM_BASE_URL": "ftp://x/v1"}, "WEIR_UPSTREAM_BASE_URL: expected an http"),
        ({"WEIR_UPSTREAM_BASE_URL": "https://me:pw@x/v1"}, "expected no credentials"),
        ({"WEIR_UPSTREAM_MODEL": ""}, "WEIR_UPSTREAM_MODEL: expected the name of a model"),
        (
            {"WEIR_UPSTREAM_KEY": "sk-123"},
            "WEIR_UPSTREAM_KEY: expected secretsmanager:NAME, ssm:NAME or role",
        ),
    ],
)
def test_wrong_settings_are_named_and_never_quoted_where_they_may_be_a_key(
    changed: dict[str, str], message: str
) -> None:
    environment = {"WEIR_UPSTREAM_BASE_URL": "https://x/v1", "WEIR_UPSTREAM_MODEL": "m"} | changed
    with pytest.raises(SettingsError, match=message) as raised:
        GenerateSettings.from_environment(environment, "x86_64")
    assert "sk-123" not in str(raised.value) and "pw@" not in str(raised.value)


def test_broken_price_overrides_are_named() -> None:
    with pytest.raises(
        PriceBookError, match="WEIR_PRICE_OVERRIDES: expected a JSON object, or where one lies"
    ):
        load_price_book("/nowhere/prices.json")


async def test_another_scope_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="expected lifespan or http, got 'websocket'"):
        await App()({"type": "websocket"}, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
