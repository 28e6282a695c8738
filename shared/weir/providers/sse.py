"""Server-sent events, both ways: an incremental decoder by the WHATWG's rules, and an encoder.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

Lines are cut on bytes, never on decoded text: LF and CR cannot occur inside a UTF-8 sequence, so a chunk
boundary may fall anywhere. A line split over many chunks is joined once, when its end arrives, and a chunk is
never searched twice: the decoder is linear in its input, whatever the chunking.
"""

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One dispatched event: its type, its data (lines joined by LF) and the last event id seen so far."""

    event: str
    data: str
    id: str = ""


class SSEDecoder:
    """Turns the bytes of an event stream into events, at any chunking.

    `max_event_bytes` bounds one event, from the end of the one before it, comments included: what memory an
    endless line can take. Over it the decoder stops for good, and `error` says why: an attribute and no exception,
    so that the events before it are not lost. `replaced` counts events in which invalid UTF-8 became U+FFFD.
    `strays` holds lines that are no field of an event but begin like JSON: the rules ignore them, and servers that
    fail in the middle of a stream write their error so.
    """

    def __init__(self, *, max_event_bytes: int = 1_048_576) -> None:
        self.max_event_bytes = max_event_bytes
        self.replaced = 0
        self.error: str | None = None
        self.strays: list[bytes] = []
        self._rest: list[bytes] = []  # pieces of the line that has not ended yet
        self._event_bytes = 0
        self._data: list[bytes] = []
        self._type = b""
        self._last_id = ""
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes; return the events that they complete, in order."""
        if self._after_cr and data:
            self._after_cr = False
            # CRLF is one line end, also when the chunk boundary falls between its two bytes.
            if data[0] == 0x0A:
                data = data[1:]
        events: list[ServerSentEvent] = []
        if not data or self.error:
            return events
        lines = data.splitlines()  # bytes.splitlines cuts at LF, CR and CRLF, and nowhere else
        unfinished = b"" if data[-1] in b"\r\n" else lines.pop()
        self._after_cr = data[-1] == 0x0D
        for line in lines:
            if not self._fits(len(line) + 1):
                return events
            if self._rest:
                self._rest.append(line)
                line = b"".join(self._rest)
                self._rest.clear()
            if (event := self._end_line(line)) is not None:
                events.append(event)
        if unfinished and self._fits(len(unfinished)):
            self._rest.append(unfinished)
        return events

    def close(self) -> bool:
        """End the stream; return whether it broke off inside an event (which the rules then discard)."""
        return bool(self._rest or self._data)

    def _fits(self, size: int) -> bool:
        self._event_bytes += size
        if self._event_bytes > self.max_event_bytes:
            self.error = (
                f"server-sent event: expected at most {self.max_event_bytes} bytes, got more before its end"
            )
            return False
        return True

    def _end_line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value
        elif name == b"id" and b"\0" not in value:
            self._last_id = value.decode("utf-8", "replace")
        elif line[:1] in (b"{", b"["):
            self.strays.append(line)
        # "retry" is for clients that reconnect, an empty name is a comment; others are ignored by the rules.
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, kind = self._data, self._type
        self._data, self._type, self._event_bytes = [], b"", 0
        if not data:
            return None
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        try:
            text = joined.decode("utf-8")
        except UnicodeDecodeError:
            text = joined.decode("utf-8", "replace")
            self.replaced += 1
        return ServerSentEvent(kind.decode("utf-8", "replace") or "message", text, self._last_id)


def encode_event(event: str, data: bytes) -> bytes:
    """One event as bytes; `data` is JSON, which holds no raw line end, so one data line carries it."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


HEARTBEAT = b": heartbeat\n\n"
"""A comment: keeps a connection alive that idles while the model thinks."""
