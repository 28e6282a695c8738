"""Which models are validated piece by piece and which whole: decided once per model, with the reasons.

A model is cut when assembling it from validated parts cannot be told from validating its text. Judged whole are, among
others, models with before- or wrap-validators (they see the whole input), with an `__init__` or a model serializer of
their own, with alias paths, or with field validators that read other fields: see `plan_for(Model).reasons`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel
from pydantic_core import SchemaError

from pydantic_streaming.coreschema import Schema
from pydantic_streaming.leaf import Leaf, members
from pydantic_streaming.nodes import Items, Members

__all__ = ["Plan", "plan_for"]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How texts of `model` are validated: piece by piece under `root`, or whole, for these `reasons`."""

    model: type[BaseModel]
    root: Members | None
    reasons: tuple[str, ...] = ()
    # The model's own config opts in to NaN and Infinity by saying so; Pydantic's silent default does not count.
    allow_nan: bool = False

    @property
    def cut(self) -> bool:
        """Whether texts are cut."""
        return self.root is not None

    def describe(self) -> dict[str, str]:
        """Return for each key in the text how its value is validated: "elements", "members", "list" or "value"."""
        return {} if self.root is None else {key: _how(m.leaf) for key, m in self.root.by_key.items()}


def _how(leaf: Leaf) -> str:
    match leaf.open:
        case Items(each=True):
            return "elements"
        case Items():
            return "list"
        case Members():
            return "members"
        case _:
            return "value"


@cache
def plan_for(model: type[BaseModel]) -> Plan:
    """Return the plan of `model`, made at the first call and kept for good."""
    if not model.__pydantic_complete__:
        model.model_rebuild()
    allow_nan = model.model_config.get("allow_inf_nan") is True
    # Bound methods are made anew at each access; the function under them is not. (mypy takes them for plain functions.)
    if model.model_validate_json.__func__ is not BaseModel.model_validate_json.__func__:  # type: ignore[attr-defined]
        return Plan(model, None, ("model_validate_json is overridden",), allow_nan)
    if model.model_dump_json is not BaseModel.model_dump_json:
        return Plan(model, None, ("model_dump_json is overridden",), allow_nan)
    schema: Schema = model.__pydantic_core_schema__
    definitions: dict[str, Schema] = {}
    if schema["type"] == "definitions":
        definitions = {d["ref"]: d for d in schema["definitions"]}
        schema = schema["schema"]
    try:
        root = members(schema, definitions)
    except (LookupError, TypeError, SchemaError) as error:
        # A core schema that this version of Pydantic does not build from parts.
        root = (f"its schema cannot be taken apart: {error!r}",)
    return (
        Plan(model, root, (), allow_nan) if isinstance(root, Members) else Plan(model, None, root, allow_nan)
    )
