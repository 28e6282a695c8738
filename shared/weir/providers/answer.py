"""A provider's answer in HTTP/1.1, sans IO: llhttp reads it, Node's parser, which httptools binds.

Tests hold it against h11, which makes two events of each chunk, in Python. llhttp refuses more than that: a line that
ends without CR, a field over several lines, a length beside another or beside chunks, control characters in a value,
blanks behind a chunk's size. Providers do not send these, and whoever reads the same bytes before us may understand
them differently.
https://www.rfc-editor.org/rfc/rfc9112
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from weir.providers.http1 import Fields

MAX_HEAD_BYTES = 102_400


class _Stop(Exception):
    """Tells the parser that nothing more is to be read."""


class Answer:
    """Reads the answer to a request, bytes in at any cut.

    What breaks it stops it for good, and `error` says what: no exception, so that the bytes before are not lost.
    """

    def __init__(self) -> None:
        self.status = 0  # until the head is whole
        self.reason = b""
        self.version = b""
        self.fields: Fields = []
        self.ends_with_connection = False  # as nothing else tells the end of its body
        self.ended = False
        self.kept = False  # the peer leaves the connection open, and nothing came behind the end
        self.error: str | None = None
        self._body: list[bytes] = []  # that nobody has taken
        self._other_bytes = 0  # that came since any of the body did
        self.on_body = self._body.append  # found by the parser, as are the methods at the end
        self._parser: HttpResponseParser | None = HttpResponseParser(self)  # while there is more to read

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self._parser is None:
            self.kept = False
            return
        had = len(self._body)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.kept = False
            if not self.ended:
                self.error = self.error or f"expected HTTP/1.1, got what is none: {error}"
        # A head, trailers, what stands behind a chunk's size: to the parser they may be endless.
        self._other_bytes = 0 if len(self._body) > had else self._other_bytes + len(data)
        if self._other_bytes > MAX_HEAD_BYTES and not self.ended:
            self.error = (
                self.error or f"expected a head or trailers of at most {MAX_HEAD_BYTES} bytes, got more"
            )
        if self.ended or self.error is not None:
            self._parser = None

    def take(self) -> bytes:
        """What has come of the body since it was last taken."""
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return data

    # Called by the parser, which an exception stops.

    def on_message_begin(self) -> None:
        if self.ended:
            raise _Stop

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # trailers say nothing to anybody here
            self.fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        assert self._parser is not None, "the parser calls"
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:  # the head only tells that another one comes
            self.reason = b""
            self.fields.clear()
            return
        codings = self._values(b"transfer-encoding")
        if status < 200:
            self.error = f"expected a status of an answer, got {status}"
        elif codings not in ([], [b"chunked"]):
            self.error = f"expected Transfer-Encoding chunked, once, got {codings!r:.60}"
        if self.error is not None:
            raise _Stop
        self.status, self.version = status, self._parser.get_http_version().encode()
        self.ends_with_connection = not codings and not self._values(b"content-length")
        self.kept = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.ended = self.status != 0

    def _values(self, name: bytes) -> list[bytes]:
        return [value.lower() for given, value in self.fields if given.lower() == name]
