"""The built-in scripts: a good model at several paces, and a model name for every fault of an upstream."""

from typing import Any

from .script import Fault, FaultKind, HttpError, Script

FAST: dict[str, Any] = {"ttft_ms": 0.0, "tokens_per_s": None}
BRISK: dict[str, Any] = {"ttft_ms": 30.0, "tokens_per_s": 2_000.0}


def _error(status: int, message: str, *, type: str, code: str | None = None, **headers: str) -> HttpError:
    return HttpError(
        status, message, type, code, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


_SERVER_ERROR = _error(
    500, "The server had an error while processing your request. Sorry about that!", type="server_error"
)
_RATE_LIMIT = _error(
    429,
    "Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 1s.",
    type="requests",
    code="rate_limit_exceeded",
    retry_after="1",
)
_FAULTS: dict[str, tuple[FaultKind, float]] = {
    "sim-no-headers": ("no_headers", 0.0),
    "sim-reset-early": ("reset_before_headers", 0.0),
    "sim-bad-status": ("bad_status_line", 0.0),
    "sim-bad-chunk": ("bad_chunk", 0.5),
    "sim-cut": ("cut", 0.5),
    "sim-reset": ("reset", 0.5),
    "sim-silent-end": ("silent_end", 0.5),
    "sim-stall": ("stall", 0.25),
    "sim-stall-early": ("stall", 0.0),
    "sim-pings": ("pings", 0.25),
    "sim-drip": ("drip", 0.25),
    "sim-error-event": ("error_event", 0.5),
    "sim-error-event-early": ("error_event", 0.0),
    "sim-garbage": ("bad_event", 0.5),
    "sim-odd-event": ("odd_event", 0.5),
    "sim-invalid-utf8": ("invalid_utf8", 0.5),
    "sim-endless-line": ("endless_line", 0.25),
}

_SCRIPTS = [
    # Good documents at several paces and in several wrappings
    Script(name="sim-1"),
    Script(name="sim-fast", **FAST),
    Script(name="sim-slow", ttft_ms=2_500.0, tokens_per_s=40.0),
    Script(name="sim-long", sections=60, words=90, **FAST),
    Script(name="sim-bursty", deltas_per_write=8, **BRISK),
    Script(name="sim-split", cut_inside_characters=True, characters_per_token=2, **FAST),
    Script(name="sim-crlf", newline="\r\n", byte_order_mark=True, **FAST),
    Script(name="sim-cr", newline="\r", **FAST),
    Script(name="sim-gzip", content_encoding="gzip", **FAST),
    Script(name="sim-cached", cached_share=0.75, **BRISK),
    Script(name="sim-reasoning", reasoning_tokens=128, ttft_ms=600.0, tokens_per_s=2_000.0),
    Script(name="sim-other-model", returned_model="sim-1-2026-10-01", **FAST),
    # Documents that the schema refuses
    Script(name="sim-invalid", violation="wrong_type"),
    Script(name="sim-invalid-once", violation="wrong_type", times=1, **BRISK),
    Script(name="sim-invalid-missing", violation="missing_key", **BRISK),
    Script(name="sim-invalid-extra", violation="extra_key", **BRISK),
    Script(name="sim-duplicate-key", violation="duplicate_key", **BRISK),
    Script(
        name="sim-prose", prefix="Here is the document you asked for:\n\n```json\n", suffix="\n```", **BRISK
    ),
    Script(name="sim-trailing", suffix="\n\nLet me know if you would like changes.", **BRISK),
    # Endings that are no schema error
    Script(name="sim-truncated", finish_reason="length", share=0.6, **BRISK),
    Script(name="sim-filtered", finish_reason="content_filter", share=0.4, **BRISK),
    Script(name="sim-refusal", refusal="I’m sorry, but I can’t help with that request.", **BRISK),
    Script(name="sim-tool-calls", finish_reason="tool_calls", share=0.0, **BRISK),
    # Usage that is missing, repeated, early or absurd
    Script(name="sim-no-usage", usage="none", **BRISK),
    Script(name="sim-usage-twice", usage="twice", **BRISK),
    Script(name="sim-usage-running", usage="running", **BRISK),
    Script(name="sim-usage-inconsistent", usage="inconsistent", **BRISK),
    # Errors before the stream
    Script(name="sim-500", error=_SERVER_ERROR, **BRISK),
    Script(name="sim-500-once", error=_SERVER_ERROR, times=1, **BRISK),
    Script(name="sim-502", error=_error(502, "Bad gateway.", type="server_error"), **BRISK),
    Script(
        name="sim-503", error=_error(503, "The engine is currently overloaded.", type="server_error"), **BRISK
    ),
    Script(name="sim-529", error=_error(529, "Overloaded.", type="overloaded_error"), **BRISK),
    Script(name="sim-429", error=_RATE_LIMIT, **BRISK),
    Script(name="sim-429-once", error=_RATE_LIMIT, times=1, **BRISK),
    Script(
        name="sim-429-quota",
        error=_error(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            type="insufficient_quota",
            code="insufficient_quota",
        ),
        **BRISK,
    ),
    Script(
        name="sim-401",
        error=_error(
            401, "Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key"
        ),
        **BRISK,
    ),
    Script(
        name="sim-403",
        error=_error(403, "You are not allowed to use this model.", type="permission_error"),
        **BRISK,
    ),
    Script(
        name="sim-400-context",
        error=_error(
            400,
            "This model's maximum context length is 8192 tokens. Your messages resulted in 9001 tokens.",
            type="invalid_request_error",
            code="context_length_exceeded",
        ),
        **BRISK,
    ),
    Script(
        name="sim-400-policy",
        error=_error(
            400,
            "Your request was rejected as a result of our safety system.",
            type="invalid_request_error",
            code="content_policy_violation",
        ),
        **BRISK,
    ),
    Script(name="sim-redirect", redirect=True, **BRISK),
    # 200, and not what was asked for
    Script(name="sim-html", html=True, **BRISK),
    Script(name="sim-broken-gzip", content_encoding="broken_gzip", **BRISK),
    *(Script(name=name, fault=Fault(kind, at), **BRISK) for name, (kind, at) in _FAULTS.items()),
]

SCRIPTS: dict[str, Script] = {script.name: script for script in _SCRIPTS}
"""Built-in scripts by model name."""
