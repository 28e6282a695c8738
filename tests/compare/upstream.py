"""The one provider of all variants: a process that sends each token in a write of its own, by an absolute schedule.

`python -m tests.compare.upstream [worst]` prints its port. The laptop's simulator plays faults and six protocols; this one
does nothing but keep its pace for some hundred streams at once, at about 10 us a token: one thread, one heap of what is
due next. It answers `POST .../chat/completions` by the model's name, and `GET /stats` with what it has sent of each.
"""

import heapq
import json
import select
import socket
import sys
import time

from tests.compare.documents import TTFT_MS, Document, documents, worst_documents

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Stats:
    """What was asked and sent, by model; how late a token ever was."""

    def __init__(self) -> None:
        self.requests: dict[str, int] = {}
        self.tokens: dict[str, float] = {}
        self.hung_up = 0
        self.late_ms = 0.0

    def take(self, streaming: int) -> dict[str, object]:
        """All of it as JSON has it; the lateness is that since the last look."""
        seen: dict[str, object] = {
            "requests": self.requests, "tokens": self.tokens, "hung_up": self.hung_up, "late_ms": self.late_ms,
            "streaming": streaming,
        }  # fmt: skip
        self.late_ms = 0.0
        return seen


class Connection:
    """One caller: bytes in until a request is whole, then one answer by the clock."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.pending = b""  # what the socket did not take
        self.document: Document | None = None
        self.model = ""
        self.streams = self.wants_usage = False
        self.begun_ns = 0
        self.at = 0  # the next piece

    def due_ns(self) -> int:
        """When the next token is to be sent; all of a buffered answer with its last."""
        assert self.document is not None
        at = self.at if self.streams else len(self.document.pieces)
        return self.begun_ns + int(TTFT_MS * 1e6 + at * 1e9 / self.document.tokens_per_s)


class Upstream:
    """The server; `run` never returns."""

    def __init__(self, played: dict[str, Document]) -> None:
        self._documents = played
        self._stats = Stats()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._server.setblocking(False)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Connection]] = []
        self._poll = select.epoll()
        self._poll.register(self._server, select.EPOLLIN)
        self._streaming = 0

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self._server.getsockname()[1])

    def run(self) -> None:
        """Serve until killed."""
        while True:
            wait_s = (self._due[0][0] - time.monotonic_ns()) / 1e9 if self._due else 1.0
            for number, event in self._poll.poll(max(0.0, wait_s)):
                if number == self._server.fileno():
                    self._accept()
                elif connection := self._connections.get(number):
                    if event & select.EPOLLOUT:
                        self._flush(connection)
                    if event & ~select.EPOLLOUT:
                        self._read(connection)
            now_ns = time.monotonic_ns()
            while self._due and self._due[0][0] <= now_ns:
                due_ns, _, connection = heapq.heappop(self._due)
                self._stats.late_ms = max(self._stats.late_ms, (now_ns - due_ns) / 1e6)
                if connection.document is not None:
                    self._play(connection)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = Connection(sock)
            self._poll.register(sock, select.EPOLLIN)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.received += data
        if connection.document is None:
            self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        received = connection.received
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = bytes(received[:end]).lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(received) < end + 4 + length:
            return
        body = bytes(received[end + 4 : end + 4 + length])
        del received[: end + 4 + length]
        if lines[0].startswith(b"get /stats"):
            self._answer(connection, b"200 OK", json.dumps(self._stats.take(self._streaming)).encode())
            return
        if not lines[0].startswith(b"post"):
            self._answer(connection, b"200 OK", b'{"object":"list","data":[]}')
            return
        asked = json.loads(body)
        document = self._documents.get(asked["model"])
        if document is None:
            self._answer(connection, b"404 Not Found", b'{"error":{"message":"no such model"}}')
            return
        connection.model, connection.document, connection.at = asked["model"], document, 0
        connection.streams = bool(asked.get("stream"))
        connection.wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        connection.begun_ns = time.monotonic_ns()
        requests = self._stats.requests
        requests[connection.model] = requests.get(connection.model, 0) + 1
        self._streaming += 1
        self._schedule(connection)

    def _schedule(self, connection: Connection) -> None:
        heapq.heappush(self._due, (connection.due_ns(), id(connection), connection))

    def _play(self, connection: Connection) -> None:
        document = connection.document
        assert document is not None
        if connection.pending:  # its reader is slow: `_flush` goes on
            return
        if not connection.streams:
            self._count(connection, document.tokens)
            self._finish(connection)
            self._answer(connection, b"200 OK", document.whole)
            return
        if connection.at == 0 and not self._send(connection, _HEAD + document.before):
            return
        if not self._send(connection, document.pieces[connection.at]):
            return
        connection.at += 1
        self._count(connection, document.tokens / len(document.pieces))
        if connection.at < len(document.pieces):
            if not connection.pending:
                self._schedule(connection)
            return
        self._finish(connection)
        usage = document.usage if connection.wants_usage else b""
        self._send(connection, document.finish + usage + document.end)

    def _count(self, connection: Connection, tokens: float) -> None:
        self._stats.tokens[connection.model] = self._stats.tokens.get(connection.model, 0.0) + tokens

    def _finish(self, connection: Connection) -> None:
        connection.document = None
        self._streaming -= 1

    def _answer(self, connection: Connection, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._send(connection, head % (status, len(body)) + body)

    def _send(self, connection: Connection, data: bytes) -> bool:
        """Whether the connection still stands; what it does not take now waits in `pending`."""
        if connection.pending:
            connection.pending += data
            return True
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return False
        if sent < len(data):
            connection.pending = data[sent:]
            self._poll.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)
        return True

    def _flush(self, connection: Connection) -> None:
        data, connection.pending = connection.pending, b""
        if self._send(connection, data) and not connection.pending:
            self._poll.modify(connection.sock, select.EPOLLIN)
            if connection.document is not None and connection.streams:
                self._schedule(connection)

    def _drop(self, connection: Connection) -> None:
        if connection.document is not None:
            self._stats.hung_up += 1
            self._finish(connection)
        self._connections.pop(connection.sock.fileno(), None)
        connection.sock.close()


def main() -> None:
    """Say where, and serve."""
    upstream = Upstream(documents() | (worst_documents() if "worst" in sys.argv else {}))
    print(upstream.port, flush=True)
    upstream.run()


if __name__ == "__main__":
    sys.exit(main())
