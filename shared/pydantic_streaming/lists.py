"""The frame of a list: elements are validated in batches and, unless they are small, are values of their own."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator

from pydantic_streaming.dump import Dump, dumped
from pydantic_streaming.frames import REDUMP_MAX_BYTES, Frame
from pydantic_streaming.leaf import Leaf
from pydantic_streaming.nodes import Items
from pydantic_streaming.scanner import split
from pydantic_streaming.slices import NotJson, Refused, Surprise, first_error, validated
from pydantic_streaming.values import Value

__all__ = ["ItemsFrame"]

ANY_LIST = SchemaValidator({"type": "list"})


class ItemsFrame(Frame):
    """A list."""

    closer = "]"

    def __init__(self, node: Items, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        super().__init__(path, keeps or node.finish is not None, allow_nan, out)
        self.node = node
        self.values: list[Any] = []
        self.each = node.each and path is not None
        self.allowed = sys.maxsize if node.max_length is None else node.max_length
        self.dump.add(b"[")

    def skeleton(self, state: int) -> str:
        return ("[", "[0,", "[0," if self.count else "[", "[0 ")[state]

    def expected(self, state: int) -> tuple[str, str]:
        return ("{", "]") if self.hands_out and self.node.element.open else self.node.closers

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
        if self.node.may_omit and not self.takes_all:
            raise Surprise("an element that may vanish comes to a list that is full")
        validator = self.node.batch if self.takes_all else ANY_LIST
        try:
            values = validated(validator, f"[{text}]", self.allow_nan)
        except (ValidationError, NotJson) as error:
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
        elements = split(text)
        if len(elements) > 1:
            before = self.count
            for element in elements:
                self.batch(element)
            if self.count > self.allowed:
                return self.count - before
            raise Surprise("elements are refused together and accepted one by one")
        if isinstance(error, NotJson):
            raise error
        details = first_error(error, f"[{text}]")
        raise Refused({**details, "loc": details["loc"][1:]}, self.count)

    def take(self, value: Any, dump: Dump, emitted: bool) -> None:
        if not emitted and (path := self.here()) is not None:
            self.out.append(Value(path, dump.joined()))
        if self.count:
            self.dump.add(b",")
        self.dump.extend(dump)
        if self.keeps:
            self.values.append(value)
        self.count += 1

    def close(self) -> tuple[Any, bool]:
        node, value = self.node, self.values
        self.dump.add(b"]")
        emitted = self.each and self.count > 0
        try:
            if not node.min_length <= self.count <= self.allowed:
                node.limits.validate_python([None] * self.count)
                raise Surprise("a list's length was refused here and not by Pydantic")
            if node.finish is not None and self.dump.size_bytes > REDUMP_MAX_BYTES:
                raise Surprise(f"a validator sees a list of more than {REDUMP_MAX_BYTES} bytes")
            if node.finish is not None:
                value = node.finish.validate_python(value)
                piece = dumped(node.finish_dump, value)
                if not self.dump.equals(piece):
                    self.dump, emitted = Dump(), False
                    self.dump.add(piece)
        except ValidationError as error:
            raise Refused(first_error(error)) from None
        return value, emitted
