"""No page of another site may speak to the laptop's AWS: not from its own origin, and not through a name that its
owner points here. Programs and the stack's own pages may."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.endpoints.http_server import HttpServer
from infra.local.endpoints.own_pages import refusal
from infra.local.sam.function import Cors, FunctionUrl
from infra.local.stack import LocalAws, LocalAwsConfig
from tests.browser import Browser, find_chromium
from tests.unit.cloudformation import ROOT

from .conftest import PROXY, Start

EVIL = "https://evil.example"
READ_A_SECRET = {"x-amz-target": "secretsmanager.ListSecrets", "content-type": "application/x-amz-json-1.1"}


def endpoints(aws: LocalAws) -> dict[str, str]:
    return {
        "function URL": aws.function_url("Proxy"),
        "Lambda API": f"{aws.lambda_endpoint}/2015-03-31/functions/Proxy/invocations",
        "Logs API": aws.logs_endpoint,
        "moto": aws.moto_endpoint,
    }


@pytest.fixture
async def aws(start: Start) -> AsyncIterator[LocalAws]:
    yield await start(PROXY, services=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8080"},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
async def test_another_sites_request_is_refused_by_every_endpoint_and_reaches_no_function(
    aws: LocalAws, headers: dict[str, str]
) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        for name, url in endpoints(aws).items():
            response = await client.post(url, content=b"{}", headers={**READ_A_SECRET, **headers})
            assert response.status_code == 403, name
            assert "expected" in response.text and "got" in response.text, name
            assert not any(key.startswith("access-control-") for key in response.headers), name
    assert not aws.log_events("Proxy")


async def test_programs_of_this_machine_are_answered_and_moto_lets_no_page_in(aws: LocalAws) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        for name, url in endpoints(aws).items():
            response = await client.post(url, content=b"{}", headers=READ_A_SECRET)
            assert response.status_code in (200, 400), (name, response.text)
            assert "access-control-allow-origin" not in response.headers, name


async def test_the_pages_of_an_origin_that_was_let_in_may_call_and_of_no_other(start: Start) -> None:
    cors = Cors(
        allow_origins=("http://localhost:3000",), allow_methods=("POST",), allow_headers=("content-type",)
    )
    aws = await start(replace(PROXY, url=FunctionUrl(cors=cors)))
    url = aws.function_url("Proxy")
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    async with httpx.AsyncClient(timeout=30) as client:
        mine = await client.options(url, headers={"origin": "http://localhost:3000", **preflight})
        assert mine.headers["access-control-allow-origin"] == "http://localhost:3000"
        sent = await client.post(url, content=b"{}", headers={"origin": "http://localhost:3000"})
        assert sent.status_code == 200
        other = await client.post(url, content=b"{}", headers={"origin": "http://localhost:3001"})
        assert other.status_code == 403 and "http://localhost:3000" in other.text


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({"host": "127.0.0.1:8081"}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]:8081"}, True),
        ({"host": "127.0.0.1:8081", "origin": "http://127.0.0.1:8081"}, True),
        # A link to an export on another port, followed from the dashboard or from a mail.
        ({"host": "127.0.0.1:5001", "sec-fetch-site": "same-site"}, True),
        ({"host": "127.0.0.1:5001", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
        # Another port of this machine is another origin: what listens there may be anybody's.
        ({"host": "127.0.0.1:8081", "origin": "http://127.0.0.1:9999"}, False),
        ({"host": ""}, False),
        ({}, False),
    ],
)
def test_who_may_speak_is_decided_by_what_a_page_cannot_choose(
    headers: dict[str, str], answered: bool
) -> None:
    assert (refusal(headers) is None) == answered


ATTACK = """
(async () => {
  const seen = {};
  for (const [name, url, target] of TARGETS) {
    for (const mode of ["cors", "no-cors"]) {
      try {
        const headers = mode === "cors" && target ? {"x-amz-target": target} : {};
        const answer = await fetch(url, {method: "POST", mode, headers, body: "{}"});
        seen[`${name} ${mode}`] = answer.type === "opaque" ? "opaque" : await answer.text();
      } catch (error) { seen[`${name} ${mode}`] = "blocked"; }
    }
  }
  document.body.textContent = Object.entries(seen).map((entry) => entry.join(": ")).join("\\n");
  window.seen = seen;
})();
"""


async def page(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """The attacker's page: it has no text, and a script of its own."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<body></body>"})


async def test_an_attack_page_in_a_real_browser_reads_nothing_and_starts_nothing(
    start: Start, tmp_path: Path
) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("chromium is not on PATH (Debian: apt-get install chromium): the attack is not tried")
    aws = await start(PROXY, services=True)
    aws.services.client("secretsmanager").create_secret(Name="weir/key", SecretString="sk-the-real-key")
    # The attacker's own server does not check who asks; its name, and a second one, are pointed at this machine.
    attacker = HttpServer(page)
    attacker._server.config.app = page
    attacker.start()
    site = attacker.url.replace("127.0.0.1", "evil.example")
    targets = [
        [name, url, READ_A_SECRET["x-amz-target"] if name == "moto" else ""]
        for name, url in endpoints(aws).items()
    ]

    def attack() -> tuple[dict[str, str], dict[str, str]]:
        rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
        with Browser(chromium, tmp_path / "profile", "UTC", rules) as browser, browser.page() as tab:
            tab.open(site)
            tab.evaluate(ATTACK.replace("TARGETS", repr(targets)))
            tab.until("window.seen !== undefined")
            from_its_site = tab.evaluate("window.seen")
            tab.evaluate("document.body.innerText = location + ' saw ' + JSON.stringify(seen, null, 1)")
            tab.screenshot(ROOT / ".artifacts" / "screenshots" / "attack.png")
            rebound = {}
            for name, url in endpoints(aws).items():
                tab.open(url.replace("127.0.0.1", "rebound.example"))
                rebound[name] = tab.evaluate("document.body.innerText")
            return from_its_site, rebound

    try:
        from_its_site, rebound = await asyncio.to_thread(attack)
    finally:
        await attacker.close()
    assert len(from_its_site) == 8 and set(from_its_site.values()) <= {"blocked", "opaque"}
    assert all("expected 127.0.0.1 or localhost" in text for text in rebound.values()), rebound
    assert not aws.log_events("Proxy")


async def test_nobody_who_did_not_start_the_stack_knows_where_its_key_lies() -> None:
    names = set()
    for _ in range(2):
        async with LocalAws(LocalAwsConfig(upstream_key="k")) as aws:
            found = aws.services.client("secretsmanager").list_secrets()["SecretList"]
            names |= {secret["Name"] for secret in found}
    assert len(names) == 2 and all(len(name.rpartition("-")[2]) >= 16 for name in names)
