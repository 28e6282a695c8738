"""The signing proxy against a server that verifies each signature for itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl

import httpx
import pytest
from botocore.credentials import ReadOnlyCredentials

from infra.costs.proxy import MAX_REQUEST_BYTES, NoCredentials, SigningProxy
from infra.local.endpoints.http_server import HttpServer

from .sigv4 import VerifyingServer, expected_signature, verifying

KEYS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "AKIDNEXT": "another/secret"}
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Keyring:
    """Credentials that may be renewed, or be gone, between two requests."""

    key: str | None = "AKIDEXAMPLE"
    token: str | None = None

    def __call__(self) -> ReadOnlyCredentials:
        if self.key is None:
            raise NoCredentials("no profile, no environment")
        return ReadOnlyCredentials(self.key, KEYS[self.key], self.token)


@dataclass
class Setting:
    server: VerifyingServer
    keys: Keyring
    client: httpx.AsyncClient
    url: str


@asynccontextmanager
async def proxied() -> AsyncIterator[Setting]:
    with verifying(dict(KEYS)) as server:
        keys = Keyring()
        proxy = SigningProxy(server.url, "eu-central-1", keys)
        front = HttpServer(proxy.app)
        front.start()
        try:
            async with httpx.AsyncClient(base_url=front.url) as client:
                yield Setting(server, keys, client, front.url)
        finally:
            await proxy.aclose()
            await front.close()


def test_the_judge_computes_the_signature_of_aws_own_example() -> None:
    # "get-vanilla-query-order-key-case" of AWS's SigV4 test suite.
    headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    got = expected_signature(
        secret, "GET", "/?Param2=value2&Param1=value1", headers, b"", ("20150830", "us-east-1", "service"),
        "host;x-amz-date",
    )  # fmt: skip
    assert got == "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"


async def test_the_server_refuses_what_nobody_signed() -> None:
    async with proxied() as setting, httpx.AsyncClient() as direct:
        assert (await direct.get(f"{setting.server.url}/api/report")).status_code == 403


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api/report?from=2026-11-01&to=2026-12-01&tz=Europe%2FBerlin&by=tag%3Ateam",
        "/api/report?tag=b%3D1&tag=a%3D2&tag=b%3D0",
        "/api/requests/3f2a%20b%2Fc?empty=&flag",
        "/page/vendor/chart.umd.min.js",
        "/api/requests?model=caf%C3%A9+*~!%27()%2B",
    ],
)
async def test_a_request_arrives_signed_and_unchanged(target: str) -> None:
    async with proxied() as setting:
        answer = await setting.client.get(target, headers={"accept": "application/json"})
        assert answer.status_code == 200, answer.text
        echo = answer.json()
        assert (echo["service"], echo["region"]) == ("lambda", "eu-central-1")
        path, _, query = target.partition("?")
        arrived, _, parameters = echo["target"].partition("?")
        assert arrived == path
        assert parse_qsl(parameters, keep_blank_values=True) == parse_qsl(query, keep_blank_values=True)
        assert echo["headers"]["accept"] == "application/json"


@pytest.mark.parametrize("target", ["%2F@127.0.0.1:9/x", "@127.0.0.1:9/x", ".evil.example/x", "x"])
async def test_a_target_that_would_lead_to_another_host_is_refused(target: str) -> None:
    """Attack A16: a raw target that httpx and browsers would not send."""
    async with proxied() as setting:
        host, port = "127.0.0.1", int(setting.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    assert answer.split(b" ")[1] in (b"400", b"404")


async def test_a_body_is_part_of_the_signature() -> None:
    async with proxied() as setting:
        answer = await setting.client.post("/api/exports", json={"format": "xlsx", "tz": "Europe/Zürich"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["body"].startswith('{"format":"xlsx"')
        assert answer.json()["headers"]["content-type"] == "application/json"


async def test_session_tokens_and_renewed_credentials_are_used_as_they_are_at_each_request() -> None:
    async with proxied() as setting:
        assert (await setting.client.get("/")).json()["key"] == "AKIDEXAMPLE"
        setting.keys.key, setting.keys.token = "AKIDNEXT", "session-token"
        echo = (await setting.client.get("/")).json()
        assert (echo["key"], echo["headers"]["x-amz-security-token"]) == ("AKIDNEXT", "session-token")


async def test_nothing_of_the_browser_goes_on_that_is_not_for_finance() -> None:
    async with proxied() as setting:
        own = {
            "cookie": "other=1",
            "authorization": "Basic eDp5",
            "referer": f"{setting.url}/",
            "origin": setting.url,
        }
        echo = (await setting.client.get("/", headers=own)).json()
        assert not {"cookie", "referer", "origin"} & echo["headers"].keys()
        assert echo["headers"]["authorization"].startswith("AWS4-HMAC-SHA256")
        assert echo["headers"]["host"] == setting.server.url.removeprefix("http://")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "attacker.example"},
        {"host": "attacker.example:{port}"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1:1"},
        {"origin": "https://attacker.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
)
async def test_another_sites_page_reaches_nothing(headers: dict[str, str]) -> None:
    async with proxied() as setting:
        port = setting.url.rpartition(":")[2]
        sent = {name: value.replace("{port}", port) for name, value in headers.items()}
        for method in ("GET", "POST"):
            answer = await setting.client.request(method, "/api/report", headers=sent)
            assert answer.status_code == 403
            assert "expected" in answer.text
        assert setting.server.seen == []


async def test_a_link_elsewhere_may_lead_to_the_page_but_not_post_to_it() -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    async with proxied() as setting:
        assert (await setting.client.get("/", headers=link)).status_code == 200
        assert (await setting.client.post("/api/exports", headers=link)).status_code == 403


async def test_localhost_is_this_address_too() -> None:
    async with proxied() as setting:
        host = setting.url.removeprefix("http://").replace("127.0.0.1", "localhost")
        assert (await setting.client.get("/", headers={"host": host})).status_code == 200


async def test_an_answer_is_passed_on_while_it_is_written() -> None:
    async with proxied() as setting, setting.client.stream("GET", "/stream") as answer:
        parts = answer.aiter_raw()
        async with asyncio.timeout(20):
            assert await anext(parts) == b"first"  # the server waits for what comes next
        setting.server.release.set()
        assert b"".join([part async for part in parts]) == b"last"


async def test_redirects_are_the_browsers_to_follow() -> None:
    async with proxied() as setting:
        answer = await setting.client.get("/elsewhere")
        assert (answer.status_code, answer.headers["location"]) == (302, "https://elsewhere.example/")


async def test_a_refused_signature_is_explained_where_the_person_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with proxied() as setting:
        setting.server.secrets.clear()
        assert (await setting.client.get("/")).status_code == 403
    assert "expected the permissions lambda:InvokeFunctionUrl" in capsys.readouterr().err


async def test_without_credentials_or_a_function_the_answer_says_so() -> None:
    async with proxied() as setting:
        setting.keys.key = None
        answer = await setting.client.get("/")
        assert (answer.status_code, "cannot sign: no profile" in answer.text) == (502, True)
    proxy = SigningProxy("http://127.0.0.1:9", "eu-central-1", Keyring())
    front = HttpServer(proxy.app)
    front.start()
    async with httpx.AsyncClient(base_url=front.url) as client:
        answer = await client.get("/")
        assert answer.status_code == 502
        assert "http://127.0.0.1:9 did not answer: ConnectError" in answer.text
    await proxy.aclose()
    await front.close()


async def test_a_body_that_no_function_takes_is_refused_here() -> None:
    async with proxied() as setting:
        answer = await setting.client.post("/api/exports", content=bytes(MAX_REQUEST_BYTES + 1))
        assert answer.status_code == 413
