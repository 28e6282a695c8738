"""The two responses of an ASGI connection: a stream of events, or one JSON object at the end.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from weir.generate import events
from weir.generate.body import MAX_BODY_BYTES, body_too_large
from weir.generate.events import Wire
from weir.generate.result import Result
from weir.outcomes import Outcome
from weir.problems import CONTENT_TYPE, Problem

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]
type Headers = Iterable[tuple[str, str]]


class StreamResponse:
    """Server-sent events. `headers` is asked when they go out, since they tell how long that took."""

    streams = True
    wire: Wire = events

    def __init__(self, send: Send, headers: Callable[[], Headers]) -> None:
        self.finished = False  # from then on it does not matter whether the caller is still there
        self._send = send
        self._headers = headers
        self._opened = False

    async def open(self) -> None:
        """Send the status and headers, once."""
        if self._opened:
            return
        self._opened = True
        headers = [("content-type", "text/event-stream; charset=utf-8"), *self._headers()]
        await self._send({"type": "http.response.start", "status": 200, "headers": _encode(headers)})

    async def send(self, data: bytes) -> None:
        """Send whole events."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def encode(self, result: Result) -> bytes:
        """The final event; where no stream began, the problem document."""
        problem = result.verdict.problem
        if problem is None:
            return events.done(result.attempt, result.verdict.outcome, result.summary)
        if self._opened:
            return events.error(result.attempt, problem, result.summary)
        return _problem_document(problem, result)

    async def finish(self, result: Result, data: bytes) -> None:
        """Send the last bytes and end the response."""
        self.finished = True
        problem = result.verdict.problem
        if self._opened or problem is None:
            await self.open()
            await self._send({"type": "http.response.body", "body": data, "more_body": False})
        else:
            await _refuse(self._send, problem, data, self._headers())


class BufferedResponse:
    """One JSON object: the document or text with its account, or the problem."""

    streams = False
    wire: Wire = events

    def __init__(self, send: Send, headers: Callable[[], Headers]) -> None:
        self.finished = False
        self._send = send
        self._headers = headers

    async def open(self) -> None:
        """Nothing goes out before the end."""

    async def send(self, data: bytes) -> None:
        """Nothing goes out before the end."""

    def encode(self, result: Result) -> bytes:
        """The one object; a document's bytes were serialised as it arrived and are joined here."""
        verdict = result.verdict
        if verdict.problem is not None:
            return _with_what_came(_problem_document(verdict.problem, result), result)
        rest = events.dumps({"outcome": verdict.outcome, "attempt": result.attempt, **result.summary})[1:]
        if verdict.document is None:
            return b'{"text":%b,%b' % (events.dumps(result.text), rest)
        document = b"".join(verdict.document.json_parts(events.RESULT_PART_BYTES))
        return b'{"document":%b,%b' % (document, rest)

    async def finish(self, result: Result, data: bytes) -> None:
        """Send it, with the status of the outcome."""
        self.finished = True
        problem = result.verdict.problem
        if problem is None:
            await respond(self._send, 200, [("content-type", "application/json"), *self._headers()], data)
        else:
            await _refuse(self._send, problem, data, self._headers())


class OpenAIWire(Wire, Protocol):
    """How one of OpenAI's protocols writes an answer, in events or as one object, and an error."""

    def begin(self) -> bytes:
        """What a stream opens with."""

    def end(self, result: Result) -> bytes:
        """The last events; or what went wrong."""

    def whole(self, result: Result) -> dict[str, Any]:
        """The one object of a result that has an answer."""

    def refusal(self, problem: Problem) -> dict[str, Any]:
        """The error's envelope."""


class OpenAIStreamResponse(StreamResponse):
    """An answer in events, as OpenAI's SDKs read them."""

    def __init__(self, send: Send, headers: Callable[[], Headers], wire: OpenAIWire) -> None:
        super().__init__(send, headers)
        self.wire = self._openai = wire

    async def open(self) -> None:
        """Send the status and headers, and what the stream opens with, once."""
        if not self._opened:
            await super().open()
            await self.send(self._openai.begin())

    def encode(self, result: Result) -> bytes:
        """The last events; where no stream began, the error's envelope."""
        problem = result.verdict.problem
        if self._opened or problem is None or _is_answer(result):
            return self._openai.end(result)
        return events.dumps(self._openai.refusal(problem))

    async def finish(self, result: Result, data: bytes) -> None:
        """Send the last bytes and end the response."""
        self.finished = True
        problem = result.verdict.problem
        if self._opened or problem is None or _is_answer(result):
            await self.open()
            await self._send({"type": "http.response.body", "body": data, "more_body": False})
        else:
            await _refuse_sdk(self._send, problem, data, self._headers())


class OpenAIResponse(BufferedResponse):
    """An answer as one object, as OpenAI's SDKs read it."""

    def __init__(self, send: Send, headers: Callable[[], Headers], wire: OpenAIWire) -> None:
        super().__init__(send, headers)
        self.wire = self._openai = wire

    def encode(self, result: Result) -> bytes:
        """The one object, or the error's envelope."""
        if _is_answer(result):
            return events.dumps(self._openai.whole(result))
        assert result.verdict.problem is not None
        return events.dumps(self._openai.refusal(result.verdict.problem))

    async def finish(self, result: Result, data: bytes) -> None:
        """Send it, with the status of the outcome."""
        self.finished = True
        problem = result.verdict.problem
        if problem is None or _is_answer(result):
            await respond(self._send, 200, [("content-type", "application/json"), *self._headers()], data)
        else:
            await _refuse_sdk(self._send, problem, data, self._headers())


def _is_answer(result: Result) -> bool:
    """Whether OpenAI's protocols have an answer for the outcome, and not an error."""
    return result.verdict.outcome in _ANSWERED


_ANSWERED = frozenset({Outcome.OK, Outcome.TRUNCATED_OUTPUT, Outcome.FILTERED, Outcome.REFUSED})


async def _refuse_sdk(send: Send, problem: Problem, body: bytes, more: Headers) -> None:
    from weir.generate.chat_api import should_retry

    said = dict(problem.headers).get("x-should-retry") or ("true" if should_retry(problem) else "false")
    others = [(name, value) for name, value in problem.headers if name != "x-should-retry"]
    # OpenAI's SDKs know 400 for what is wrong in a body.
    status = 400 if problem.status == 422 and "errors" in problem.members else problem.status
    await respond(
        send, status, [("content-type", "application/json"), ("x-should-retry", said), *others, *more], body
    )


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a whole response."""
    headers = [*headers, ("content-length", str(len(body)))]
    await send({"type": "http.response.start", "status": status, "headers": _encode(headers)})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def read_body(receive: Receive, limit_s: float) -> bytes:
    """Read the request's body, no more of it than is allowed and for no longer.

    Raises:
        Problem: 413 as soon as it is over MAX_BODY_BYTES, 408 if its end does not come in time; client_disconnected
            when the caller leaves before.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await _read_body(receive)
    except TimeoutError:
        raise Problem(
            Outcome.BAD_REQUEST,
            f"body: expected all of it within {limit_s:g} s",
            status=408,
            title="Request timeout",
        ) from None


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(
                Outcome.CLIENT_DISCONNECTED, "the caller hung up before the end of the request's body"
            )
        body = message.get("body", b"")
        size += len(body)
        if size > MAX_BODY_BYTES:
            raise body_too_large()
        parts.append(body)
        if not message.get("more_body", False):
            return b"".join(parts)


async def disconnected(receive: Receive) -> None:
    """Return when the caller hangs up, where the server can see it; on Lambda nobody can, and this never returns."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _problem_document(problem: Problem, result: Result) -> bytes:
    members = {"outcome": problem.outcome, "attempt": result.attempt, **result.summary}
    return events.dumps({**problem.as_json(), **members})


def _with_what_came(document: bytes, result: Result) -> bytes:
    """A problem document with what a stream would have held by then: the text, and the values that were valid."""
    if result.text is None:
        return document
    members = b'"text":%b' % events.dumps(result.text)
    if result.values:
        values = (
            b'{"path":%b,"value":%b}' % (events.dumps(value.path), value.json) for value in result.values
        )
        members += b',"values":[%b]' % b",".join(values)
    return b"%b,%b}" % (document[:-1], members)


async def _refuse(send: Send, problem: Problem, body: bytes, headers: Headers) -> None:
    await respond(send, problem.status, [("content-type", CONTENT_TYPE), *headers, *problem.headers], body)


def _encode(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
