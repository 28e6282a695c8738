"""One classifier of errors for all protocols, before the stream and in it: what failed, and whether to ask again.

Providers, and the proxies before them, say the same thing in a dozen shapes: `error` as an object or as a string, in
another `error`, in a list of one, as `message`, `detail`, `base_resp`; as HTML; with the code as a word, a number or
a header. What they say is relayed, cut to a length; what it means is decided here, once, from status, code and text.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from weir.providers.failed import Failed, FailureKind, Retryable

MAX_MESSAGE = 500
NO_MESSAGE = "the provider gave no message"
_MAX_DEPTH = 8
_NESTED = ("error", "errors", "message", "detail", "base_resp", "fault", "response", "body")
_MESSAGES = (
    "message", "msg", "detail", "status_msg", "error_message", "errorMessage", "error_msg", "faultstring", "Message",
    "title", "reason",
)  # fmt: skip
_CODES = ("code", "type", "status_code", "status", "__type", "error_code", "errorCode")

# A word in the code or the text decides before the status does: proxies answer 400, 500 or even 200 to anything.
_PATTERNS: tuple[tuple[FailureKind, str], ...] = (
    ("filtered", r"content[_ ]?filter|content management policy|responsibleaipolicy|content[_ ]policy|"
                 r"prohibited_content|safety system|bio_policy|misalignment_policy"),
    ("quota", r"insufficient[_ ](quota|balance|credits?|funds)|billing_(error|limit|hard|not)|enforced_spend_limit|"
              r"per[_-]?day|credit balance|payment required|out of credits|servicequotaexceeded"),
    ("overloaded", r"overloaded|service_?unavailable|at capacity|model.?not.?ready"),
    ("rate_limited", r"rate[_ -]?limit|too many requests|throttl|resource_?exhausted|ramp_limit|quota exceeded"),
    ("context", r"context[_ ](length|window)|maximum context|prompt is too long|too many (input )?tokens|"
                r"input (is )?too long|request_too_large|string_above_max_length"),
    ("timeout", r"gateway time-?out|timeout_error|model.?timeout|deadline[_ ]exceeded|request timed out"),
    ("key", r"(invalid|incorrect|expired|missing|no)[_ ](api|x-api)[_ -]?key|api_key_invalid|"
            r"api key (not valid|expired)|authentication_error|unauthenticated|unrecognizedclient|"
            r"(expired|invalid)token|accessdenied|permission_(error|denied)|invalid_?signature"),
)  # fmt: skip
_WORDS = tuple((kind, re.compile(words, re.IGNORECASE)) for kind, words in _PATTERNS)
_STATUSES: Mapping[int, FailureKind] = {
    400: "request", 401: "key", 402: "quota", 403: "key", 404: "request", 405: "request", 408: "timeout",
    409: "overloaded", 413: "context", 415: "request", 422: "request", 424: "server", 425: "overloaded",
    429: "rate_limited", 499: "timeout", 500: "server", 502: "server", 503: "overloaded", 504: "timeout",
    522: "timeout", 524: "timeout", 529: "overloaded",
    # MiniMax's own numbers.
    1002: "rate_limited", 1004: "key", 1008: "quota", 1026: "filtered", 1027: "filtered", 1039: "rate_limited",
}  # fmt: skip
_NUMBERS: Mapping[str, int] = {
    "rate_limited": 429, "quota": 402, "overloaded": 503, "timeout": 504, "key": 401, "context": 400, "filtered": 400,
}  # fmt: skip
_ASK_AGAIN: frozenset[FailureKind] = frozenset({"rate_limited", "overloaded", "timeout"})
_NEVER: frozenset[FailureKind] = frozenset({"quota", "key", "filtered", "context", "request"})
_RETRY_TEXT = re.compile(
    r"(?:retry|try again)\s+(?:after|in)\s+((?:\d+(?:\.\d+)?\s*(?:ms|m|s|h)[a-z]*\s*)+)", re.IGNORECASE
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|h|m|s)", re.IGNORECASE)
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failed:
    """What an HTTP response that is no answer means: of any status, and 200 where its body is an error."""
    try:
        document: object = json.loads(body) if body.strip() else None
    except (ValueError, RecursionError):
        document = body.decode("utf-8", "replace")
    return classify(document, status=status, headers=headers)


def classify(error: object, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failed:
    """What an error object means, whichever of the usual shapes it has; `status` and `headers` of its response."""
    message, code = error_members(error)
    named = {name.lower(): value for name, value in (headers or {}).items()}
    if code is None and (amazon := named.get("x-amzn-errortype")):
        code = amazon.partition(":")[0][:100]
    number = _number(error, code)
    known = status if status is not None and status != 200 else number
    kind = _kind(f"{code or ''} {_inner_code(error)} {message}", known)
    retryable: Retryable = "yes" if kind in _ASK_AGAIN else "no" if kind in _NEVER else "unknown"
    if kind == "server" and known in (424, 500, 502):
        retryable = "yes"
    if (wish := named.get("x-should-retry", "").lower()) in ("true", "false"):
        retryable = "yes" if wish == "true" else "no"
    return Failed(
        message=message,
        code=code,
        status=known if known is not None and 100 <= known < 600 else None,
        retryable=retryable,
        kind=kind,
        retry_after_s=_retry_after(named, error, message),
        # A gateway that gave up does not say what the model behind it went on to do.
        maybe_served=kind == "timeout" or known in (424, 502, 520),
    )


def error_members(error: object) -> tuple[str, str | None]:
    """The message and code of a provider's error, cut to a length."""
    message, code = _members(error, 0)
    return message[:MAX_MESSAGE] if message else NO_MESSAGE, _plain(code[:100]) if code else None


def _members(error: object, depth: int) -> tuple[str | None, str | None]:
    if isinstance(error, str):
        return _plain(error), None
    if isinstance(error, list):
        return _of_list(error, depth)
    if not isinstance(error, Mapping):
        return (str(error), None) if isinstance(error, int | float) and error else (None, None)
    code = next((str(value) for name in _CODES if (value := error.get(name)) and _is_code(value)), None)
    if depth < _MAX_DEPTH:
        for name in _NESTED:
            inner = error.get(name)
            if isinstance(inner, Mapping | list) or (name == "error" and isinstance(inner, str)):
                message, inner_code = _members(inner, depth + 1)
                if message or inner_code:
                    return message, inner_code or code
    message = next((value for name in _MESSAGES if isinstance(value := error.get(name), str) and value), None)
    return (_plain(message) if message else None), code


def _of_list(errors: list[Any], depth: int) -> tuple[str | None, str | None]:
    """A list of errors, as Google sends one, or of complaints about fields, as FastAPI does."""
    messages, code = [], None
    for entry in errors[:5] if depth < _MAX_DEPTH else ():
        message, entry_code = _members(entry, depth + 1)
        location = entry.get("loc") if isinstance(entry, Mapping) else None
        if message and isinstance(location, list) and len(location) < 32:
            message = f"{'.'.join(map(str, location))}: {message}"
        if message:
            messages.append(message)
        code = code or entry_code
    return "; ".join(messages) or None, code


def _plain(text: str) -> str:
    """A text as one line: of HTML what it says, of JSON in a string what it holds."""
    if text.lstrip()[:1] == "<":
        text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text[:4_096], flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text[:65_536].split()).encode("utf-8", "replace").decode()


def _is_code(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(error: object, code: str | None) -> int | None:
    """The HTTP status, or the server's own number, that an error names of itself."""
    found: object = code
    for _ in range(_MAX_DEPTH):
        if isinstance(error, list):
            error = error[0] if error else None
        if not isinstance(error, Mapping):
            break
        for name in ("status_code", "status", "code", "http_code", "originalStatusCode"):
            value = error.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 10_000:
                return value
        error = next((error[name] for name in _NESTED if isinstance(error.get(name), Mapping | list)), None)
    return int(found) if isinstance(found, str) and re.fullmatch(r"[1-9]\d{2,3}", found, re.ASCII) else None


def _inner_code(error: object) -> str:
    """The words beside a code that decide: types, statuses and the codes of inner errors, quota names."""
    words: list[str] = []
    open_: list[tuple[object, int]] = [(error, 0)]
    while open_ and len(words) < 40:
        node, depth = open_.pop()
        if isinstance(node, list):
            open_ += [(item, depth + 1) for item in node[:5] if depth < _MAX_DEPTH]
        elif isinstance(node, Mapping):
            for name, value in list(node.items())[:40]:
                if isinstance(value, str) and name in (
                    "code",
                    "type",
                    "status",
                    "quotaId",
                    "error_type",
                    "reason",
                    "raw",
                ):
                    words.append(value[:200])
                elif isinstance(value, Mapping | list) and depth < _MAX_DEPTH:
                    open_.append((value, depth + 1))
    return " ".join(words)


def _kind(words: str, status: int | None) -> FailureKind:
    by_status = _STATUSES.get(status) if status is not None else None
    for kind, pattern in _WORDS:
        if pattern.search(words) and (kind != "key" or by_status in (None, "key", "request", "server")):
            return kind
    if by_status is not None:
        return by_status
    if status is not None and 400 <= status < 500:
        return "request"
    return (
        "request" if re.search(r"invalid_request|validation|bad request", words, re.IGNORECASE) else "server"
    )


def _retry_after(headers: Mapping[str, str], error: object, message: str) -> float | None:
    """How long to wait: the most precise hint first. Seconds; None where nobody says."""
    if (milliseconds := _decimal(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    after = headers.get("retry-after")
    if (seconds := _decimal(after)) is not None:
        return seconds
    if after and (until := _date(after)) is not None:
        now = _date(headers.get("date", ""))  # the server's own clock: ours may be wrong
        return max(0.0, (until - now).total_seconds()) if now else None
    if (delay := _retry_info(error)) is not None:
        return delay
    found = _RETRY_TEXT.search(message)
    return _seconds(found[1]) if found else None


def _retry_info(error: object) -> float | None:
    """Google's RetryInfo, wherever in the error it stands."""
    for _ in range(_MAX_DEPTH):
        if isinstance(error, list):
            error = error[0] if error else None
        if not isinstance(error, Mapping):
            return None
        for detail in error["details"] if isinstance(error.get("details"), list) else ():
            if isinstance(detail, Mapping) and isinstance(delay := detail.get("retryDelay"), str):
                return _seconds(delay)
        error = error.get("error")
    return None


def _seconds(text: str) -> float | None:
    parts = _DURATION.findall(text)
    return (
        sum(float(number) * _MILLISECONDS[unit.lower()] for number, unit in parts) / 1_000 if parts else None
    )


def _decimal(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text.strip(), re.ASCII) else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
