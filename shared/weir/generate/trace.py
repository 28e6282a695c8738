"""A request's trace: what `traceparent` says, what goes on to the provider, and the spans, as OTLP's JSON.

Only a caller who sends a `traceparent` has a trace, and only a sampled one costs a line of the log: one OTLP/JSON
export of the request's span and one span a call of a model, by OpenTelemetry's names for generative AI. A stock
collector takes the lines as they are (its otlp_json connector), so there is no SDK here, and nothing of this is
imported by a request without a trace. Prompts and outputs are in no span. Span ids are made of the request's id.
https://www.w3.org/TR/trace-context/
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

import re
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from weir.outcomes import Outcome

if TYPE_CHECKING:
    from weir.generate.attempt import Attempt, CallTimes

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"[^=,]+=[\x20-\x7e]{1,500}")  # a list of vendors' own members
_SERVER, _CLIENT, _ERROR = 2, 3, 2  # of SpanKind and StatusCode
# The profiles that OpenTelemetry calls otherwise.
_PROVIDERS = {
    "azure": "azure.ai.openai", "bedrock": "aws.bedrock", "bedrock-openai": "aws.bedrock", "gemini": "gcp.gemini",
    "mistral": "mistral_ai", "openai-responses": "openai", "xai": "x_ai",
}  # fmt: skip


class Trace(NamedTuple):
    """Where a request stands in a trace: `parent_id` is the caller's span, `state` their `tracestate`, "" if none."""

    trace_id: str
    parent_id: str
    flags: str
    request_id: str
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Whether the caller records this trace."""
        return bool(int(self.flags, 16) & 1)

    def span_id(self, attempt: int = 0) -> str:
        """The id of the request's span, or of one of its attempts, from 1."""
        return sha256(f"{self.trace_id}/{self.request_id}/{attempt}".encode()).hexdigest()[:16]

    def headers(self, attempt: int) -> dict[str, str]:
        """The headers of an attempt's call: `traceparent`, and `tracestate` as it came."""
        parent = f"00-{self.trace_id}-{self.span_id(attempt)}-{self.flags}"
        return {"traceparent": parent, **({"tracestate": self.state} if self.state else {})}


def parse_trace(header: str, state: str, request_id: str) -> Trace | None:
    """Read `traceparent` and `tracestate`; None for what is none, which the specification says to ignore."""
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    if not int(found[2], 16) or not int(found[3], 16):
        return None
    flags = "01" if int(found[4], 16) & 1 else "00"
    return Trace(
        found[2], found[3], flags, request_id, state.strip() if _STATE.fullmatch(state.strip()) else ""
    )


class Times(NamedTuple):
    """When a request began and ended, by the monotonic clock, and when that end was by the wall clock."""

    started_ns: int
    ended_ns: int
    at: datetime

    def unix_ns(self, monotonic_ns: int) -> str:
        """An instant of the monotonic clock as OTLP writes it."""
        return str(round(self.at.timestamp() * 1_000_000) * 1_000 - (self.ended_ns - monotonic_ns))


def export(
    trace: Trace,
    times: Times,
    attempts: "Iterable[Attempt]",
    outcome: Outcome,
    resource: dict[str, Any],
    about: dict[str, Any],
) -> dict[str, Any]:
    """The spans of a request that has ended: its own, and one of each attempt that called a model."""
    whole = _span(trace, "generate", _SERVER, trace.parent_id, 0, times.started_ns, times.ended_ns, times)
    whole["attributes"] = _attributes({"weir.outcome": outcome.value, **about})
    if outcome is not Outcome.OK:
        whole["status"] = {"code": _ERROR, "message": outcome.value}
    spans = [whole]
    for attempt in attempts:
        if (call := attempt.call) is None:
            continue  # given again, or the lost call of a hedge
        name = f"chat {attempt.model}"
        span = _span(trace, name, _CLIENT, trace.span_id(), call.number, call.called_ns, call.ended_ns, times)
        span["attributes"] = _attributes(_of_call(attempt, call))
        if attempt.verdict is not None and attempt.verdict.outcome is not Outcome.OK:
            span["status"] = {"code": _ERROR, "message": attempt.verdict.outcome.value}
        spans.append(span)
    scope = {"scope": {"name": "weir.generate"}, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}


def _of_call(attempt: "Attempt", call: "CallTimes") -> dict[str, Any]:
    """OpenTelemetry's names for one call of a model; what is not known is left out."""
    route, usage, verdict = attempt.asked.route, attempt.usage, attempt.verdict
    finish, address = attempt.decoder.finish, urlsplit(route.base_url)
    failed = verdict is not None and verdict.outcome is not Outcome.OK
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(route.profile.name, route.profile.name),
        "gen_ai.request.model": route.model,
        "gen_ai.request.max_tokens": attempt.asked.max_tokens,
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "text" if attempt.asked.structured is None else "json",
        "gen_ai.response.model": attempt.model_returned,
        "gen_ai.response.finish_reasons": [finish.raw] if finish is not None else None,
        "gen_ai.response.time_to_first_chunk": call.first_ns and (call.first_ns - call.called_ns) / 1e9,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "server.address": address.hostname,
        "server.port": address.port,
        "error.type": verdict.outcome.value if verdict is not None and failed else None,
        "weir.attempt": attempt.number,
    }


def _span(
    trace: Trace,
    name: str,
    kind: int,
    parent_id: str,
    attempt: int,
    began_ns: int,
    ended_ns: int,
    times: Times,
) -> dict[str, Any]:
    return {
        "traceId": trace.trace_id,
        "spanId": trace.span_id(attempt),
        "parentSpanId": parent_id,
        **({"traceState": trace.state} if trace.state else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": times.unix_ns(began_ns),
        "endTimeUnixNano": times.unix_ns(ended_ns),
    }


def _attributes(members: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any(value)} for key, value in members.items() if value is not None]


def _any(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_any(one) for one in value]}}
        case _:
            return {"stringValue": str(value)}
