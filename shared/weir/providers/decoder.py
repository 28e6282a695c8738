"""What the decoders of all protocols share: one answer's text, end and counts, and the JSON events of an SSE body.

Text after a finish reason voids it: the answer went on. Counts are merged as they come, and are a lower bound until
the answer has finished and nothing of it came after them. Half a surrogate pair is held back for the next piece of
text: servers that cut by UTF-16 units send the halves apart.

A body that should be server-sent events and is not is judged by what it holds: proxies answer 200 with JSON or HTML,
and some servers label a true event stream as plain text.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from weir.pricing.usage import Usage
from weir.providers.events import (
    Failed,
    Finished,
    FinishReason,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Text,
    UsageReported,
)
from weir.providers.sse import SSEDecoder

MAX_EVENT_BYTES = 1_048_576
_MAX_NAME = 200  # as long as a request may name a model: facts must fit a log line
_EAGER_BYTES = 16_384
_HALVES = re.compile("[\ud800-\udfff]")


class AnswerDecoder:
    """The state of one answer, which each protocol's decoder writes to; `events.Decoder` says what it promises."""

    def __init__(self) -> None:
        self.terminated = False
        self.finish: Finished | None = None
        self._failed = False
        self._out: list[ProviderEvent] = []
        self._voided = False
        self._held = ""  # a high surrogate, whose low one is to come
        self._halves = 0
        self._usage = Usage()
        self._counted_all = False  # nothing of the answer came after the last report
        self._served = Served()

    @property
    def replaced(self) -> int:
        """How many pieces of text held half a surrogate pair, which became U+FFFD."""
        return self._halves

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end; a finish reason that text contradicted once needs the end mark, too."""
        return not self._failed and self.finish is not None and (self.terminated or not self._voided)

    def _text(self, text: str) -> None:
        if self._held or not text.isascii():
            text = self._mended(text)
        if text:
            self._continued()
            self._out.append(Text(text))

    def _reasoning(self, text: str) -> None:
        if text:
            self._continued()
            self._out.append(Reasoning(text if text.isascii() else _HALVES.sub("\ufffd", text)))

    def _refusal(self, text: str, category: str | None = None) -> None:
        self._continued()
        self._out.append(Refusal(text if text.isascii() else _HALVES.sub("\ufffd", text), category))

    def _continued(self) -> None:
        """Something of the answer has come: what said that it had ended, or was counted, did not speak of all of it."""
        if self.finish is not None:
            self.finish, self._voided = None, True
        self._counted_all = False

    def _mended(self, text: str) -> str:
        text, self._held = self._held + text, ""
        if not _HALVES.search(text):
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        # Halves that meet are one character; those that stand alone are none.
        mended = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if "\ufffd" in mended:
            self._halves += mended.count("\ufffd") > text.count("\ufffd")
        return mended

    def _release(self) -> None:
        """Give up waiting for the other half of a pair."""
        if self._held:
            self._held = ""
            self._halves += 1
            self._text("\ufffd")

    def _finished(self, normal: FinishReason, raw: object) -> None:
        self._release()
        self.finish = Finished(normal, str(raw)[:64])
        self._out.append(self.finish)
        self._counts_stand()

    def _end(self) -> None:
        """The protocol's own end mark: nothing more is due."""
        self._release()
        self.terminated = True
        self._counts_stand()

    def _report(self, usage: Usage, *, final: bool = False) -> None:
        """Take a report; it is the whole answer's if it says so, or once the answer has finished."""
        tier = usage.service_tier or self._served.tier
        later = replace(
            usage,
            fell=usage.falls_below(self._usage),
            complete=final or self.finish is not None,
            service_tier=tier,
        )
        # What was whole before need not be so any more: text may have come since.
        self._usage = replace(self._usage.merged(later), complete=later.complete)
        self._counted_all = True
        self._out.append(UsageReported(self._usage))

    def _counts_stand(self) -> None:
        if self._counted_all and not self._usage.complete:
            self._usage = replace(self._usage, complete=True)
            self._out.append(UsageReported(self._usage))

    def _serves(self, model: object = None, tier: object = None, region: object = None) -> None:
        known = self._served
        if (
            (isinstance(model, str) and model and model[:_MAX_NAME] != known.model)
            or (isinstance(tier, str) and tier and tier[:64] != known.tier)
            or (isinstance(region, str) and region and region[:64] != known.region)
        ):
            self._served = Served(
                model[:_MAX_NAME] if isinstance(model, str) and model else known.model,
                tier[:64] if isinstance(tier, str) and tier else known.tier,
                region[:64] if isinstance(region, str) and region else known.region,
            )
            self._out.append(self._served)

    def _over(self) -> bool:
        return self._failed or self.terminated

    def _fail(self, failed: Failed) -> None:
        self._failed = True
        self._out.append(failed)

    def _reported_error(self, error: object, status: int | None = None) -> None:
        # Errors are rare, and their classifier's patterns cost a cold start a millisecond.
        from weir.providers.failures import classify

        self._fail(classify(error, status=status))

    def _unreadable(self, message: str) -> None:
        self._fail(Failed(message, kind="unreadable", retryable="unknown"))


class EventStreamOfJSON(AnswerDecoder):
    """An SSE body whose events are JSON objects, at any chunking; a protocol reads the objects in `_object`."""

    _PINGS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__()
        self._sse = SSEDecoder(max_event_bytes=max_event_bytes)
        self._max_event_bytes = max_event_bytes
        self._head = b""  # what came before the first byte that tells what the body is
        self._body: bytearray | None = None  # of a body that is JSON or HTML
        self._is_stream: bool | None = None

    @property
    def replaced(self) -> int:
        """How many events held invalid UTF-8 or half a surrogate pair."""
        return self._halves + self._sse.replaced

    def _object(self, event: str, document: dict[str, Any]) -> None:
        """Read one event's object."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[ProviderEvent]:
        """Take the next bytes of the body; return what they say, in order."""
        out: list[ProviderEvent] = []
        self._out = out
        if self._over():
            return out
        if self._is_stream is None and not self._recognise(data):
            return out
        if self._body is not None:
            self._collect(data)
            return out
        if self._head:
            data, self._head = self._head + data, b""
        for sse in self._sse.feed(data):
            self._event(sse.event, sse.data)
            if self._over():
                return out
        self._read_strays()
        if self._sse.error and not self._over():
            self._unreadable(self._sse.error)
        return out

    def close(self) -> list[ProviderEvent]:
        """End the body; return what its end says."""
        out: list[ProviderEvent] = []
        self._out = out
        if self._over():
            return out
        if self._body is not None:
            self._read_body()
        elif self._is_stream:
            # The last event of a body that just ends: the rules discard it, but the server meant it.
            for sse in self._sse.feed(b"\n\n") if self._sse.close() else ():
                self._event(sse.event, sse.data, whole=False)
            self._read_strays(whole=False)
        if not self._over():
            self._release()
        return out

    def _recognise(self, data: bytes) -> bool:
        """Tell an event stream from a body of JSON or HTML by its first byte; False while there is none."""
        head = (self._head + data).lstrip(b"\xef\xbb\xbf \t\r\n")
        if not head:
            self._head = (self._head + data)[-1024:]
            return False
        self._is_stream = head[:1] not in (b"{", b"[", b"<")
        if not self._is_stream:
            self._body = bytearray()
        return True

    def _collect(self, data: bytes) -> None:
        assert self._body is not None
        self._body += data
        if len(self._body) > self._max_event_bytes:
            self._unreadable(
                f"body: expected server-sent events, got over {self._max_event_bytes} bytes of something else"
            )
        elif len(self._body) <= _EAGER_BYTES and data.rstrip()[-1:] in (b"}", b"]"):
            # An error is told when it is whole: some servers leave the connection open behind it.
            document = _json(bytes(self._body))
            if document is not None and _error_in(document):
                self._reported_error(document)

    def _read_body(self) -> None:
        assert self._body is not None
        body = bytes(self._body)
        if body.lstrip()[:1] == b"<":
            self._reported_error(body.decode("utf-8", "replace"))
            return
        document = _json(body)
        lines = (
            [document]
            if document is not None
            else [_json(line) for line in body.splitlines() if line.strip()]
        )
        for line in lines:
            for item in line if isinstance(line, list) else [line]:
                if not isinstance(item, dict):
                    self._unreadable(
                        f"body: expected server-sent events, got {len(body)} bytes that are no JSON object"
                    )
                elif _error_in(item):
                    self._reported_error(item)
                else:
                    self._object("message", item)
                if self._over():
                    return

    def _read_strays(self, *, whole: bool = True) -> None:
        for line in self._sse.strays:
            if not self._over():
                self._event("message", line.decode("utf-8", "replace"), whole=whole)
        self._sse.strays.clear()

    def _event(self, event: str, data: str, *, whole: bool = True) -> None:
        if not data or data.isspace():
            return  # keeps the connection alive, and holds no text
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            if data.lstrip().startswith("[DONE]"):
                self._end()
            elif event not in self._PINGS and whole:
                self._unreadable(
                    f"stream chunk: expected a JSON object, got {len(data)} characters that are not JSON"
                )
            return
        if isinstance(document, dict):
            self._object(event, document)
        elif _error_in(document):
            self._reported_error(document)
        elif event not in self._PINGS:
            self._unreadable(f"stream chunk: expected a JSON object, got {type(document).__name__}")


def looks_like_error(document: Mapping[str, Any]) -> bool:
    """Whether an object that stands where a piece of an answer is due reports an error, in any of the usual shapes."""
    if document.get("error") or document.get("object") == "error" or document.get("type") == "error":
        return True
    base = document.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code") not in (0, None):
        return True
    if any(document.get(name) for name in ("choices", "candidates", "output", "content")):
        return False
    return any(document.get(name) for name in ("detail", "errors", "msg", "status_msg")) or (
        isinstance(document.get("message"), str) and bool(document["message"])
    )


def _json(data: bytes) -> object:
    """The JSON value; None where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _error_in(document: object) -> bool:
    if isinstance(document, list):
        return bool(document) and isinstance(document[0], dict) and looks_like_error(document[0])
    return isinstance(document, dict) and looks_like_error(document)
