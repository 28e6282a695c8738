"""The documents that can be asked for: one Pydantic model a file, found by the file's name.

Adding a schema is adding a file: `recipe.py` with a class `Recipe` is asked for as `"schema": "recipe"`. Capitals
are the class's own matter: `faq_page.py` may hold `FAQPage`. A schema is imported when it is first asked for, so that
a cold start pays for none that it does not use.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from weir.errors import CallerError, ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel


class UnknownSchema(CallerError, LookupError):
    """No file in this folder has the name that was asked for."""


class SchemaFileError(ConfigurationError):
    """A file in this folder holds no model of its name; says which models it holds."""


@cache
def schema_names() -> tuple[str, ...]:
    """The names that can be asked for, sorted."""
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py")))


# A part, a member's schema say, takes some 12 KB of memory: what callers bring must fit the smallest function.
MAX_REGISTERED_PARTS = 3_000
_kept: dict[str, tuple[type[BaseModel], int]] = {}
# What is forgotten can still be asked for while a request that brought it runs: whoever does holds its model.
_registered: WeakValueDictionary[str, type[BaseModel]] = WeakValueDictionary()


def register_schema(name: str, model: type[BaseModel], parts: int) -> None:
    """Let a model that a caller brought be asked for by `name`, which no file has; the oldest are forgotten when all
    have too many parts."""
    assert "~" in name, f"schema: expected a name that no file can have, got {name!r}"
    _registered[name] = model
    _kept[name] = model, parts
    while len(_kept) > 1 and sum(each for _, each in _kept.values()) > MAX_REGISTERED_PARTS:
        del _kept[next(iter(_kept))]


def is_registered(name: str) -> bool:
    """Whether a caller brought a model of that name to this process; the question keeps it among the newest."""
    found = _kept.pop(name, None)
    if found is None:
        return False
    _kept[name] = found
    return True


def load_schema(name: str) -> type[BaseModel]:
    """The model of that name: class `BlogPost` in `blog_post.py` for `blog_post`, or a registered one.

    Raises:
        UnknownSchema: neither a file nor registered.
        SchemaFileError: the file has no such class.
    """
    return _registered.get(name) or _of_file(name)


@cache
def _of_file(name: str) -> type[BaseModel]:
    if name not in schema_names():
        raise UnknownSchema(f"schema: expected one of {', '.join(schema_names())}, got {name[:64]!r}")
    from pydantic import BaseModel

    members = vars(import_module(f"{__name__}.{name}"))
    models = {
        member: value
        for member, value in members.items()
        if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
    }
    expected = "".join(map(str.capitalize, name.split("_")))
    found = [member for member in models if member.lower() == expected.lower()]
    # Several that differ by capitals alone: then these decide.
    chosen = found[0] if len(found) == 1 else expected
    if chosen not in models:
        raise SchemaFileError(
            f"schemas/{name}.py: expected a Pydantic model {expected}, in whatever capitals, "
            f"got {', '.join(found or models) or 'none'}"
        )
    return models[chosen]


def schemas_digest() -> str:
    """A digest of the schemas' sources."""
    digest = sha256()
    for name in schema_names():
        digest.update(name.encode() + b"\0" + (Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


@cache
def checked_schemas() -> dict[str, Any] | None:
    """What the build worked out of each schema, if these are the schemas that it checked; else None."""
    found: dict[str, Any] | None = _stamp().get("schemas")
    return found


def checked_models() -> str | None:
    """The digest of the models' file that the build checked with these schemas; None where it checked none."""
    found: str | None = _stamp().get("models")
    return found


@cache
def _stamp() -> dict[str, Any]:
    """What the build left, empty where that is of other schemas, or nothing."""
    try:
        stamp: dict[str, Any] = json.loads((Path(__file__).parent / "checked.json").read_bytes())
    except FileNotFoundError:
        return {}
    return stamp if stamp["digest"] == schemas_digest() else {}
