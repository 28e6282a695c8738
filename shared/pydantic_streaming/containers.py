"""The containers that are split: each holds what its parts became, and gives the value and its JSON when it closes.

A container reads no text. The splitter tells it what it found (`begin`, `part`, `batch`, `take`, `close`) and it
validates, dumps, and hands out. It raises what a part raises (errors.py), with the loc from itself on.

Here are lists, whose elements are validated in batches and, unless they are small, are values of their own; dicts,
whose entries are values of their own where they are objects or lists; and long strings. objects.py has objects of named
fields.

A call is bounded by the piece of text that it is given. What is not: the last copy of a huge value, which has to be in
one piece to be handed out (0.5 ms a megabyte), and a dict of keys as it grows and goes (20 ms at a million).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, to_json

from pydantic_streaming.buffers import JsonBuffer, dump_json
from pydantic_streaming.errors import CannotSplit, SyntaxInvalid, ValueInvalid
from pydantic_streaming.plan import Bounds, DictPlan, ListPlan, TextPlan, ValueSchema
from pydantic_streaming.scanner import split
from pydantic_streaming.syntax import first_error, validated
from pydantic_streaming.values import Value, pointer

__all__ = [
    "AFTER",
    "ANY",
    "FIRST",
    "NEXT",
    "REDUMP_MAX_BYTES",
    "VALUE",
    "Container",
    "DictContainer",
    "ListContainer",
    "TextContainer",
]


# What is read next: a first part or the end, a part after a comma, a member's value, a comma or the end.
FIRST, NEXT, VALUE, AFTER = range(4)
ANY = "", ""


class Container:
    """A container being read.

    `path` is where its parts are handed out, None if they are not. `keeps` says whether instances are wanted; where
    they are not they are dropped as soon as they are dumped, so that a long document is a few blocks of bytes and not
    a million objects for the garbage collector to visit.

    What raises NotImplementedError is not asked of every kind: a string has no places inside.
    """

    closer = ""

    def __init__(self, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        self.path = path
        self.keeps = keeps
        self.allow_nan = allow_nan
        self.out = out
        self.dump = JsonBuffer()
        self.count = 0
        # Whether all its parts are there: what happens now happens to the whole.
        self.closing = False

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

    @property
    def reads_nested(self) -> bool:
        """Whether the part being read has parts of its own, and can be opened when it grows long."""
        return self.value_schema().nests

    def loc(self) -> tuple[int | str, ...]:
        """Return the loc, in this container, of the part being read."""
        raise NotImplementedError

    def here(self) -> str | None:
        """Return the path of the part being read."""
        raise NotImplementedError

    def value_schema(self) -> ValueSchema:
        """Return the place of the part being read."""
        raise NotImplementedError

    def part(self, text: str) -> None:
        """Take the text of one part."""
        raise NotImplementedError

    def take(self, value: Any, dump: JsonBuffer, emitted: bool) -> None:
        """Take a part that a container of its own has read."""
        raise NotImplementedError

    def close(self) -> tuple[Any, bool]:
        """Return the container's value, and whether its parts were emitted in its stead."""
        raise NotImplementedError


# Dumping this much takes about a millisecond.
REDUMP_MAX_BYTES = 300_000


def check_bounds(bounds: Bounds, count: int, example: Callable[[], Any]) -> None:
    """Refuse a value of so many parts, by what Pydantic says of an `example`, which has as many."""
    if bounds.hold(count):
        return
    try:
        bounds.validator.validate_python(example())
    except ValidationError as error:
        raise ValueInvalid(first_error(error)) from None
    raise CannotSplit("a length was refused here and not by Pydantic")


def finished(plan: ListPlan | DictPlan, value: Any, dump: JsonBuffer) -> tuple[Any, JsonBuffer | None]:
    """Return what the after-functions make of an assembled value, and its JSON where that has changed."""
    if plan.finish is None:
        return value, None
    if dump.size_bytes > REDUMP_MAX_BYTES:
        raise CannotSplit(f"a validator sees a value of more than {REDUMP_MAX_BYTES} bytes")
    try:
        value = plan.finish.validate_python(value)
    except ValidationError as error:
        raise ValueInvalid(first_error(error)) from None
    piece = dump_json(plan.finish_dump, value)
    if dump.equals(piece):
        return value, None
    changed = JsonBuffer()
    changed.add(piece)
    return value, changed


ANY_LIST = SchemaValidator({"type": "list"})
STRING = SchemaValidator({"type": "str"})


class ListContainer(Container):
    """A list, or a tuple of any length."""

    closer = "]"

    def __init__(
        self, plan: ListPlan, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]
    ) -> None:
        super().__init__(path, keeps or plan.finish is not None, allow_nan, out)
        self.plan = plan
        self.values: list[Any] = []
        self.each = plan.each and path is not None
        self.allowed = sys.maxsize if plan.bounds.max_length is None else plan.bounds.max_length
        self.dump.add(b"[")

    def skeleton(self, state: int) -> str:
        return ("[", "[0,", "[0," if self.count else "[", "[0 ")[state]

    def expected(self, state: int) -> tuple[str, str]:
        if self.hands_out and self.plan.element.open is not None:
            return self.plan.element.open.opener, "]"
        return self.plan.closers

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

    def value_schema(self) -> ValueSchema:
        return self.plan.element

    def part(self, text: str) -> None:
        if self.batch(text) != 1:
            raise CannotSplit("an element vanished from its list")

    def batch(self, text: str) -> int:
        """Take the text of elements with commas between them, and return how many they were."""
        # Of a list that is too long Pydantic says nothing else, so elements past the limit are only counted.
        if self.plan.may_omit and not self.takes_all:
            raise CannotSplit("an element that may vanish comes to a list that is full")
        validator = self.plan.batch if self.takes_all else ANY_LIST
        try:
            values = validated(validator, f"[{text}]", self.allow_nan)
        except (ValidationError, SyntaxInvalid) as error:
            return self._one_by_one(text, error)
        if self.keeps:
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
            serializer, path, index = self.plan.element.serializer, self.path, self.count
            for value in values:
                piece = dump_json(serializer, value)
                self.out.append(Value(f"{path}/{index}", piece))
                self.dump.add(b"," + piece if index else piece)
                index += 1
        else:
            if self.count:
                self.dump.add(b",")
            self.dump.add(dump_json(self.plan.batch_dump, values)[1:-1])

    def _one_by_one(self, text: str, error: ValidationError | SyntaxInvalid) -> int:
        # What stands before the wrong element is handed out whatever batch it came in, so that events do not depend
        # on how the text was chopped.
        elements = split(text)
        if len(elements) > 1:
            before = self.count
            for begin, element in elements:
                try:
                    self.batch(element)
                except ValueInvalid as invalid:
                    raise invalid.moved(begin) from None
            if self.count > self.allowed:
                return self.count - before
            raise CannotSplit("elements are refused together and accepted one by one")
        if isinstance(error, SyntaxInvalid):
            raise error
        details = first_error(error, f"[{text}]")
        raise ValueInvalid({**details, "loc": details["loc"][1:]}, self.count, text=text)

    def take(self, value: Any, dump: JsonBuffer, emitted: bool) -> None:
        if not emitted and (path := self.here()) is not None:
            self.out.append(Value(path, dump.joined()))
        if self.count:
            self.dump.add(b",")
        self.dump.extend(dump)
        if self.keeps:
            self.values.append(value)
        self.count += 1

    def close(self) -> tuple[Any, bool]:
        self.dump.add(b"]")
        make = self.plan.make
        check_bounds(self.plan.bounds, self.count, lambda: make([None] * self.count))
        values = self.values if make is list else make(self.values)
        value, changed = finished(self.plan, values, self.dump)
        if changed is not None:
            self.dump = changed
            return value, False
        return value, self.each and self.count > 0


class DictContainer(Container):
    """A dict with text keys."""

    closer = "}"

    def __init__(
        self, plan: DictPlan, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]
    ) -> None:
        super().__init__(path if plan.each else None, keeps or plan.finish is not None, allow_nan, out)
        self.plan = plan
        self.values: dict[str, Any] = {}
        # `"key":`, as the text has it, of the entry whose value is being read, and the key itself.
        self.key = ""
        self.current = ""
        self.dump.add(b"{")

    def begin(self, key: str, current: str) -> None:
        """Begin an entry."""
        self.key, self.current = key, current
        if self.path is not None and current in self.values:
            raise ValueInvalid(repeated(current))

    def loc(self) -> tuple[int | str, ...]:
        return (self.current,)

    def here(self) -> str | None:
        return None if self.path is None else self.path + pointer(self.current)

    def value_schema(self) -> ValueSchema:
        return self.plan.value

    def part(self, text: str) -> None:
        self.batch(self.key + text)

    def batch(self, text: str) -> int:
        """Take the text of entries with commas between them, and return how many they were."""
        try:
            values = validated(self.plan.batch, f"{{{text}}}", self.allow_nan)
        except (ValidationError, SyntaxInvalid) as error:
            entries = split(text, named=True)
            if len(entries) > 1:
                # The first wrong entry is the one to report, in whatever batch it came.
                for begin, entry in entries:
                    try:
                        self.batch(entry)
                    except ValueInvalid as invalid:
                        raise invalid.moved(begin) from None
                raise CannotSplit("entries are refused together and accepted one by one") from None
            if isinstance(error, SyntaxInvalid):
                raise
            raise ValueInvalid(first_error(error, f"{{{text}}}"), text=text) from None
        dump = dump_json(self.plan.batch_dump, values)[1:-1]
        self._keep(values, dump)
        if self.path is not None:
            [key] = values
            self.out.append(
                Value(self.path + pointer(key), dump_json(self.plan.value.serializer, values[key]))
            )
        return len(values)

    def take(self, value: Any, dump: JsonBuffer, emitted: bool) -> None:
        try:
            [key] = self.plan.keys.validate_json(f"{{{self.key}null}}")
        except ValidationError as error:
            raise ValueInvalid(first_error(error)) from None
        if not emitted and self.path is not None:
            self.out.append(Value(self.path + pointer(key), dump.joined()))
        self._keep({key: value}, to_json(key) + b":")
        self.dump.extend(dump)

    def _keep(self, values: dict[str, Any], dump: bytes) -> None:
        if self.count:
            self.dump.add(b",")
        self.dump.add(dump)
        self.count += len(values)
        self.values.update(values if self.keeps else dict.fromkeys(values))
        if len(self.values) != self.count:
            raise CannotSplit("a dict's key is repeated")

    def close(self) -> tuple[Any, bool]:
        self.dump.add(b"}")
        check_bounds(self.plan.bounds, self.count, lambda: dict.fromkeys(self.values))
        value, changed = finished(self.plan, self.values, self.dump)
        if changed is not None:
            self.dump = changed
            return value, False
        return value, self.path is not None and self.count > 0


def repeated(key: str) -> Any:
    """Return the error that a repeated key is: its first value was handed out."""
    return {"type": "duplicate_key", "loc": (key,), "msg": f"Key {key!r} is repeated", "input": None}


class TextContainer(Container):
    """A long string; its pieces are not emitted."""

    closer = '"'

    def __init__(
        self, plan: TextPlan, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]
    ) -> None:
        super().__init__(None, keeps, allow_nan, out)
        self.plan = plan
        # Grows in place; a join of the pieces at the end would hold the string twice.
        self.value = StringIO()
        self.dump.add(b'"')

    def skeleton(self, state: int) -> str:
        return '"'

    def expected(self, state: int) -> tuple[str, str]:
        return '"', '"'

    @property
    def reads_nested(self) -> bool:
        return False

    def loc(self) -> tuple[int | str, ...]:
        return ()

    def part(self, text: str) -> None:
        try:
            value = STRING.validate_json(f'"{text}"')
        except ValidationError:
            raise SyntaxInvalid from None
        if self.keeps:
            self.value.write(value)
        self.count += len(value)
        self.dump.add(to_json(value)[1:-1])

    def close(self) -> tuple[str, bool]:
        check_bounds(self.plan.bounds, self.count, lambda: "x" * self.count)
        self.dump.add(b'"')
        return self.value.getvalue(), False
