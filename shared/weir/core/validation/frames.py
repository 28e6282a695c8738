"""The containers that are cut: each holds what its parts became, and gives the value and its JSON when it closes.

A frame reads no text. The cutter tells it what it found (`key`, `part`, `batch`) and it validates, dumps, and emits.
What a frame raises: `Refused` when Pydantic refuses a part, with the loc so far; `Surprise` when exactness cannot be
proved any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, SchemaSerializer, SchemaValidator, from_json, to_json

from weir.core.validation.plan import Entries, Items, Leaf, Member, Members, Text
from weir.core.validation.scanner import WHITESPACE, Slot, skip_space
from weir.core.validation.values import Value, pointer

__all__ = ["BLOCK", "Dump", "EntriesFrame", "Frame", "ItemsFrame", "MembersFrame", "NotJson", "Refused", "Surprise", "TextFrame"]

BLOCK = 65536


class Surprise(Exception):
    """Exactness cannot be proved from here on; the whole text must be judged."""


class NotJson(Exception):
    """A slice is not JSON, or not where it stands; the parser must say what it makes of the text so far."""


class Refused(Exception):
    """Pydantic refuses a part of the document."""

    def __init__(self, error: ErrorDetails, *above: str | int) -> None:
        self.type, self.message = error["type"], error["msg"]
        self.loc: tuple[int | str, ...] = (*above, *error["loc"])


class Dump:
    """Serialised bytes in blocks: small pieces are joined as they come, so that a million cost no million objects."""

    __slots__ = ("_blocks", "_last")

    def __init__(self) -> None:
        self._blocks: list[bytes | bytearray] = []
        self._last = bytearray()

    def add(self, piece: bytes | bytearray) -> None:
        """Append `piece`."""
        if len(piece) >= BLOCK:
            self._blocks += (self._last, piece)
            self._last = bytearray()
            return
        self._last += piece
        if len(self._last) >= BLOCK:
            self._blocks.append(self._last)
            self._last = bytearray()

    def extend(self, other: Dump) -> None:
        """Append what `other` holds."""
        if other._blocks:
            self._blocks += (self._last, *other._blocks)
            self._last = bytearray()
        self.add(other._last)

    def __iter__(self) -> Iterator[bytes | bytearray]:
        yield from self._blocks
        yield self._last

    def joined(self) -> bytes:
        """Return everything as one."""
        return b"".join(self) if self._blocks else bytes(self._last)


def validated(validator: SchemaValidator, text: str, allow_nan: bool) -> Any:
    """Return what `text` is validated to, by Pydantic's own parser in JSON mode."""
    if not allow_nan and ("NaN" in text or "Infinity" in text):
        try:
            from_json(text, allow_inf_nan=False)
        except ValueError:
            raise NotJson from None
    return validator.validate_json(text)


def dumped(serializer: SchemaSerializer, value: Any) -> bytes:
    """Return the JSON of `value` as `model_dump_json(by_alias=True)` writes it."""
    return serializer.to_json(value, by_alias=True, warnings=False)


def first(error: ValidationError) -> ErrorDetails:
    """Return the first of the errors that `error` lists."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if details["type"] == "json_invalid" and not details["loc"]:
        raise NotJson
    return details


class Frame:
    """A container being read. `path` is where its parts are emitted, None if they are not (`silent`)."""

    # What stands for the container, up to the next part, in a skeleton of the text (see syntax.py).
    skeleton = ""
    closer = ""

    def __init__(self, path: str | None, allow_nan: bool, out: list[Value]) -> None:
        self.path = path
        self.allow_nan = allow_nan
        self.out = out
        self.dump = Dump()
        self.count = 0

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

    def __init__(self, node: Members, path: str | None, allow_nan: bool, out: list[Value]) -> None:
        super().__init__(path, allow_nan, out)
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
        if key in self.values:
            raise Refused({"type": "duplicate_key", "loc": (key,), "msg": f"Key {key!r} is repeated", "input": None})
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
        return self.member is not None and (self.member.name in self.node.late or self.member.dump_key is None)

    def part(self, text: str) -> None:
        leaf = self.leaf()
        try:
            value = validated(leaf.validator, text, self.allow_nan)
        except ValidationError as error:
            raise Refused(first(error), *self.loc()) from None
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
        self.values[self.current] = value
        self.dumps[self.current if self.member is None else self.member.name] = dump
        self.count += 1

    def _extra(self) -> None:
        if any(self.current == key for _, key, _ in (*self.node.dump_order, *self.node.computed)):
            raise Surprise(f"the extra key {self.current!r} is dumped like a field")
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
            raise Refused(first(error)) from None
        if type(model) is not node.model:
            raise Surprise("a model validator returned something else")
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
                if dump is None or dump.joined() != piece:
                    dump = Dump()
                    dump.add(piece)
                    if self.path is not None:
                        self.out.append(Value(self.path + pointer(key), piece))
            self.dump.add(lead + written)
            self.dump.extend(dump)
            lead = b","
        self.dump.add(b"{}" if lead == b"{" else b"}")
        return model, self.path is not None and lead == b","


def _member(model: BaseModel, name: str, written: bytes) -> bytes | None:
    whole: bytes = model.__pydantic_serializer__.to_json(model, include={name}, by_alias=True, warnings=False)
    return whole[1 + len(written) : -1] if whole.startswith(b"{" + written) else None


class ItemsFrame(Frame):
    """A list."""

    closer = "]"

    def __init__(self, node: Items, path: str | None, allow_nan: bool, out: list[Value]) -> None:
        super().__init__(path, allow_nan, out)
        self.node = node
        self.values: list[Any] = []
        self.each = node.each and path is not None
        self.closers = node.closers
        self.allowed = sys.maxsize if node.max_length is None else node.max_length
        self.dump.add(b"[")

    @property
    def hands_out(self) -> bool:
        return self.path is not None and self.takes_all

    @property
    def takes_all(self) -> bool:
        return self.count < self.allowed

    def loc(self) -> tuple[int | str, ...]:
        return (self.count,)

    def here(self) -> str | None:
        return f"{self.path}/{self.count}" if self.each else None

    def leaf(self) -> Leaf:
        return self.node.element

    def part(self, text: str) -> None:
        if self.batch(text) != 1:
            raise Surprise("an element vanished from its list")

    def batch(self, text: str) -> int:
        """Take the text of elements with commas between them, and return how many they were."""
        # Of a list that is too long Pydantic says nothing else, so elements past the limit are only counted.
        validator = self.node.batch if self.count < self.allowed else ANY_LIST
        try:
            values = validated(validator, f"[{text}]", self.allow_nan)
        except (ValidationError, NotJson) as error:
            return self._one_by_one(text, error)
        self.values += values
        if self.count + len(values) > self.allowed:
            values, beyond = values[: max(0, self.allowed - self.count)], len(values)
            self._hand_out(values)
            self.count += beyond
            return beyond
        self._hand_out(values)
        self.count += len(values)
        return len(values)

    def _hand_out(self, values: list[Any]) -> None:
        if self.each:
            serializer, path, index = self.node.element.serializer, self.path, self.count
            for value in values:
                piece = dumped(serializer, value)
                self.out.append(Value(f"{path}/{index}", piece))
                self.dump.add(b"," + piece if index else piece)
                index += 1
        else:
            if self.count:
                self.dump.add(b",")
            self.dump.add(dumped(self.node.batch_dump, values)[1:-1])

    def _one_by_one(self, text: str, error: ValidationError | NotJson) -> int:
        # What stands before the wrong element is handed out whatever batch it came in, so that events do not depend
        # on how the text was chopped.
        end = Slot().end(text, skip_space(text, 0))
        if end < 0 or not text[end:].lstrip(WHITESPACE).startswith(","):
            if isinstance(error, NotJson):
                raise error
            details = first(error)
            raise Refused({**details, "loc": details["loc"][1:]}, self.count) from None
        taken = 0
        at = 0
        while (at := skip_space(text, at)) < len(text):
            end = Slot().end(text, at)
            taken += self.batch(text[at : end if end > 0 else len(text)])
            at = text.find(",", end) + 1 if end > 0 else len(text)
            if at == 0:
                break
        raise Surprise("elements are refused together and accepted one by one")

    def take(self, value: Any, dump: Dump, emitted: bool) -> None:
        if not emitted and (path := self.here()) is not None:
            self.out.append(Value(path, dump.joined()))
        if self.count:
            self.dump.add(b",")
        self.dump.extend(dump)
        self.values.append(value)
        self.count += 1

    def close(self) -> tuple[Any, bool]:
        node, value = self.node, self.values
        self.dump.add(b"]")
        emitted = self.each and self.count > 0
        try:
            if not node.min_length <= self.count <= self.allowed:
                node.limits.validate_python(value)
                raise Surprise("a list's length was refused here and not by Pydantic")
            if node.finish is not None:
                value = node.finish.validate_python(value)
                piece = dumped(node.finish_dump, value)
                if piece != self.dump.joined():
                    self.dump, emitted = Dump(), False
                    self.dump.add(piece)
        except ValidationError as error:
            raise Refused(first(error)) from None
        return value, emitted


class EntriesFrame(Frame):
    """A huge dict; its parts are not emitted."""

    closer = "}"

    def __init__(self, node: Entries, path: str | None, allow_nan: bool, out: list[Value]) -> None:
        super().__init__(None, allow_nan, out)
        self.node = node
        self.values: dict[str, Any] = {}
        # `"key":`, as the text has it, of the entry whose value is being read.
        self.key = ""
        self.dump.add(b"{")

    def loc(self) -> tuple[int | str, ...]:
        return ()

    def part(self, text: str) -> None:
        self.batch(self.key + text)

    def batch(self, text: str) -> int:
        """Take the text of entries with commas between them, and return how many they were."""
        try:
            values = validated(self.node.batch, f"{{{text}}}", self.allow_nan)
        except ValidationError as error:
            raise Refused(first(error)) from None
        self.count += len(values)
        self.values.update(values)
        if len(self.values) != self.count:
            raise Surprise("a dict's key is repeated")
        if len(self.values) > len(values):
            self.dump.add(b",")
        self.dump.add(dumped(self.node.batch_dump, values)[1:-1])
        return len(values)

    def close(self) -> tuple[Any, bool]:
        self.dump.add(b"}")
        return self.values, False


class TextFrame(Frame):
    """A huge string; its pieces are not emitted."""

    closer = '"'

    def __init__(self, node: Text, path: str | None, allow_nan: bool, out: list[Value]) -> None:
        super().__init__(None, allow_nan, out)
        self.node = node
        # Grows in place; a join of the pieces at the end would hold the string twice.
        self.value = StringIO()
        self.dump.add(b'"')

    def piece(self, text: str) -> None:
        """Take a piece of the text between the quotes that ends between characters and escapes."""
        try:
            value = STRING.validate_json(f'"{text}"')
        except ValidationError as error:
            raise Refused(first(error)) from None
        self.value.write(value)
        self.count += len(value)
        self.dump.add(to_json(value)[1:-1])

    def close(self) -> tuple[str, bool]:
        node, value = self.node, self.value.getvalue()
        if self.count < node.min_length or (node.max_length is not None and self.count > node.max_length):
            try:
                node.limits.validate_python(value)
            except ValidationError as error:
                raise Refused(first(error)) from None
            raise Surprise("a string's length was refused here and not by Pydantic")
        self.dump.add(b'"')
        return value, False


ANY_LIST = SchemaValidator({"type": "list"})
STRING = SchemaValidator({"type": "str"})
