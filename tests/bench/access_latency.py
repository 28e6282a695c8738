"""What it costs to know a caller and to hold them to limits, and how far validated text is behind.

The same process with and without an access table that answers in 5 ms, in turn: the time from an invocation to its
first token, warm, and the cold path, from the start of the process until the provider holds the request: with a whole
processor, and with the share that Lambda gives after INIT to generate's usual memory. The caller comes with an own key;
requests, tokens, concurrency and both budgets are limited, so that each request sets money aside.

Validated release is compared with raw text by what is held back: the characters that have come and have not left.
"""

import json
import re
import socket
import tempfile
import threading
import time
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from pydantic_streaming import StreamedValidator
from tests.bench.artifacts import interpreter, sources
from tests.bench.relay import Process
from tests.bench.script import blog_post, deltas, function_url_event, sse_events
from tests.bench.tables import Bound, Table, percentile, spread
from tests.bench.throttled import held
from tests.compare.throttle import share_of
from weir.access.admission import key_item, limits_item
from weir.access.api_keys import ID_BYTES, SECRET_BYTES, new_key
from weir.access.tenant_item import NANO, TenantLimits
from weir.generate.release import ValidatedRelease
from weir.schemas.blog_post import BlogPost

TABLE_S, _SPUN_S = 0.005, 0.0005
WARM_ROUNDS, COLD_ROUNDS = 120, 24
MEMORY_MB = 256  # the template's
TTFT_BOUND_MS, COLD_BOUND_MS = 6.0, 10.0
WITHOUT, WITH = "without a table", "identity, limits, budgets"
LIMITS = TenantLimits(
    models=frozenset({"test-model"}),
    max_output_tokens=100_000,
    requests_per_minute=1_000_000,
    tokens_per_minute=1_000_000_000,
    concurrent_requests=1_000,
    daily_budget=1_000 * NANO,
    monthly_budget=10_000 * NANO,
)


class Table5ms:
    """A stand-in of DynamoDB's table: one caller and their limits, an answer 5 ms after each request."""

    def __init__(self) -> None:
        random = bytes(range(ID_BYTES + SECRET_BYTES))
        self.key, kept = new_key(random, "acme", "bench", datetime.now(UTC))
        self._items = [key_item(kept), limits_item("acme", LIMITS)]
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.operations: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(ConnectionError):  # a process is killed while it settles
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                part = connection.recv(65_536)
                if not part:
                    return
                data += part
            head, _, data = data.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]  # clients send it
            while len(data) < length:
                data += connection.recv(65_536)
            due_s = time.perf_counter() + TABLE_S
            asked, data = json.loads(data[:length]), data[length:]
            operation = re.search(rb"(?i)x-amz-target: \w+\.(\w+)", head)[1].decode()  # type: ignore[index]
            self.operations.append(operation)
            body = json.dumps(self._answer(operation, asked)).encode()
            time.sleep(TABLE_S - _SPUN_S)
            while time.perf_counter() < due_s:
                pass  # a sleep ends when the kernel likes, later than asked for
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )

    def _answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        if operation == "BatchGetItem":
            ((name, wanted),) = asked["RequestItems"].items()
            of = {item["pk"]["S"]: item for item in self._items}
            found = [of[key["pk"]["S"]] for key in wanted["Keys"] if key["pk"]["S"] in of]
            return {"Responses": {name: found}, "UnprocessedKeys": {}}
        usage = {"month": {"N": "1"}, "minute": {"N": "1"}, "holds": {"M": {}}}
        return {"Attributes": usage} if asked.get("ReturnValues") == "ALL_NEW" else {}

    def close(self) -> None:
        """Stop listening."""
        self._server.close()


def run() -> list[Table]:
    """Both figures, and the release."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        return [_access(Path(name)), _release()]


def _access(folder: Path) -> Table:
    table = Table5ms()
    deployed, python = sources(folder, bytecode=True), interpreter(folder / "python")
    laid_out = {"PYTHONPATH": str(deployed.layer), "PYTHONDONTWRITEBYTECODE": "1"}
    variables = {
        WITHOUT: laid_out,
        WITH: {
            **laid_out,
            "WEIR_ACCESS_TABLE": "access",
            "AWS_ENDPOINT_URL_DYNAMODB": table.url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
        },
    }
    event = function_url_event()
    event["headers"]["authorization"] = f"Bearer {table.key}"
    chunks = list(sse_events(deltas(blog_post(1))[:40]))
    command = [str(deployed.generate / "bootstrap"), python, "bootstrap.py"]
    ttft_ms: dict[str, list[float]] = {name: [] for name in variables}
    shares = (1.0, share_of(MEMORY_MB))
    cold_ms: dict[tuple[str, float], list[float]] = {
        (name, share): [] for share in shares for name in variables
    }

    def start(name: str, share: float = 1.0) -> tuple[Process, float]:
        began_s = time.perf_counter()
        process = Process(command, deployed.generate, b"event: delta", b"event: ", variables=variables[name])
        with held(process.pid, share) if share < 1 else nullcontext():
            sent_s, _ = process.ends.invoke(chunks, b"event: delta", b"event: ", 0.0, event=event)
        return process, (sent_s[0] - began_s) * 1e3

    try:
        for number in range(COLD_ROUNDS + 1):
            for name, share in sorted(cold_ms, reverse=bool(number % 2)):
                process, took_ms = start(name, share)
                process.close()
                if number:
                    cold_ms[name, share].append(took_ms)
        processes = {name: start(name)[0] for name in variables}
        table.operations.clear()
        for number in range(WARM_ROUNDS + 10):
            for name in sorted(variables, reverse=bool(number % 2)):
                began_s = time.perf_counter()
                _, arrived_s = processes[name].ends.invoke(
                    chunks, b"event: delta", b"event: ", 0.0, event=event
                )
                if number >= 10:
                    ttft_ms[name].append((arrived_s[0] - began_s) * 1e3)
        calls = len(table.operations) / (WARM_ROUNDS + 10)
        for process in processes.values():
            process.close()
    finally:
        table.close()
    above = [more - less for less, more in zip(ttft_ms[WITHOUT], ttft_ms[WITH], strict=True)]
    rows = [
        (
            name,
            spread(ttft_ms[name], 1),
            f"{percentile(ttft_ms[name], 99):.1f}",
            *(spread(cold_ms[name, share], 0) for share in shares),
        )
        for name in variables
    ]
    return Table(
        "Access: a caller with an own key, every limit on, a table that answers in 5 ms",
        ("way", "first token ms", "p99 ms", "cold path ms", f"cold path at {MEMORY_MB} MB, ms"),
        rows,
        (
            Bound("first token, above without a table, median", median(above), TTFT_BOUND_MS, "ms"),
            Bound(
                "cold path, above without a table, minimum",
                min(cold_ms[WITH, 1.0]) - min(cold_ms[WITHOUT, 1.0]),
                COLD_BOUND_MS,
                "ms",
            ),
        ),
        (
            f"Minimum (median) of {WARM_ROUNDS} and {COLD_ROUNDS} rounds in turn; {calls:.1f} calls of the table a request.",
        ),
    )


def _release() -> Table:
    text = blog_post(7)
    pieces = deltas(text)
    longest = max(len(json.dumps(value, ensure_ascii=False)) for value in json.loads(text)["sections"])
    rows, bounds = [], []
    for way, whole_members in (("elements (stop, finish)", False), ("members (retry)", True)):
        validator = StreamedValidator(BlogPost)
        release = ValidatedRelease(validator, whole_members=whole_members)
        held, came = [], 0
        for piece in pieces:
            release.hold(piece)
            came += len(piece)
            for part in (piece, ""):  # as the service looks: once more when nothing else has come
                validator.feed(part)
            release.due()
            held.append(came - len(release.released))
        rows.append((way, *(round(percentile(held, share)) for share in (50, 99)), max(held)))
        value = (
            len(json.dumps(json.loads(text)["sections"], ensure_ascii=False)) if whole_members else longest
        )
        bounds.append(
            Bound(
                f"validated release, {way}, most held / its longest value, key and a delta",
                max(held) / (value + 64),
                1.0,
            )
        )
    return Table(
        f"Validated release against raw text, {len(text)} characters in pieces of 16",
        ("released by", "held chars p50", "p99", "most"),
        rows,
        bounds,
        (f"Raw holds nothing back. The longest element has {longest} characters.",),
    )
