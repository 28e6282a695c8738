"""Settings, context, failures and the ASGI cycle, each by itself."""

import json
from base64 import b64decode
from types import SimpleNamespace
from typing import Any

import pytest

from asgiric.asgi import Cycle, State, UnexpectedMessage
from asgiric.context import LambdaContext
from asgiric.failure import Failure
from asgiric.runtime_api import Invocation
from asgiric.settings import Settings, SettingsError

ENVIRON = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "_HANDLER": "app.app"}


def test_settings_have_these_defaults():
    assert Settings.from_environ(ENVIRON) == Settings(
        runtime_api="127.0.0.1:9001",
        handler="app.app",
        max_concurrency=1,
        deadline_margin_ms=2000,
        direct_path="/",
        buffered=False,
        snap_start=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_HANDLER", ""),
        ("AWS_LAMBDA_RUNTIME_API", ""),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "0"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "many"),
        ("ASGIRIC_DEADLINE_MARGIN_MS", "-1"),
        ("ASGIRIC_DIRECT_PATH", "generate"),
        ("ASGIRIC_RESPONSE_MODE", "fast"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(name: str, value: str):
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ({**ENVIRON, name: value})


@pytest.mark.parametrize("address", ["", "localhost", ":9001", "127.0.0.1:port"])
def test_an_address_of_the_runtime_api_needs_host_and_port(address: str):
    with pytest.raises(SettingsError, match="AWS_LAMBDA_RUNTIME_API"):
        Settings.from_environ({**ENVIRON, "AWS_LAMBDA_RUNTIME_API": address})


def test_the_remaining_time_follows_the_wall_clock():
    now = SimpleNamespace(s=1_000.0)
    invocation = Invocation(request_id="id", deadline_ms=1_003_000, body=b"")
    context = LambdaContext(invocation, {}, clock=lambda: now.s)
    assert context.get_remaining_time_in_millis() == 3000
    now.s = 1_002.5
    assert context.get_remaining_time_in_millis() == 500
    now.s = 9_999.0
    assert context.get_remaining_time_in_millis() == 0


@pytest.mark.parametrize("header", ["{", "[]", "1", "[" * 100_000, "9" * 5_000, "\xff\0"])
def test_a_client_context_that_is_no_json_object_is_none_and_costs_no_invocation(header: str):
    """A direct caller writes it."""
    context = LambdaContext(Invocation("id", 0, b"", client_context=header, cognito_identity=header), {})
    assert (context.client_context, context.identity.cognito_identity_id) == (None, None)


def test_a_context_shows_neither_event_nor_tenant_in_its_repr():
    context = LambdaContext(Invocation("id", 7, b"secret", tenant_id="tenant-a"), {})
    assert repr(context) == "LambdaContext(aws_request_id='id', deadline_ms=7)"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_failure_is_told_in_lambdas_format():
    failure = Failure.of_exception(raised(ValueError("wrong: ä\nline")))
    assert failure.category == "Function.ValueError"
    trace = failure.as_json()["stackTrace"]
    assert len(trace) == 1 and "test_parts.py" in trace[0]
    assert failure.as_json() == {
        "errorMessage": "wrong: ä\nline",
        "errorType": "ValueError",
        "stackTrace": trace,
    }
    trailers = dict(failure.trailers())
    assert trailers["Lambda-Runtime-Function-Error-Type"] == "Function.ValueError"
    assert json.loads(b64decode(trailers["Lambda-Runtime-Function-Error-Body"])) == failure.as_json()


def test_a_category_holds_letters_only():
    error = raised(type("Läufe_2", (Exception,), {})())
    assert Failure.of_exception(error).category == "Function.Lufe"


def test_a_deep_recursion_has_a_short_trace():
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    assert len(Failure.of_exception(caught.value).stack_trace) <= 100


class Recorder:
    """A response writer that keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def start(self, status: int, headers: Any) -> None:
        self.seen.append((status, headers))

    async def body(self, data: bytes) -> None:
        self.seen.append(data)

    async def end(self, data: bytes = b"") -> None:
        self.seen += [data, "end"] if data else ["end"]

    async def fail(self, failure: Failure) -> None:
        self.seen.append(failure)

    async def wait_for_ack(self) -> None:
        self.seen.append("acknowledged")


def connected(method: str = "POST") -> tuple[Cycle, Recorder]:
    cycle, writer = Cycle(method, b"body"), Recorder()
    cycle.connect(writer)
    return cycle, writer


START = {"type": "http.response.start", "status": 200}


async def test_a_cycle_hands_over_request_and_disconnect():
    cycle, writer = connected()
    assert await cycle.receive() == {"type": "http.request", "body": b"body", "more_body": False}
    await cycle.send({**START, "headers": [[b"a", b"b"]]})
    await cycle.send({"type": "http.response.body", "body": bytearray(b"x"), "more_body": True})
    await cycle.send({"type": "http.response.body", "more_body": True})
    await cycle.send({"type": "http.response.body"})
    assert writer.seen == [(200, [(b"a", b"b")]), b"x", "end"]
    assert type(writer.seen[1]) is bytes
    assert cycle.state is State.COMPLETE
    assert await cycle.receive() == {"type": "http.disconnect"}


async def test_a_cycle_refuses_messages_out_of_order():
    cycle, _ = connected()
    with pytest.raises(UnexpectedMessage, match="expected http.response.start, got http.response.body"):
        await cycle.send({"type": "http.response.body"})
    await cycle.send(START)
    with pytest.raises(UnexpectedMessage, match="expected http.response.body, got http.response.start"):
        await cycle.send(START)
    await cycle.send({"type": "http.response.body"})
    with pytest.raises(UnexpectedMessage, match="expected no more messages, got http.response.body"):
        await cycle.send({"type": "http.response.body"})


async def test_a_closed_cycle_raises_os_error_as_asgi_2_4_says():
    cycle, _ = connected()
    await cycle.receive()
    await cycle.send(START)
    cycle.close()
    with pytest.raises(OSError, match="nobody takes this response"):
        await cycle.send({"type": "http.response.body"})
    assert await cycle.receive() == {"type": "http.disconnect"}


async def test_closing_a_complete_cycle_leaves_it_complete():
    cycle, _ = connected()
    await cycle.send(START)
    await cycle.send({"type": "http.response.body"})
    cycle.close()
    assert cycle.state is State.COMPLETE
