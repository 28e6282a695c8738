"""Cold start: what a first request waits for, from the start of the process, against the usual stacks.

INIT is what Lambda bills before the first request: process start to the first GET /next. The cold path goes on
until the provider holds the first whole request, so that work which was only moved out of INIT still counts.
Memory is the kernel's high-water mark (VmHWM) after one request. Every process is new; variants take turns, so
that what else the machine does falls on all of them.
"""

import asyncio
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import boto3

from infra.local.simulator.event_stream import encode_message
from tests.bench.artifacts import Artifacts, built, interpreter, sources
from tests.bench.certificates import Certificates, make_certificates
from tests.bench.ends import TIMEOUT_S, Ends, Invocation
from tests.bench.script import REQUEST, blog_post, deltas, sse_events
from tests.bench.tables import Bound, Table, spread

RUNS = 12
# Without bytecode a start takes seconds and nobody is held to it.
RUNS_WITHOUT_BYTECODE = 4
EMPTY = "awslambdaric, empty handler"
PEER, OURS = "awslambdaric, Mangum, FastAPI, httpx", "ours"
BEDROCK, BOTO3 = "ours, Bedrock Converse by the role", "awslambdaric, boto3's bedrock-runtime client"
BEDROCK_BOUND_MS = 10.0
# What boto3 takes for the client alone: it asks nobody.
BOTO3_APP = """import boto3
client = boto3.client("bedrock-runtime", region_name="us-east-1")
def handler(event, context):
    return {}
"""
COLD_PATH_BOUND, INIT_BOUND = 0.35, 3.5
PEAK_MB_BOUND = 64.0


@dataclass(frozen=True, slots=True)
class Variant:
    """How one process is started; `http_port` where it is a server rather than a client of the Runtime API."""

    name: str
    command: list[str]
    path: list[Path]
    task: Path
    http_port: int | None = None
    calls_provider: bool = True
    bedrock: bool = False


@dataclass
class Measured:
    """Figures of one variant, one per run."""

    init_ms: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    first_byte_ms: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)


def run() -> list[Table]:
    """All variants from sources without and with bytecode, and from what was built."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = Path(name)
        kinds = [
            (sources(folder / "sources", bytecode=False), RUNS_WITHOUT_BYTECODE),
            (sources(folder / "compiled", bytecode=True), RUNS),
        ]
        missing: list[Table] = []
        made = built(folder / "built")
        if isinstance(made, Artifacts):
            kinds.append((made, RUNS))
        else:
            missing.append(Table("Cold start, built artifacts", (), (), notes=(f"Not measured: {made}.",)))
        python, certificates = interpreter(folder / "python"), make_certificates(folder)
        decides = kinds[-1][0]
        return [
            asyncio.run(_measure(kind, runs, python, certificates, kind is decides)) for kind, runs in kinds
        ] + missing


async def _measure(
    kind: Artifacts, runs: int, python: str, certificates: Certificates, decides: bool
) -> Table:
    ends, secure_ends = Ends(), Ends()
    stream = b"".join(sse_events(deltas(blog_post())))
    servers = await ends.listen(stream, bedrock_stream=_bedrock_stream())
    servers += await secure_ends.listen(stream, certificates.server)
    plain = {variant.name: Measured() for variant in _variants(kind, python)}
    secure = {name: Measured() for name in (PEER, OURS)}
    try:
        for number in range(runs + 1):
            for variant in _variants(kind, python):
                figures = await _start(variant, ends, certificates)
                # The first round fills the page cache.
                if number:
                    _note(plain[variant.name], figures)
                if variant.name in secure:
                    figures = await _start(variant, secure_ends, certificates)
                    if number:
                        _note(secure[variant.name], figures)
    finally:
        for server in servers:
            server.close()
    rows = [_row(name, "http", measured) for name, measured in plain.items()]
    rows += [_row(name, "https", measured) for name, measured in secure.items()]
    notes = [f"{runs} runs of each in turn, minimum (median)."]
    for scheme, measured in (("http", plain), ("https", secure)):
        ratios = f"{_ratio(measured, min):.2f} ({_ratio(measured, median):.2f})"
        cpu = min(measured[OURS].cpu_ms) / min(measured[PEER].cpu_ms)
        notes.append(f"Cold path, ours / peer, {scheme}: {ratios}; of its CPU: {cpu:.2f}.")
    init = [of(plain[OURS].init_ms) / of(plain[EMPTY].init_ms) for of in (min, median)]
    notes.append(f"INIT, ours / {EMPTY}: {init[0]:.2f} ({init[1]:.2f}).")
    return Table(
        f"Cold start, {kind.name}",
        ("variant", "provider", "INIT ms", "cold path ms", "its CPU ms", "first byte ms", "peak MB"),
        rows,
        list(_bounds(plain, secure)) if decides else [],
        notes,
    )


def _row(name: str, scheme: str, measured: Measured) -> tuple[str, ...]:
    return (
        name,
        scheme if measured.cold_ms else "none",
        spread(measured.init_ms),
        spread(measured.cold_ms),
        spread(measured.cpu_ms),
        spread(measured.first_byte_ms),
        spread(measured.peak_mb, 1),
    )


def _ratio(measured: dict[str, Measured], of: Callable[[list[float]], float]) -> float:
    return of(measured[OURS].cold_ms) / of(measured[PEER].cold_ms)


def _bounds(plain: dict[str, Measured], secure: dict[str, Measured]) -> Iterator[Bound]:
    yield Bound("cold path, ours / peer", _ratio(plain, min), COLD_PATH_BOUND)
    yield Bound("cold path over TLS, ours / peer", _ratio(secure, min), COLD_PATH_BOUND)
    yield Bound(f"INIT, ours / {EMPTY}", min(plain[OURS].init_ms) / min(plain[EMPTY].init_ms), INIT_BOUND)
    extra_ms = min(plain[BEDROCK].cold_ms) - min(plain[OURS].cold_ms)
    yield Bound("cold path with Bedrock Converse, above Chat Completions", extra_ms, BEDROCK_BOUND_MS, "ms")
    yield Bound("peak memory at one request", median(plain[OURS].peak_mb), PEAK_MB_BOUND, "MB")
    yield Bound("peak memory at one request, TLS", median(secure[OURS].peak_mb), PEAK_MB_BOUND, "MB")


def _variants(kind: Artifacts, python: str) -> list[Variant]:
    port = _free_port()
    uvicorn = ["-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "error", "--lifespan", "off"]
    return [
        Variant(
            EMPTY,
            [python, "-m", "awslambdaric", "app.handler"],
            [kind.empty, kind.runtime],
            kind.empty,
            calls_provider=False,
        ),
        Variant(
            PEER,
            [python, "-m", "awslambdaric", "app.handler"],
            [kind.peer, kind.layer, kind.runtime],
            kind.peer,
        ),
        Variant(
            "uvicorn, FastAPI, httpx",
            [python, *uvicorn],
            [kind.peer, kind.layer, kind.server],
            kind.peer,
            http_port=port,
        ),
        # As Lambda starts it: bootstrap gets the interpreter and the managed runtime's script.
        Variant(
            OURS, [str(kind.generate / "bootstrap"), python, "bootstrap.py"], [kind.layer], kind.generate
        ),
        Variant(
            BEDROCK,
            [str(kind.generate / "bootstrap"), python, "bootstrap.py"],
            [kind.layer],
            kind.generate,
            bedrock=True,
        ),
        Variant(
            BOTO3,
            [python, "-m", "awslambdaric", "app.handler"],
            [_boto3_app(kind), kind.runtime, Path(boto3.__file__).parents[1]],
            _boto3_app(kind),
            calls_provider=False,
        ),
    ]


def _boto3_app(kind: Artifacts) -> Path:
    folder = kind.empty.with_name("boto3-client")
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(BOTO3_APP)
    return folder


def _bedrock_stream() -> bytes:
    """The same document as ConverseStream has it."""

    def message(kind: str, members: dict[str, Any]) -> bytes:
        headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        return encode_message(headers, json.dumps(members).encode())

    texts = [
        message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
        for text in deltas(blog_post())
    ]
    usage = {"usage": {"inputTokens": 12, "outputTokens": len(texts), "totalTokens": 12 + len(texts)}}
    end = message("messageStop", {"stopReason": "end_turn"}) + message("metadata", usage)
    return b"".join(texts) + end


async def _start(variant: Variant, ends: Ends, certificates: Certificates) -> tuple[Invocation, float, float]:
    """Run one process through its first request; the invocation, when it began and its peak memory in MB."""
    invocation = ends.begin()
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(map(str, variant.path)),
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
        # Ours as the build lays them out: bootstrap names the directory where nobody names another.
        **(
            {"SSL_CERT_DIR": str(certificates.directory)}
            if variant.name in (OURS, BEDROCK)
            else {"SSL_CERT_FILE": str(certificates.trusted)}
        ),
        "_HANDLER": "app.app",
        "LAMBDA_TASK_ROOT": str(variant.task),
        "AWS_LAMBDA_RUNTIME_API": ends.runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_REGION": "us-east-1",
        "POWERTOOLS_METRICS_NAMESPACE": "Weir",
        "WEIR_UPSTREAM_BASE_URL": ends.provider,
        "WEIR_UPSTREAM_MODEL": "test-model",
    }
    if variant.bedrock:
        environment |= {
            "WEIR_UPSTREAM_BASE_URL": ends.provider.removesuffix("/v1"),
            "WEIR_UPSTREAM_PROVIDER": "bedrock",
            "WEIR_UPSTREAM_KEY": "role",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
        }
    with tempfile.TemporaryFile() as output:
        began_s = time.monotonic()
        process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's own would add its work to the time
            variant.command, cwd=variant.task, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        invocation.pid = process.pid
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if variant.http_port is None:
                    await invocation.idle.wait()
                else:
                    await _call(variant.http_port, invocation)
            peak_mb = _peak_mb(process.pid)
        except TimeoutError:
            output.seek(0)
            raise RuntimeError(
                f"{variant.name}: no answer in {TIMEOUT_S} s; it printed {output.read()!r}"
            ) from None
        finally:
            process.kill()
            process.wait()
        if variant.calls_provider and (
            b"https://example.org" not in invocation.response or invocation.at_provider_s is None
        ):
            output.seek(0)
            raise RuntimeError(
                f"{variant.name}: expected the document, got {bytes(invocation.response)!r}; "
                f"it printed {output.read()!r}"
            )
    return invocation, began_s, peak_mb


def _note(measured: Measured, figures: tuple[Invocation, float, float]) -> None:
    invocation, began_s, peak_mb = figures
    for values, instant_s in (
        (measured.init_ms, invocation.first_poll_s),
        (measured.cold_ms, invocation.at_provider_s),
        (measured.first_byte_ms, invocation.first_byte_s if invocation.at_provider_s else None),
    ):
        if instant_s is not None:
            values.append((instant_s - began_s) * 1e3)
    if invocation.cpu_s is not None:
        measured.cpu_ms.append(invocation.cpu_s * 1e3)
    measured.peak_mb.append(peak_mb)


async def _call(port: int, invocation: Invocation) -> None:
    """Wait until a server listens, which is when a proxy before it would poll, and ask it as that proxy would."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.002)
    invocation.first_poll_s = time.monotonic()
    body = json.dumps(REQUEST).encode()
    writer.write(
        b"POST /v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    while data := await reader.read(65_536):
        if invocation.first_byte_s is None:
            invocation.first_byte_s = time.monotonic()
        invocation.response += data
    writer.close()


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
