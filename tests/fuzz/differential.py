"""The oracle: whatever a text is chopped into, the verdict is `Model.model_validate_json` of the whole."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from pydantic_streaming import Document, InvalidDocument, StreamedValidator, Value, Violation, plan_for
from pydantic_streaming.bounded import bounded

# Of a text that the parser refuses Pydantic says nothing else.
NOT_JSON = (((), "json_invalid"), ((), "string_unicode"))
Errors = list[tuple[Any, ...]]


def expected(model: type[BaseModel], text: str) -> BaseModel | Errors | type[Exception]:
    """Return what Pydantic makes of `text`; NaN and Infinity are no JSON unless the model's config says so."""
    try:
        got: BaseModel | Errors | type[Exception] = model.model_validate_json(text)
    except ValidationError as error:
        got = [
            (e["loc"], e["type"], e["msg"]) for e in error.errors(include_url=False, include_context=False)
        ]
    except Exception as error:
        got = type(error)
    if model.model_config.get("allow_inf_nan") or isinstance(got, type):
        return got
    try:
        from_json(text, allow_inf_nan=False)
    except TypeError:
        return got  # half a surrogate pair
    except ValueError as error:
        strict = [((), "json_invalid", f"Invalid JSON: {error}")]
        if isinstance(got, list) and got[0][:2] in NOT_JSON:
            # The stricter parser says the same, unless what it meets could begin a number that JSON has not.
            assert got == strict or any(name in text for name in "NI"), f"{got} {strict}"
        return strict
    return got


def run(
    model: type[BaseModel], pieces: list[str], instances: bool
) -> tuple[list[Value | Violation], Any, StreamedValidator]:
    """Return every event, and the document or the errors."""
    validator = StreamedValidator(model, instances=instances)
    events: list[Value | Violation] = []
    for piece in pieces:
        events += validator.feed(piece)
    try:
        document = validator.close()
    except InvalidDocument as error:
        return events, error.violations, validator
    return [*events, *document.values], document, validator


def placed(events: list[Value | Violation], like: Any) -> Any:
    """Return what a client has built that sets each value at its path.

    A pointer does not tell an array from an object with digits for keys; a client knows by the schema, here `like` is
    the document that it should have been.
    """
    root: Any = {}
    for event in events:
        if isinstance(event, Violation):
            continue
        if not event.path:
            root = json.loads(event.json)
            continue
        *above, last = [t.replace("~1", "/").replace("~0", "~") for t in event.path[1:].split("/")]
        at = root
        for token in above:
            at = at.setdefault(token, {})
        at[last] = json.loads(event.json)
    return _shaped(root, like)


def _shaped(built: Any, like: Any) -> Any:
    if isinstance(built, dict) and isinstance(like, list):
        assert list(built) == [str(index) for index in range(len(like))], (
            "elements are missing, or out of order"
        )
        return [_shaped(one, other) for one, other in zip(built.values(), like, strict=True)]
    if isinstance(built, dict) and isinstance(like, dict):
        return {key: _shaped(value, like.get(key)) for key, value in built.items()}
    return built


def repeats_a_key(text: str) -> bool:
    """Whether some object of `text` has a key twice."""
    repeated = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        repeated = repeated or len(dict(members)) < len(members)
        return dict(members)

    try:
        json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return True  # it cannot be said
    return repeated


def same_violation(one: Violation | None, other: Violation | None, text: str, want: Any) -> None:
    """Fail unless both are the same, or only one run saw, before the text ended, that it is not JSON."""
    if one == other or repeats_a_key(text):
        return
    seen = one or other
    assert one is None or other is None, f"{one} {other}"
    assert seen is not None
    assert isinstance(want, list)
    assert (seen.loc, seen.type, seen.message) == want[0], f"{seen} {want}"
    assert want[0][:2] in NOT_JSON, f"{seen} {want}"


def is_a_place(violation: Violation, text: str) -> bool:
    """Whether the violation's path is there in the text, or only its last step is missing: a member, or its default."""
    if violation.path is None or violation.type in ("json_invalid", "string_unicode", "duplicate_key"):
        return True
    at = json.loads(text)
    for token in violation.path.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list) and key.isdigit() and int(key) < len(at):
            at = at[int(key)]
        elif isinstance(at, dict) and key in at:
            at = at[key]
        else:
            return isinstance(at, (dict, list)) and violation.path.endswith("/" + token)
    return True


def in_too_long(loc: tuple[int | str, ...], want: Errors) -> bool:
    """Whether `loc` is in a list that is too long: of that Pydantic says nothing else, and it is known at its end."""
    return any(kind == "too_long" and loc[: len(there)] == there for there, kind, _ in want)


def same_with_fewer_errors(model: type[BaseModel], text: str, want: Any) -> None:
    """Fail unless the verdict is the same where errors are cut while they are made, and the errors are among them."""
    if isinstance(want, list) and want[0][:2] in NOT_JSON:
        return
    try:
        bounded(model, text)
    except ValidationError as error:
        if isinstance(want, type):
            return  # a validator raises, behind an error that is enough
        assert isinstance(want, list), f"{error} {want}"
        for e in error.errors(include_url=False, include_context=False):
            assert (e["loc"], e["type"], e["msg"]) in want or in_too_long(e["loc"], want), f"{e} {want}"
    except Exception as error:
        assert want is type(error)
    else:
        # What is found at the end, of a tuple or of the root, is left to the run that makes all errors.
        at_the_end = isinstance(want, list) and all(
            kind in ("too_short", "missing") or not loc for loc, kind, _ in want
        )
        assert isinstance(want, (BaseModel, type)) or at_the_end, want


def check(model: type[BaseModel], text: str, *choppings: list[str]) -> str:
    """Fail unless every chopping of `text` gives Pydantic's verdict, value, errors, and the same events.

    Returns:
        "needless" if a valid text of a model that is split was validated whole, else "".
    """
    want = expected(model, text)
    same_with_fewer_errors(model, text, want)
    first: list[Value] | None = None
    verdict: Violation | None = None
    needless = False
    for number, pieces in enumerate(choppings):
        assert "".join(pieces) == text
        events, got, validator = run(model, pieces, instances=number % 2 == 0)
        listed: tuple[Violation, ...] = ()
        if isinstance(got, tuple):
            listed, got = got, [(v.loc, v.type, v.message) for v in got]
        violations = [e for e in events if isinstance(e, Violation)]
        assert len(violations) <= 1
        # What closes with the last piece is said by `close`: of a document the values, of a wrong text the errors.
        values = [e for e in events if isinstance(e, Value)]
        # That a dict repeats a key, or an object has two of a field's keys, is seen only where it is split inside, and
        # then the whole text is validated: what was not handed out yet is handed out at the end.
        if not validator.fallback.startswith(("a dict's key is repeated", "two keys feed the field")):
            if first is None:
                first, verdict = values, validator.violation
            same_violation(verdict, validator.violation, text, want)
            same = len(first) if isinstance(got, Document) else min(len(first), len(values))
            if verdict != validator.violation:
                same = min(len(first), len(values))
            assert values[:same] == first[:same], f"events depend on the pieces\n{values}\n{first}"
        if isinstance(want, BaseModel):
            try:
                dump = want.model_dump_json(by_alias=True, warnings=False).encode()
            except Exception as error:
                # Valid, and not to be written as JSON: the document's caller must learn of it.
                assert isinstance(got, list), f"{got} {error!r}"
                assert [kind for _, kind, _ in got] == ["serializer_raised"]
                assert type(error).__name__ in got[0][2]
                continue
            assert not isinstance(got, (list, type)), (
                f"refused, Pydantic accepts: {got} ({validator.fallback})"
            )
            assert repr(got.model) == repr(want)
            assert got.model.model_fields_set == want.model_fields_set
            assert got.model.__dict__.keys() == want.__dict__.keys()
            assert b"".join(got.json_parts(max_bytes=7)) == dump
            if not model.model_config.get("ser_json_inf_nan"):
                document = json.loads(dump)
                assert document == placed(events, document), f"{dump!r} {events}"
            needless = plan_for(model).split and bool(validator.fallback)
            for violation in violations:
                # Another key, or the same again, replaced what was wrong.
                assert repeats_a_key(text) or model.model_config.get("populate_by_name"), violation
        elif isinstance(want, type):
            assert isinstance(got, list), f"{got} {want}"
            assert [kind for _, kind, _ in got] == ["validator_raised"], f"{got} {want}"
            assert want.__name__ in got[0][2]
        else:
            assert got == want, f"{got}\n{want} ({validator.fallback})"
            if isinstance(want, list) and want[0][:2] not in NOT_JSON and not repeats_a_key(text):
                for violation in [*violations, *listed]:
                    assert is_a_place(violation, text), f"{violation} {text!r}"
            for violation in violations:
                triple = (violation.loc, violation.type, violation.message)
                if isinstance(want, list) and triple not in want and want[0][:2] not in NOT_JSON:
                    assert (
                        violation.type == "duplicate_key"
                        or in_too_long(violation.loc, want)
                        or repeats_a_key(text)
                        or model.model_config.get("populate_by_name")
                    ), f"{triple} {want}"
                if triple[:2] in NOT_JSON:
                    assert triple in want, f"{triple} {want}"

    return "needless" if needless else ""


__all__ = ["PydanticSerializationError", "check", "expected", "placed", "run"]
