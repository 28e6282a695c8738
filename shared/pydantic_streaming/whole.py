"""The verdict on a whole text: `Model.model_validate_json`, and nothing else.

Everything that streamed validation cannot prove it does exactly ends here, so the errors of a refused document are
Pydantic's own. Validating 100 KB takes about a millisecond; a larger text belongs in another process (a thread holds
the GIL for as long: pydantic-core never releases it), and therefore the verdict is a `Report`: bytes that cross a
pipe, never instances.

One thing is refused that Pydantic accepts: NaN and Infinity, which are not JSON (RFC 8259 section 6: "Numeric values
that cannot be represented in the grammar below (such as Infinity and NaN) are not permitted").
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from pydantic_streaming.bounded import bounded, may_hold_many
from pydantic_streaming.syntax import mentions_nan, strict_error
from pydantic_streaming.values import Value, Violation, path_of, pointer

__all__ = ["INLINE_MAX_BYTES", "MAX_VIOLATIONS", "Report", "WholeText", "validate_whole"]

# A text can hold a million errors and each costs a microsecond and an event's bytes; nobody reads the thousandth.
MAX_VIOLATIONS = 1000
MAX_MESSAGE_CHARS = 500
# Validating a text of this size takes about a millisecond; the round trip to a child process takes as long.
INLINE_MAX_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Report:
    """A verdict on a whole text: `values` and `parts` of a valid one, `violations` of a wrong one.

    `parts` joined are the document's JSON. `model` is the instance where it was made in this process.
    """

    values: tuple[Value, ...] = ()
    parts: tuple[bytes, ...] = ()
    violations: tuple[Violation, ...] = ()
    error_count: int = 0
    model: BaseModel | None = None


@dataclass(frozen=True, slots=True)
class WholeText:
    """A finished text that must be validated whole, for `reason`: inline by `validate`, or elsewhere from `pieces`."""

    model: type[BaseModel]
    pieces: tuple[bytes, ...]
    allow_nan: bool
    reason: str
    # Text that is no Unicode (half a surrogate pair) has no UTF-8 and is validated as it is.
    unencodable: str | None = None

    @property
    def size_bytes(self) -> int:
        """The length of the text in bytes of UTF-8."""
        return sum(map(len, self.pieces))

    @property
    def large(self) -> bool:
        """Whether validating it inline would stop an event loop for longer than a child process is away."""
        return self.size_bytes > INLINE_MAX_BYTES

    def validate(self) -> Report:
        """Return the verdict, here and now."""
        text = b"".join(self.pieces) if self.unencodable is None else self.unencodable
        return validate_whole(self.model, text, allow_nan=self.allow_nan)


def validate_whole(model: type[BaseModel], text: str | bytes, *, allow_nan: bool) -> Report:
    """Return Pydantic's verdict on `text`; with `allow_nan` false NaN and Infinity are syntax errors.

    A validator or a serializer that raises what Pydantic lets through makes the text invalid, too: what it raised is
    the one violation. So does a text of so many errors that not all are made (bounded.py): the first of each list and
    dict are there, and `error_count` is the least that there are.
    """
    try:
        if may_hold_many(model, text):
            bounded(model, text)
        instance = model.model_validate_json(text)
        report = None
    except ValidationError as error:
        violations = violations_of(model, error)
        report = Report(violations=violations, error_count=error.error_count())
    except MemoryError:
        raise
    except Exception as error:
        report = Report(violations=(_raised("validator_raised", (), error),), error_count=1)
    suspect = mentions_nan(text) or (report is not None and report.violations[0].type == "json_invalid")
    if not allow_nan and suspect and (complaint := strict_error(text)):
        return Report(violations=(_syntax(complaint),), error_count=1)
    return report or _dumped(instance)


def _dumped(instance: BaseModel) -> Report:
    try:
        values, parts = dump(instance)
    except MemoryError:
        raise
    except Exception as error:
        names = [*type(instance).model_fields, *type(instance).model_computed_fields]
        return Report(
            violations=(_raised("serializer_raised", _culprit(instance, names), error),), error_count=1
        )
    return Report(values, parts, model=instance)


def _culprit(instance: BaseModel, names: list[str]) -> tuple[str, ...]:
    for name in names:
        try:
            instance.__pydantic_serializer__.to_json(instance, include={name}, warnings=False)
        except Exception:
            return (name,)
    return ()


def _raised(kind: str, loc: tuple[int | str, ...], error: Exception) -> Violation:
    """Return the violation that an exception is; it names the function that raised it."""
    raised_by = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if not frame.f_globals.get("__name__", "").startswith(("pydantic.", "pydantic_streaming.")):
            raised_by = f"{frame.f_code.co_qualname.rpartition('<locals>.')[2]} raised "
    message = f"{raised_by}{type(error).__name__}: {error}"
    return Violation(None, loc, kind, message[:MAX_MESSAGE_CHARS])


def violations_of(model: type[BaseModel], error: ValidationError) -> tuple[Violation, ...]:
    """Return the first `MAX_VIOLATIONS` errors of `error` with their places in the text."""
    details: Iterable[ErrorDetails] = error.errors(
        include_url=False, include_context=False, include_input=False
    )
    schema = model.__pydantic_core_schema__
    return tuple(
        Violation(path_of(schema, d["loc"]), d["loc"], d["type"], d["msg"])
        for d in list(details)[:MAX_VIOLATIONS]
    )


def dump(instance: BaseModel) -> tuple[tuple[Value, ...], tuple[bytes, ...]]:
    """Return the values of `instance`, one a top-level member, and the JSON they are joined to.

    A root that is not dumped as an object of its fields (a root model, a model serializer) is one value at "".
    """
    serializer = instance.__pydantic_serializer__
    whole = serializer.to_json(instance, by_alias=True, warnings=False)
    extra = instance.__pydantic_extra__ or {}
    cls = type(instance)
    if not whole.startswith(b"{") or not extra.keys().isdisjoint(
        {*cls.model_fields, *cls.model_computed_fields}
    ):
        return (Value("", whole),), (whole,)
    names: dict[str, str] = {
        name: field.serialization_alias or name
        for name, field in cls.model_fields.items()
        if not field.exclude
    }
    names.update({name: name for name in extra})
    names.update({name: field.alias or name for name, field in cls.model_computed_fields.items()})
    values: list[Value] = []
    parts: list[bytes] = []
    for name, key in names.items():
        if (value := dump_member(serializer, instance, name, key)) is not None:
            values.append(Value(pointer(key), value))
            parts += (b"," if parts else b"{", to_json(key), b":", value)
    parts.append(b"}" if parts else b"{}")
    if b"".join(parts) != whole:
        return (Value("", whole),), (whole,)
    return tuple(values), tuple(parts)


def dump_member(serializer: Any, instance: BaseModel, name: str, key: str) -> bytes | None:
    """Return the JSON of one member of `instance`, None where it is excluded from the dump."""
    dumped: bytes = serializer.to_json(instance, include={name}, by_alias=True, warnings=False)
    prefix = b"{" + to_json(key) + b":"
    return dumped[len(prefix) : -1] if dumped.startswith(prefix) else None


def _syntax(complaint: str) -> Violation:
    return Violation("", (), "json_invalid", f"Invalid JSON: {complaint}")
