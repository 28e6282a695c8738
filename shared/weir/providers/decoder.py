"""What the decoders of all protocols share: one answer's text, end and counts, and what a body is that is no stream.

Text after a finish reason voids it: the answer went on. Counts are merged as they come, and are a lower bound until
the answer has finished and nothing of it came after them. Half a surrogate pair is held back for the next piece of
text: servers that cut by UTF-16 units send the halves apart.

A body is judged by what it holds and not by its content type: proxies answer 200 with JSON or HTML, and some
servers label a true event stream as plain text.
"""

import json
from collections.abc import Mapping
from typing import Any

from weir.pricing.usage import Usage
from weir.providers.events import (
    Finished,
    FinishReason,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Text,
    ToolCall,
    UsageReported,
)
from weir.providers.failed import Failed

MAX_EVENT_BYTES = 1_048_576
_MAX_NAME = 200  # as long as a request may name a model: facts must fit a log line
_EAGER_BYTES = 16_384
_COMPLAINTS = ("detail", "errors", "msg", "status_msg", "error_msg", "error_message", "errorMessage", "fault")


class AnswerDecoder:
    """One answer's state, written to by a protocol's reader (`_object`) and fed by a framing (`_frames`, `_tail`).

    `events.Decoder` says what it promises. `max_event_bytes` bounds what one event may take of memory.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.terminated = False
        self.finish: Finished | None = None
        self._max_event_bytes = max_event_bytes
        self._out: list[ProviderEvent] = []
        self._failed = False
        self._pieces = 0  # of text, thoughts and calls, so far
        self._voided = False
        self._held = ""  # a high surrogate, whose low one is to come
        self._halves = 0
        self._usage = Usage()
        self._counted_all = False  # nothing of the answer came after the last report
        self._served = Served()
        self._head = b""  # blanks before the first byte, which tells what the body is
        self._is_stream: bool | None = None
        self._body = bytearray()  # of one that is no stream

    @property
    def replaced(self) -> int:
        """How many pieces of text held half a surrogate pair, which became U+FFFD."""
        return self._halves

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end; a finish reason that text contradicted once needs the end mark, too."""
        return not self._failed and self.finish is not None and (self.terminated or not self._voided)

    def feed(self, data: bytes) -> list[ProviderEvent]:
        """Take the next bytes of the body; return what they say, in order."""
        self._out = out = list[ProviderEvent]()
        if self._over():
            return out
        if self._is_stream is None:
            data = self._recognise(data)
        if self._is_stream:
            self._frames(data)
        elif self._is_stream is False:
            self._collect(data)
        return out

    def close(self) -> list[ProviderEvent]:
        """End the body; return what its end says."""
        self._out = out = list[ProviderEvent]()
        if not self._over():
            if self._is_stream:
                self._tail()
            elif self._is_stream is False:
                self._read_body()
        if not self._over():
            self._release()
        return out

    # The framing's.

    def _frames(self, data: bytes) -> None:
        raise NotImplementedError

    def _tail(self) -> None:
        """The stream has ended: say what its end says."""

    # The protocol's.

    def _object(self, event: str, document: dict[str, Any]) -> None:
        raise NotImplementedError

    # What a protocol's reader says of the answer.

    def _text(self, text: str) -> None:
        if self._held or not text.isascii():
            text = self._mended(text)
        if text:
            self._continued()
            self._out.append(Text(text))

    def _reasoning(self, text: str) -> None:
        if text:
            self._continued()
            self._out.append(Reasoning(_whole(text)))

    def _refusal(self, text: str, category: str | None = None) -> None:
        self._continued()
        self._out.append(Refusal(_whole(text), _whole(category) if category else None))

    def _tool(self, index: int, id_: object = None, name: object = None, arguments: object = "") -> None:
        self._continued()
        call_id, call_name = (
            _whole(text) if isinstance(text, str) and text else None for text in (id_, name)
        )
        if isinstance(arguments, dict):  # whole, and not as text
            arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
        self._out.append(
            ToolCall(index, call_id, call_name, _whole(arguments) if isinstance(arguments, str) else "")
        )

    def _finished(self, normal: FinishReason, raw: object) -> None:
        self._release()
        self.finish = Finished(normal, _whole(str(raw)[:64]))
        self._out.append(self.finish)
        self._counts_stand()

    def _end(self) -> None:
        """The protocol's own end mark: nothing more is due."""
        self._release()
        self.terminated = True
        self._counts_stand()

    def _report(self, usage: Usage, *, final: bool = False, instead: bool = False) -> None:
        """Take a report; it is the whole answer's if it says so, or once the answer has finished.

        `instead` is for protocols that have merged it with those before by rules of their own.
        """
        later = usage._replace(
            fell=usage.fell or (not instead and usage.falls_below(self._usage)),
            complete=final or self.finish is not None,
            service_tier=usage.service_tier or self._served.tier,
        )
        # What was whole before need not be so any more: the answer may have gone on.
        self._usage = later if instead else self._usage.merged(later)._replace(complete=later.complete)
        self._counted_all = True
        self._out.append(UsageReported(self._usage))

    def _serves(self, model: object = None, tier: object = None, region: object = None) -> None:
        known = self._served
        if (
            (not model or model == known.model)
            and (not tier or tier == known.tier)
            and (not region or region == known.region)
        ):
            return  # most chunks say what the first one said
        named = [
            _whole(name[:size]) if isinstance(name, str) and name else before
            for name, before, size in (
                (model, known.model, _MAX_NAME),
                (tier, known.tier, 64),
                (region, known.region, 64),
            )
        ]
        served = Served(*named)
        if served != known:
            self._served = served
            self._out.append(served)

    def _reported_error(self, error: object, status: int | None = None) -> None:
        # Errors are rare, and their classifier's patterns cost a cold start a millisecond.
        from weir.providers.failures import classify

        self._fail(classify(error, status=status))

    def _unreadable(self, message: str) -> None:
        self._fail(Failed(message, kind="unreadable", retryable="unknown"))

    # What follows from it.

    def _over(self) -> bool:
        return self._failed or self.terminated

    def _fail(self, failed: Failed) -> None:
        if not self._failed:
            self._failed = True
            self._out.append(failed)

    def _continued(self) -> None:
        """Something of the answer has come: what said that it had ended, or was counted, did not speak of all of it."""
        if self.finish is not None:
            self.finish, self._voided = None, True
        self._pieces += 1
        self._counted_all = False

    def _counts_stand(self) -> None:
        if self._counted_all and not self._usage.complete:
            self._usage = self._usage._replace(complete=True)
            self._out.append(UsageReported(self._usage))

    def _mended(self, text: str) -> str:
        text, self._held = self._held + text, ""
        if not _has_halves(text):
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        # Halves that meet are one character; those that stand alone are none.
        mended = _whole(text)
        self._halves += mended.count("\ufffd") > text.count("\ufffd")
        return mended

    def _release(self) -> None:
        """Give up waiting for the other half of a pair."""
        if self._held:
            self._held = ""
            self._halves += 1
            self._text("\ufffd")

    # A body that is no stream.

    def _recognise(self, data: bytes) -> bytes:
        """Tell a stream from a body of JSON or HTML by its first byte; return what there is to read of it."""
        data = self._head + data
        start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not start:
            self._head = data[-1024:]
            return b""
        self._is_stream, self._head = start not in (b"{", b"[", b"<"), b""
        return data

    def _collect(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_event_bytes:
            self._unreadable(
                f"body: expected a stream, got over {self._max_event_bytes} bytes of something else"
            )
        elif len(self._body) <= _EAGER_BYTES and data.rstrip()[-1:] in (b"}", b"]"):
            # An error is told when it is whole: some servers leave the connection open behind it.
            document = _json(bytes(self._body))
            if _error_in(document):
                self._reported_error(document)

    def _read_body(self) -> None:
        body = bytes(self._body).removeprefix(b"\xef\xbb\xbf")
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
                        f"body: expected a stream, got {len(body)} bytes that are no JSON object"
                    )
                elif _error_in(item):
                    self._reported_error(item)
                else:
                    self._object("message", item)
                if self._over():
                    return


def looks_like_error(document: Mapping[str, Any]) -> bool:
    """Whether an object that stands where a piece of an answer is due reports an error, in any of the usual shapes."""
    if document.get("error") or document.get("object") == "error" or document.get("type") == "error":
        return True
    base = document.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code") not in (0, None):
        return True
    get = document.get
    if get("choices") or get("candidates") or get("output") or get("content"):
        return False
    if document.get("status") == "error" or document.get("success") is False:
        return True
    return any(document.get(name) for name in _COMPLAINTS) or (
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


def _whole(text: str) -> str:
    """The text with the halves of surrogate pairs joined where they meet, and U+FFFD for those that stand alone."""
    if not _has_halves(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _has_halves(text: str) -> bool:
    """Whether UTF-8 cannot say the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
