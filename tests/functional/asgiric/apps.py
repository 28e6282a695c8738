"""ASGI applications that the tests run in a real process; each attribute is a handler."""

import asyncio
import json
import os
import time
from typing import Any

TEXT = [(b"content-type", b"text/plain; charset=utf-8")]


def start(status: int = 200, headers: Any = TEXT) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def no_lifespan(application: Any) -> Any:
    """An application that raises on lifespan, as the specification asks of those that do not support it."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await application(scope, receive, send)

    return wrapped


@no_lifespan
async def echo(scope: Any, receive: Any, send: Any) -> None:
    """One body part: the request's body."""
    body = (await receive())["body"]
    await send(start(headers=[*TEXT, (b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2")]))
    await send(part(body, more=False))


@no_lifespan
async def facts(scope: Any, receive: Any, send: Any) -> None:
    """What the application can know about its invocation."""
    context = scope["aws.context"]
    known = {
        "path": scope["path"],
        "event": scope["aws.event"],
        "state": scope["state"],
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "tenant": context.tenant_id,
        "trace": context.trace_id,
        "trace_variable": os.environ.get("_X_AMZN_TRACE_ID"),
        "function": context.function_name,
        "version": context.function_version,
        "memory": context.memory_limit_in_mb,
        "custom": context.client_context and context.client_context.custom,
        "title": context.client_context and context.client_context.client.app_title,
        "identity": context.identity.cognito_identity_id,
        "remaining_ms": context.get_remaining_time_in_millis(),
    }
    await send(start())
    await send(part(json.dumps(known).encode(), more=False))


@no_lifespan
async def gated(scope: Any, receive: Any, send: Any) -> None:
    """Sends a part each time the test's gate lets one through; the event names the gate's port and the parts."""
    wanted = json.loads((await receive())["body"])
    reader, writer = await asyncio.open_connection("127.0.0.1", wanted["gate"])
    await send(start())
    for index in range(wanted["parts"]):
        await reader.readexactly(1)
        await send(part(f"{wanted.get('name', 'part')}-{index}".encode()))
    await send(part(b"", more=False))
    writer.close()


@no_lifespan
async def ticking(scope: Any, receive: Any, send: Any) -> None:
    """Five parts, 100 ms apart."""
    await send(start())
    for index in range(5):
        await send(part(b"tick %d" % index))
        await asyncio.sleep(0.1)
    await send(part(b"", more=False))


@no_lifespan
async def raises_before(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("no such thing")


@no_lifespan
async def raises_after(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(part(b"half"))
    raise ValueError("broke in the middle:\r\nX-Forged: yes")


@no_lifespan
async def returns_before(scope: Any, receive: Any, send: Any) -> None:
    await receive()


@no_lifespan
async def returns_after(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(part(b"half"))


@no_lifespan
async def out_of_order(scope: Any, receive: Any, send: Any) -> None:
    await send(part(b"body first"))


@no_lifespan
async def patient(scope: Any, receive: Any, send: Any) -> None:
    """Streams until it is cancelled, then says why."""
    await send(start())
    try:
        while True:
            await send(part(b"."))
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        await send(part(f"cancelled by {scope['aws.context'].cancelled_by}".encode(), more=False))
        raise


@no_lifespan
async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Is cancelled before it has begun to answer."""
    await asyncio.sleep(60)


@no_lifespan
async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Begins to answer and ignores every cancellation."""
    await send(start())
    await send(part(b"half"))
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("ignored a cancellation")


@no_lifespan
async def greedy(scope: Any, receive: Any, send: Any) -> None:
    """Sends without ever waiting by itself."""
    await send(start())
    while True:
        await send(part(b"x" * 100))


@no_lifespan
async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Sends 64 MiB and prints how far it is."""
    await send(start())
    for index in range(256):
        await send(part(b"x" * 262_144))
        print(json.dumps({"sent_parts": index + 1}))
    await send(part(b"", more=False))


@no_lifespan
async def survivor(scope: Any, receive: Any, send: Any) -> None:
    """Streams until nobody takes the response any more, and prints what it saw."""
    await send(start())
    await receive()
    watcher = asyncio.create_task(receive())
    try:
        while True:
            await send(part(b"more"))
            await asyncio.sleep(0.01)
    except OSError as error:
        print(json.dumps({"saw": type(error).__name__, "then": (await watcher)["type"]}))


@no_lifespan
async def background(scope: Any, receive: Any, send: Any) -> None:
    """Works on after its response."""
    wanted = json.loads((await receive())["body"])
    await send(start())
    await send(part(b"done", more=False))
    try:
        await asyncio.sleep(wanted["work_s"])
        print(json.dumps({"background": "finished"}))
    except asyncio.CancelledError:
        print(json.dumps({"background": f"cancelled by {scope['aws.context'].cancelled_by}"}))
        raise


@no_lifespan
async def gzipped(scope: Any, receive: Any, send: Any) -> None:
    """A compressed body, which is not text."""
    await send(start(headers=[*TEXT, (b"content-encoding", b"gzip")]))
    await send(part(b"\x1f\x8b\x08\x00binary", more=False))


@no_lifespan
async def huge(scope: Any, receive: Any, send: Any) -> None:
    """As many bytes as the request's body asks for, in parts of 256 KiB."""
    left = json.loads((await receive())["body"])["bytes"]
    await send(start())
    while left > 0:
        await send(part(b"x" * min(left, 262_144)))
        left -= 262_144
    await send(part(b"", more=False))


@no_lifespan
async def in_one_part(scope: Any, receive: Any, send: Any) -> None:
    """64 MB in one part that is also the last; what happens to it is printed, and the end is asked for again."""
    await send(start())
    print(json.dumps({"sending": "begins"}))
    try:
        await send(part(b"x" * 64_000_000, more=False))
    except asyncio.CancelledError:
        for last_words in (b"cancelled", b""):
            try:
                await send(part(last_words, more=False))
            except OSError as error:
                print(json.dumps({"last_words": str(error)}))


@no_lifespan
async def leaves(scope: Any, receive: Any, send: Any) -> None:
    """Ends the process in the middle of an answer."""
    await send(start())
    os._exit(3)


@no_lifespan
async def sleeper(scope: Any, receive: Any, send: Any) -> None:
    """Blocks the whole process, which no runtime can interrupt."""
    time.sleep(60)


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Takes its time to start, keeps a state, and says that it was shut down."""
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await asyncio.sleep(0.2)
        scope["state"]["opened"] = "at start"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        print(json.dumps({"lifespan": "shut down"}))
        await send({"type": "lifespan.shutdown.complete"})
        return
    await facts(scope, receive, send)


async def failing_lifespan(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the model store is not there"})


not_callable = "an attribute"


def classic(event: Any, context: Any) -> Any:
    """What the managed runtime calls."""


class Mangum:
    """What makes such a handler of an application."""

    def __call__(self, event: Any, context: Any) -> Any: ...


mangum = Mangum()


def asgi_2(scope: Any) -> Any:
    """The version of ASGI before this one."""


def sync(*arguments: Any) -> str:
    """Takes everything and gives nothing to await."""
    return "no coroutine"


async def sabotaged(scope: Any, receive: Any, send: Any) -> None:
    """Breaks the runtime itself, for invocations whose client context says so."""
    if scope["type"] == "lifespan":
        from asgiric import context

        read = context._object

        def broken(header: str | None) -> Any:
            if header == "sabotage":
                raise RuntimeError(header)
            return read(header)

        context._object = broken
    await gated(scope, receive, send)


if "--uvloop" in os.environ.get("APP_OPTIONS", ""):
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

if "--snapshot-hooks" in os.environ.get("APP_OPTIONS", ""):
    import snapshot_restore_py

    def _say(text: str) -> None:
        print(json.dumps({"hook": text}))
        if text in os.environ["APP_OPTIONS"]:
            raise OSError(f"{text} failed")

    snapshot_restore_py.register_before_snapshot(_say, "before-1")
    snapshot_restore_py.register_before_snapshot(_say, "before-2")
    snapshot_restore_py.register_after_restore(_say, "after-1")
    snapshot_restore_py.register_after_restore(_say, "after-2")
