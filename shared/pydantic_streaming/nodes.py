"""The kinds of values that are cut, as plain tables: what validates, dumps and bounds each (made in leaf.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel
from pydantic_core import SchemaSerializer, SchemaValidator

if TYPE_CHECKING:
    from pydantic_streaming.leaf import Leaf

__all__ = ["Entries", "Items", "Member", "Members", "Node", "Text"]


@dataclass(slots=True, eq=False)
class Items:
    """A list: elements are validated in batches by a list schema of their own; `finish` sees the assembled list."""

    opener: ClassVar[str] = "["
    batch: SchemaValidator
    batch_dump: SchemaSerializer
    element: Leaf
    # The elements are values of their own. Numbers and the like are not: the list is one value when it closes.
    each: bool
    # What an element begins with, if nothing else will do, and the characters that can end it or the list.
    begins: str
    closers: tuple[str, str]
    # An element may vanish from its list, so elements are validated one at a time.
    may_omit: bool
    min_length: int
    max_length: int | None
    limits: SchemaValidator
    # The after-functions, and the dump of what they return.
    finish: SchemaValidator | None
    finish_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class Entries:
    """A huge dict with text keys: entries are validated in batches by the dict schema itself."""

    opener: ClassVar[str] = "{"
    batch: SchemaValidator
    batch_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class Text:
    """A huge string without conditions but its length: decoded and dumped piece by piece."""

    opener: ClassVar[str] = '"'
    min_length: int
    max_length: int | None
    limits: SchemaValidator


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A field of a cut object: its name, its key in the text, its key in the dump, None where it is not dumped."""

    name: str
    dump_key: str | None
    leaf: Leaf


@dataclass(slots=True, eq=False)
class Members:
    """An object that becomes a model: members by their keys in the text, and the model's schema around `any`."""

    opener: ClassVar[str] = "{"
    model: type[BaseModel]
    by_key: dict[str, Member]
    assemble: SchemaValidator
    loc_by_alias: bool
    extra: str
    extra_leaf: Leaf
    # (name, key in the dump, `"key":`) of everything dumped, in the order of the dump.
    dump_order: tuple[tuple[str, str, bytes], ...]
    computed: tuple[tuple[str, str, bytes], ...]
    # Names of what is dumped from the assembled instance: its serializer is a method of the model, or it may be left
    # out of the dump.
    late: frozenset[str]
    # What fields are called, in the class and in the dump.
    reserved: frozenset[str]
    # Functions see the instance last and may change it, so what was dumped before must be compared.
    changeable: bool

    @property
    def needs_parts(self) -> bool:
        """Whether something is computed from the instance, so that it must have its parts."""
        return bool(self.changeable or self.late or self.computed)


Node = Items | Entries | Text | Members
