"""The containers that are cut: each holds what its parts became, and gives the value and its JSON when it closes.

A frame reads no text. The cutter tells it what it found (`begin`, `part`, `batch`, `take`, `close`) and it validates,
dumps, and hands out. It raises what a slice raises (slices.py), with the loc from itself on.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from pydantic_streaming.dump import Dump, dumped
from pydantic_streaming.leaf import Leaf
from pydantic_streaming.nodes import Member, Members
from pydantic_streaming.slices import Refused, Surprise, first_error, validated
from pydantic_streaming.values import Value, pointer

__all__ = ["AFTER", "ANY", "FIRST", "NEXT", "VALUE", "Frame", "MembersFrame"]


# What is read next: a first part or the end, a part after a comma, a member's value, a comma or the end.
FIRST, NEXT, VALUE, AFTER = range(4)
ANY = "", ""


class Frame:
    """A container being read.

    `path` is where its parts are handed out, None if they are not. `keeps` says whether instances are wanted; where
    they are not they are dropped as soon as they are dumped, so that a long document is a few blocks of bytes and not
    a million objects for the garbage collector to visit.

    What raises NotImplementedError is not asked of every kind: a huge string or dict has no places inside.
    """

    closer = ""

    def __init__(self, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        self.path = path
        self.keeps = keeps
        self.allow_nan = allow_nan
        self.out = out
        self.dump = Dump()
        self.count = 0

    def skeleton(self, state: int) -> str:
        """Return the shortest text that leads a parser from before the container to where it is read in `state`."""
        return ("{", '{"":0,', '{"":', '{"":0 ')[state]

    def expected(self, state: int) -> tuple[str, str]:
        """Return the two characters of which one is there when something closes; "" stands for any."""
        # Nothing can close before the next value begins, but the container itself.
        return ANY if state == VALUE else (":", "}")

    @property
    def hands_out(self) -> bool:
        """Whether the part being read is emitted, or its parts are."""
        return self.path is not None

    @property
    def takes_all(self) -> bool:
        """Whether the part being read becomes part of the value."""
        return True

    def loc(self) -> tuple[int | str, ...]:
        """Return the loc, in this container, of the part being read."""
        raise NotImplementedError

    def here(self) -> str | None:
        """Return the path of the part being read."""
        raise NotImplementedError

    def leaf(self) -> Leaf:
        """Return the place of the part being read."""
        raise NotImplementedError

    def part(self, text: str) -> None:
        """Take the text of one part."""
        raise NotImplementedError

    def take(self, value: Any, dump: Dump, emitted: bool) -> None:
        """Take a part that a frame of its own has read."""
        raise NotImplementedError

    def close(self) -> tuple[Any, bool]:
        """Return the container's value, and whether its parts were emitted in its stead."""
        raise NotImplementedError


class MembersFrame(Frame):
    """An object that becomes a model."""

    closer = "}"

    def __init__(
        self, node: Members, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]
    ) -> None:
        super().__init__(path, keeps or node.needs_parts, allow_nan, out)
        self.node = node
        self.values: dict[str, Any] = {}
        self.dumps: dict[str, Dump] = {}
        self.extras: list[tuple[str, str, bytes]] = []
        self.current = ""
        self.member: Member | None = None

    def begin(self, key: str) -> None:
        """Begin the member `key`."""
        self.current = key
        self.member = self.node.by_key.get(key)
        if key in self.values and self.path is None:
            raise Surprise(f"the key {key!r} is repeated")
        if key in self.values:
            raise Refused(
                {"type": "duplicate_key", "loc": (key,), "msg": f"Key {key!r} is repeated", "input": None}
            )
        if self.member is not None and self.member.name in self.dumps:
            raise Surprise(f"two keys feed the field {self.member.name}")

    def loc(self) -> tuple[int | str, ...]:
        return (self.member.name if self.member and not self.node.loc_by_alias else self.current,)

    def here(self) -> str | None:
        if self.path is None or self.late:
            return None
        key = self.current if self.member is None else self.member.dump_key
        return None if key is None else self.path + pointer(key)

    def leaf(self) -> Leaf:
        return self.node.extra_leaf if self.member is None else self.member.leaf

    @property
    def late(self) -> bool:
        """Whether the part being read is dumped from the instance, at the end, or not at all."""
        return self.member is not None and (
            self.member.name in self.node.late or self.member.dump_key is None
        )

    def part(self, text: str) -> None:
        leaf = self.leaf()
        try:
            value = validated(leaf.validator, text, self.allow_nan)
        except ValidationError as error:
            raise Refused(first_error(error, text), *self.loc()) from None
        dump = Dump()
        if self.member is None:
            if self.node.extra != "allow":
                return self._ignore()
            self._extra()
        if not self.late:
            piece = dumped(leaf.serializer, value)
            dump.add(piece)
            if self.path is not None:
                self.out.append(Value(self.path + pointer(self._dump_key()), piece))
        self._keep(value, dump)

    def take(self, value: Any, dump: Dump, emitted: bool) -> None:
        if not emitted and (path := self.here()) is not None:
            self.out.append(Value(path, dump.joined()))
        self._keep(value, Dump() if self.late else dump)

    def dumps_by_path(self) -> dict[str, Dump]:
        """Return the dumps of the members read so far by the paths they were emitted at."""
        names = {name: key for name, key, _ in (*self.node.dump_order, *self.extras)}
        return {pointer(names[name]): dump for name, dump in self.dumps.items() if name in names}

    def _dump_key(self) -> str:
        return self.current if self.member is None or self.member.dump_key is None else self.member.dump_key

    def _keep(self, value: Any, dump: Dump) -> None:
        # Without its value the member is still there, for the assembly to see that it is not missing.
        self.values[self.current] = value if self.keeps else None
        self.dumps[self.current if self.member is None else self.member.name] = dump
        self.count += 1

    def _extra(self) -> None:
        if self.current in self.node.reserved:
            raise Surprise(f"the extra key {self.current!r} is called like a field")
        self.extras.append((self.current, self.current, to_json(self.current) + b":"))

    def _ignore(self) -> None:
        self.values[self.current] = None
        if self.node.extra == "forbid":
            try:
                self.node.assemble.validate_python(self.values)
            except ValidationError as error:
                for details in error.errors(include_url=False, include_context=False, include_input=False):
                    if details["loc"] == (self.current,):
                        raise Refused(details) from None
            raise Surprise(f"the extra key {self.current!r} was not refused")

    def close(self) -> tuple[BaseModel, bool]:
        node = self.node
        try:
            model: BaseModel = node.assemble.validate_python(self.values)
        except ValidationError as error:
            raise Refused(first_error(error)) from None
        if type(model) is not node.model:
            raise Surprise("a model validator returned something else")
        if node.changeable and sum(dump.size_bytes for dump in self.dumps.values()) > REDUMP_MAX_BYTES:
            raise Surprise(
                f"validators have seen more than {REDUMP_MAX_BYTES} bytes, which must be dumped again"
            )
        extras = self.extras
        if node.changeable and model.__pydantic_extra__:
            extras = [(key, key, to_json(key) + b":") for key in model.__pydantic_extra__]
        lead = b"{"
        for name, key, written in (*node.dump_order, *extras, *node.computed):
            dump = self.dumps.get(name)
            if dump is None or node.changeable or name in node.late:
                piece = _member(model, name, written)
                if piece is None:
                    continue
                if dump is None or not dump.equals(piece):
                    dump = Dump()
                    dump.add(piece)
                    if self.path is not None:
                        self.out.append(Value(self.path + pointer(key), piece))
            self.dump.add(lead + written)
            self.dump.extend(dump)
            lead = b","
        self.dump.add(b"{}" if lead == b"{" else b"}")
        return model, self.path is not None and lead == b","


# Dumping this much takes about a millisecond.
REDUMP_MAX_BYTES = 300_000


def _member(model: BaseModel, name: str, written: bytes) -> bytes | None:
    whole: bytes = model.__pydantic_serializer__.to_json(model, include={name}, by_alias=True, warnings=False)
    return whole[1 + len(written) : -1] if whole.startswith(b"{" + written) else None
