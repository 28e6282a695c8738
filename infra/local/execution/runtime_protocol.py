"""What a runtime may say to the Lambda Runtime API, and when; no IO.

One object owns the order of calls of one environment. Each call is allowed, which changes the state, or is a
`Refusal` with the status, type and message that Lambda gives. The states and refusals are those of Lambda's own
emulator (https://github.com/aws/aws-lambda-runtime-interface-emulator, core/states.go and rapi/rendering), with
two differences, both stricter or later than it:

- /next while an invocation is unanswered is refused; the emulator hands out the same invocation again.
- A wrong Lambda-Runtime-Invocation-Id is 410 InvokeTimeout (Lambda since 2026-07): that invocation is over.

    started --/next--> idle --invocation--> running --/response or /error--> answering --end of body--> answered
       |                ^                                                                                  |
       +--/init/error--> failed                                      <-----------------/next---------------+
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

MAX_BUFFERED_BYTES = 6 * 1024 * 1024 + 100
MAX_STREAMED_BYTES = 200 * 1024 * 1024
RESPONSE_MODE = "lambda-runtime-function-response-mode"
INVOCATION_ID = "lambda-runtime-invocation-id"


class State(Enum):
    """Where an environment, or an invocation in it, stands."""

    STARTED = "RuntimeStarted"
    READY = "RuntimeReady"
    FAILED = "RuntimeInitError"
    RUNNING = "RuntimeRunning"
    ANSWERING = "RuntimeInvocationResponse"
    ANSWERED = "RuntimeResponseSent"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the Runtime API that is not 2xx. `ends` is the error type that also ends the invocation."""

    status: int
    kind: str
    message: str
    ends: str | None = None


@dataclass(slots=True)
class _Exchange:
    invocation_id: str
    state: State = State.RUNNING
    mode: str = "buffered"
    received_bytes: int = 0


@dataclass(slots=True)
class RuntimeProtocol:
    """The calls of one environment that takes up to `max_concurrency` invocations at a time."""

    max_concurrency: int = 1
    started: bool = False  # the first /next has come: INIT is over
    failed: bool = False  # /init/error has come
    waiting: int = 0  # calls of /next without an invocation yet
    _active: dict[str, _Exchange] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)

    def next(self) -> Refusal | None:
        """GET /runtime/invocation/next."""
        unanswered = [exchange for exchange in self._active.values() if exchange.state is not State.ANSWERED]
        if self.failed:
            return _not_allowed(State.FAILED, State.READY)
        if self.waiting + len(unanswered) >= self.max_concurrency:
            return _not_allowed(unanswered[0].state if unanswered else State.READY, State.READY)
        for answered in [key for key, exchange in self._active.items() if exchange.state is State.ANSWERED]:
            del self._active[answered]
        self.started = True
        self.waiting += 1
        return None

    def deliver(self, request_id: str, invocation_id: str) -> None:
        """A waiting /next is answered with this invocation."""
        assert self.waiting > 0, "expected a waiting /next"
        self.waiting -= 1
        self._active[request_id] = _Exchange(invocation_id)
        self._answered.discard(request_id)

    def next_gave_up(self) -> None:
        """The connection of a waiting /next was closed by the runtime."""
        self.waiting -= 1

    def init_error(self) -> Refusal | None:
        """POST /runtime/init/error: only before the first /next."""
        if self.started or self.failed:
            return _not_allowed(self._state(), State.FAILED)
        self.failed = True
        return None

    def response(self, request_id: str, headers: Mapping[str, str]) -> Refusal | None:
        """POST /runtime/invocation/{id}/response: its head has come; header names are lower case."""
        refusal = self._begin(request_id, headers)
        if refusal is not None:
            return refusal
        exchange = self._active[request_id]
        mode = headers.get(RESPONSE_MODE, "")
        if mode not in ("", "streaming"):
            exchange.state = State.ANSWERED
            return Refusal(
                400, "InvalidFunctionResponseMode", "Invalid function response mode",
                ends="Runtime.InvalidResponseModeHeader",
            )  # fmt: skip
        exchange.mode = mode or "buffered"
        return None

    def error(self, request_id: str, headers: Mapping[str, str]) -> Refusal | None:
        """POST /runtime/invocation/{id}/error: only while no response has begun."""
        return self._begin(request_id, headers)

    def received(self, request_id: str, size: int) -> Refusal | None:
        """`size` more bytes of a response's body have come."""
        exchange = self._active[request_id]
        exchange.received_bytes += size
        limit = MAX_STREAMED_BYTES if exchange.mode == "streaming" else MAX_BUFFERED_BYTES
        if exchange.received_bytes <= limit:
            return None
        exchange.state = State.ANSWERED
        return Refusal(
            413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({limit} bytes).",
            ends="Function.ResponseSizeTooLarge",
        )  # fmt: skip

    def sent(self, request_id: str) -> None:
        """The body of a response or an error is whole, or broke off: the invocation is answered."""
        self._active[request_id].state = State.ANSWERED
        self._answered.add(request_id)

    def _begin(self, request_id: str, headers: Mapping[str, str]) -> Refusal | None:
        exchange = self._active.get(request_id)
        if exchange is None:
            if not self._active or request_id in self._answered:
                return _not_allowed(self._state(), State.ANSWERING)
            return Refusal(400, "InvalidRequestID", f"Invalid request ID: no invocation {request_id}")
        if exchange.state is not State.RUNNING:
            return _not_allowed(exchange.state, State.ANSWERING)
        given = headers.get(INVOCATION_ID)
        if given is not None and given != exchange.invocation_id:
            exchange.state = State.ANSWERED
            return Refusal(410, "InvokeTimeout", f"Invocation {given} is over", ends="InvokeTimeout")
        exchange.state = State.ANSWERING
        return None

    def _state(self) -> State:
        if self.failed:
            return State.FAILED
        if self._active:
            return next(iter(self._active.values())).state
        return State.READY if self.started else State.STARTED


def _not_allowed(at: State, to: State) -> Refusal:
    return Refusal(
        403, "InvalidStateTransition",
        f"Transition from {at.value} to {to.value} failed for runtime. Error: State transition is not allowed",
    )  # fmt: skip
