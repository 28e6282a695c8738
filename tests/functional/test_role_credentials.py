"""The role's credentials from variables and from an endpoint, as SnapStart and containers have it, over a real socket."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from weir.providers.role_credentials import RENEWED_BEFORE_S, CredentialsError, RoleCredentials
from weir.providers.sigv4 import Credentials

pytestmark = pytest.mark.anyio
GIVEN = {
    "AccessKeyId": "ASIA1",
    "SecretAccessKey": "hush",
    "Token": "t",
    "Expiration": "1970-01-01T01:00:00Z",
}


class Endpoint(ThreadingHTTPServer):
    """What answers: `answers` one after the other, the last one again and again; `asked` are the headers that came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = [(200, json.dumps(GIVEN).encode())]
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/credentials?x=1"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(
            {"path": self.path} | {name.lower(): value for name, value in self.headers.items()}
        )
        status, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_variables_are_read_anew_for_each_request() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "quiet"}
    role = RoleCredentials(environment)
    assert await role.get() == Credentials("AKID", "hush", "quiet")
    environment["AWS_ACCESS_KEY_ID"] = "AKID2"  # Lambda has rotated them
    del environment["AWS_SESSION_TOKEN"]
    assert await role.get() == Credentials("AKID2", "hush", None)


async def test_an_endpoint_is_asked_with_its_token_and_again_before_what_it_gave_expires(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    now = [0.0]
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret",
    }
    role = RoleCredentials(environment, lambda: now[0])
    assert await role.get() == await role.get() == Credentials("ASIA1", "hush", "t")
    assert [(asked["path"], asked["authorization"]) for asked in endpoint.asked] == [
        ("/v1/credentials?x=1", "secret")
    ]
    (tmp_path / "token").write_text("rotated\n")
    environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "token")
    now[0] = 3_600 - RENEWED_BEFORE_S
    await role.get()
    assert endpoint.asked[-1]["authorization"] == "rotated"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"{}", "status 403"),
        (200, b"not JSON", "JSONDecodeError"),
        (200, b"{}", "KeyError"),
        (200, b"[]", "TypeError"),
    ],
)
async def test_an_endpoint_that_gives_none_is_our_error_and_quotes_nothing(
    endpoint: Endpoint, status: int, body: bytes, said: str
) -> None:
    endpoint.answers = [(status, body)]
    with pytest.raises(CredentialsError, match=f"expected them from 127.0.0.1, got {said}"):
        await RoleCredentials({"AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.url}).get()


async def test_an_endpoint_that_is_down_is_our_error() -> None:
    with pytest.raises(CredentialsError, match="got ConnectionRefusedError"):
        await RoleCredentials({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"}).get()


@pytest.mark.parametrize(
    "address", ["http://evil.example/", "ftp://127.0.0.1/", "http://169.254.170.2.evil.example/"]
)
async def test_no_other_host_is_asked_without_tls(address: str) -> None:
    with pytest.raises(CredentialsError, match="expected https, or a host of this machine"):
        await RoleCredentials({"AWS_CONTAINER_CREDENTIALS_FULL_URI": address}).get()


async def test_an_environment_without_any_is_our_error_that_names_them() -> None:
    with pytest.raises(CredentialsError, match="expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        await RoleCredentials({"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": " "}).get()
