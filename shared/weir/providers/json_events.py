"""The framing of most protocols: server-sent events whose data are JSON objects.

Some servers end with `[DONE]`, with blanks around it or not; some keep the connection alive with empty data; some
write an error in the middle of the stream as a bare line of JSON; some leave out the blank line behind the last event.
"""

import json
from json.scanner import make_scanner

from weir.providers.decoder import MAX_EVENT_BYTES, AnswerDecoder, looks_like_error
from weir.providers.sse import SSEDecoder

# Proxies write what failed in words where an event is due; anything else might be the model's text.
_WORDS_OF_ERRORS = frozenset({"error", "exception", "failed", "failure", "timeout"})
_scan = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]  # typeshed has its own result here
_PINGS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})


class JSONEventsDecoder(AnswerDecoder):
    """An answer in server-sent events, at any chunking; a protocol's reader takes the objects."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._sse = SSEDecoder(max_event_bytes=max_event_bytes)
        self._dispatched = False
        self._first = b""  # of a body that has not shown an event yet

    @property
    def replaced(self) -> int:
        """How many events held invalid UTF-8 or half a surrogate pair."""
        return self._halves + self._sse.replaced

    def _frames(self, data: bytes) -> None:
        if not self._dispatched:
            self._first = (self._first + data)[:512]
        for sse in self._sse.feed(data):
            self._dispatched = True
            self._event(sse.event, sse.data)
            if self._over():
                return
        self._read_strays()
        if self._sse.error and not self._over():
            self._unreadable(self._sse.error)

    def _tail(self) -> None:
        # The rules discard an event that no blank line ends, but a server that stops there meant it.
        for sse in self._sse.feed(b"\n\n") if self._sse.close() else ():
            self._dispatched = True
            self._event(sse.event, sse.data, whole=False)
        self._read_strays()
        if not self._dispatched and not self._over() and (first := self._first.strip()):
            if not first.startswith((b":", b"data", b"event", b"id", b"retry")):
                self._reported_error(first.decode("utf-8", "replace"))

    def _read_strays(self) -> None:
        for line in self._sse.strays:
            if not self._over():
                self._event("message", line.decode("utf-8", "replace"), whole=False)
        self._sse.strays.clear()

    def _event(self, event: str, data: str, *, whole: bool = True) -> None:
        if data == "[DONE]":
            self._end()  # the usual mark: parsed first, it would be an exception, with its place looked up
            return
        try:
            document = _parsed(data)
        except (ValueError, RecursionError):
            self._no_json(event, data, whole=whole)
            return
        if isinstance(document, dict):
            self._object(event, document)
        elif isinstance(document, list) and document and isinstance(document[0], dict):
            if looks_like_error(document[0]):
                self._reported_error(document)
            else:
                self._unreadable("stream chunk: expected a JSON object, got a list of them")
        elif document and isinstance(document, str | list) and event not in _PINGS:
            self._unreadable(f"stream chunk: expected a JSON object, got {type(document).__name__}")
        # null, true, a number and what is empty hold no text

    def _no_json(self, event: str, data: str, *, whole: bool) -> None:
        said = data.strip()
        if said[:6].upper() == "[DONE]":
            self._end()
        elif not said or event in _PINGS or said.strip("[]: ").lower() in _PINGS:
            pass  # keeps the connection alive
        elif (inner := said.removeprefix("data:").lstrip()) != said and not inner.startswith("data:"):
            self._event(event, inner, whole=whole)  # framed twice
        elif "\n" in said:
            # Lines of data make one event, but some servers leave out the blank line between two.
            for line in said.split("\n"):
                if not self._over():
                    self._event(event, line, whole=whole)
        elif event == "error" or _WORDS_OF_ERRORS & {
            word.strip(":.,") for word in said[:64].lower().split()[:2]
        }:
            self._reported_error(said)
        elif whole:
            self._unreadable(
                f"stream chunk: expected a JSON object, got {len(data)} characters that are not JSON"
            )


def _parsed(data: str) -> object:
    """What json.loads gives; where a value alone is what came, its layers and their patterns are passed by."""
    try:
        document, end = _scan(data, 0)
    except StopIteration:
        end = -1
    return document if end == len(data) else json.loads(data)
