"""generate's door, driven as an ASGI server would: the real app, adapters and sockets, in this process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from functions.generate.app import App
from weir.generate.openapi import EVENTS, BufferedError
from weir.ledger.facts import named_by
from weir.providers.sse import SSEDecoder

BLOG_POST = {
    "title": "On streams",
    "slug": "on-streams",
    "summary": "Why waiting is the costliest thing to do.",
    "tags": ["aws", "llm"],
    "author": {"name": "Ada", "bio": None, "email": "ada@example.org"},
    "sections": [
        {"heading": "First", "content": "Té — text.", "keywords": ["a"]},
        {"heading": "Second", "content": "More.", "keywords": []},
    ],
    "conclusion": "Stream.",
    "references": ["https://example.org"],
}


@dataclass
class Answer:
    """What a caller saw."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)
    ended: bool = False
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, data: bytes, *, more: bool) -> None:
        self.arrivals.append((time.monotonic(), data))
        self.body += data
        self.ended = not more
        self._arrived.set()

    async def until(self, part: bytes) -> None:
        """Wait until that has arrived."""
        async with asyncio.timeout(5):
            while part not in self.body:
                self._arrived.clear()
                await self._arrived.wait()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Every event, read back through the model that the OpenAPI document shows for it."""
        events = []
        for event in SSEDecoder().feed(self.body):
            EVENTS[event.event].model_validate_json(event.data)
            events.append((event.event, json.loads(event.data)))
        return events

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for name, data in self.events if name == kind]

    @property
    def text(self) -> str:
        return "".join(event["text"] for event in self.of("delta"))

    @property
    def final(self) -> tuple[str, dict[str, Any]]:
        """The one final event; fails where there is none, or more than one."""
        finals = [(name, data) for name, data in self.events if name in ("done", "error")]
        assert len(finals) == 1 and self.events[-1] == finals[0] and self.ended
        return finals[0]

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        BufferedError.model_validate_json(self.body)
        return self.json


@dataclass
class Door:
    """An app that has started."""

    app: App

    async def request(
        self,
        body: Any = None,
        *,
        method: str = "POST",
        path: str = "/v1/generations",
        headers: dict[str, str] | None = None,
        context: Any = None,
        event_source: str | None = None,
        event: Any = None,
        hang_up: asyncio.Event | None = None,
        answer: Answer | None = None,
        slow_s: float = 0.0,
        lost_after: int | None = None,
    ) -> Answer:
        answer = answer if answer is not None else Answer()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        pending = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if pending:
                return pending.pop()
            await (hang_up or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if lost_after is not None and len(answer.arrivals) >= lost_after:
                raise OSError("the connection is gone")
            if message["type"] == "http.response.start":
                assert answer.status == 0, "two statuses"
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                assert answer.status and not answer.ended, "a body out of place"
                answer.take(message.get("body", b""), more=message.get("more_body", False))
                if slow_s:
                    await asyncio.sleep(slow_s)

        sent = {"content-type": "application/json"} | (headers or {})
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        if context is not None:
            scope["aws.context"] = context
        if event is not None:
            scope["aws.event"] = event
        if event_source is not None:
            scope["aws.event_source"] = event_source
        await self.app(scope, receive, send)
        return answer


def set_policy(door: Door, **members: Any) -> None:
    """Change clocks, caps and rhythm of an app that has started, by their names, and the rest of its policy."""
    policy = door.app._generate.policy
    for part in ("clocks", "caps", "rhythm"):
        here = getattr(policy, part)
        mine = {name: members.pop(name) for name in list(members) if name in here._fields}
        policy = policy._replace(**{part: here._replace(**mine)})
    door.app._generate.policy = policy._replace(**members)


@asynccontextmanager
async def door(base_url: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> AsyncIterator[Door]:
    """Start the app against a provider, with the environment that Lambda would give it."""
    for name, value in {
        "WEIR_UPSTREAM_BASE_URL": base_url,
        "WEIR_UPSTREAM_MODEL": "test-model",
        "AWS_LAMBDA_FUNCTION_NAME": "generate",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_REGION": "us-east-1",
        "WEIR_EPHEMERAL_STORAGE_MB": "512",
        **environment,
    }.items():
        monkeypatch.setenv(name, value)
    app = App()
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    lifespan = asyncio.create_task(app({"type": "lifespan"}, inbox.get, outbox.put))
    inbox.put_nowait({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    app._generate.jitter = float  # no test waits at random
    try:
        yield Door(app)
    finally:  # also after a failure: whoever serves the app's connections waits for their end
        inbox.put_nowait({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await lifespan


def facts(output: str) -> list[dict[str, Any]]:
    """The facts among the lines of a function's stdout."""
    lines = [json.loads(line) for line in output.splitlines()]
    found: dict[str, dict[str, Any]] = {}
    return [_whole(line, found) for line in lines if "fact" in line]


def _whole(line: dict[str, Any], started: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A fact with what its line, and the facts before it, say for it."""
    said = {"kind": line["message"], "at": line["timestamp"], "request_id": line["requestId"], "attempt": 1}
    never = dict.fromkeys(("tenant", "model", "schema", "model_returned", "http_status", "function_arn"))
    fact = {
        **never,
        "tags": {},
        "cold_start": False,
        **started.get(line["requestId"], {}),
        **said,
        **line["fact"],
    }
    fact = {**named_by(fact["function_arn"]), **fact}
    if fact["kind"] == "request.started":
        names = ("tenant", "tags", "schema", "cold_start", "function", "region")
        started[line["requestId"]] = {name: fact[name] for name in names if name in fact}
    for number, attempt in enumerate(fact.get("attempts", ()), 1):
        for name in ("model", "model_returned", "outcome"):
            attempt.setdefault(name, fact.get(name))
        attempt.setdefault("attempt", number)
        attempt.setdefault("route", attempt["model"])
        attempt.setdefault("structured_output", "native" if fact["schema"] else None)
        usage = attempt["usage"]
        if {"input_tokens", "output_tokens"} <= usage.keys():
            usage.setdefault("total_tokens", usage["input_tokens"] + usage["output_tokens"])
    return fact


def metrics(output: str) -> list[dict[str, Any]]:
    """The metric records among them, name to value."""
    records = [json.loads(line) for line in output.splitlines() if '"_aws"' in line]
    return [
        {
            metric["Name"]: record[metric["Name"]]
            for metric in record["_aws"]["CloudWatchMetrics"][0]["Metrics"]
        }
        for record in records
    ]
