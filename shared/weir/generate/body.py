"""What a body may be before anything is made of it, and how one is refused.

How many values a body holds, and how deep, is counted on its bytes: a megabyte of empty objects would else become a
million errors, and hold every other stream of the process while they are made.
"""

import re

from weir.outcomes import Outcome
from weir.problems import Problem

MAX_BODY_BYTES = 1_048_576
MAX_VALUES = 2_500
MAX_MEMBERS = 64
MAX_DEPTH = 32
_TOKENS = rb'"[^"]*"?|[{\[]|[}\]]|,'


def check_body(body: bytes, content_type: str) -> None:
    """Refuse what is too large, too deep or of another media type, before anything is made of it. Raises Problem."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in ("application/json", ""):
        raise Problem(
            Outcome.BAD_REQUEST,
            f"content-type: expected application/json, got {media_type[:100]!r}",
            status=415,
            title="Unsupported media type",
        )
    if len(body) > MAX_BODY_BYTES:
        raise body_too_large()
    _count_values(body)


def invalid_fields(errors: list[tuple[str, str]]) -> Problem:
    """The answer to fields, by their pointers, that are not what they should be."""
    pointer, detail = errors[0]
    return Problem(
        Outcome.BAD_REQUEST,
        f"{pointer or 'body'}: {detail}",
        status=422,
        members={"errors": [{"pointer": pointer, "detail": detail} for pointer, detail in errors]},
    )


def _count_values(body: bytes) -> None:
    """Refuse a body of more values, or deeper, than any request has, without making them."""
    # Most bodies are a prompt: a few commas and braces, also within its text.
    if sum(map(body.count, (b",", b"{", b"["))) <= MAX_DEPTH:
        return
    # Without escapes a string ends at the next quote, which a regular expression finds at the speed of a search.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    values = members = depth = 0
    for match in re.finditer(_TOKENS, plain):
        first = plain[match.start()]
        if first in b"{[":
            depth += 1
            values += 1
        elif first in b"}]":
            depth -= 1
        elif first == 0x2C:
            values += 1
            members += depth == 1
        if values > MAX_VALUES or members > MAX_MEMBERS or depth > MAX_DEPTH:
            limit = f"{MAX_VALUES} values" if values > MAX_VALUES else f"{MAX_DEPTH} levels"
            limit = f"{MAX_MEMBERS} members" if members > MAX_MEMBERS else limit
            raise invalid_fields([("", f"expected at most {limit}, got more")])


def body_too_large() -> Problem:
    """The answer to a body that is over the limit; given as soon as that is known."""
    return Problem(
        Outcome.BAD_REQUEST,
        f"body: expected at most {MAX_BODY_BYTES} bytes, got more",
        status=413,
        title="Content too large",
    )
