"""The frames of values that are cut only because they are huge: dicts and strings. Their parts are not handed out.

A call is bounded by the piece of text that it is given. What is not: the last copy of a huge value, which has to be in
one piece to be handed out (0.5 ms a megabyte), and a dict of keys as it grows and goes (20 ms at a million).
"""

from __future__ import annotations

from io import StringIO
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, to_json

from pydantic_streaming.dump import dumped
from pydantic_streaming.frames import Frame
from pydantic_streaming.nodes import Entries, Text
from pydantic_streaming.scanner import split
from pydantic_streaming.slices import NotJson, Refused, Surprise, first_error, validated
from pydantic_streaming.values import Value

__all__ = ["EntriesFrame", "TextFrame"]

STRING = SchemaValidator({"type": "str"})


class EntriesFrame(Frame):
    """A huge dict; its parts are not emitted."""

    closer = "}"

    def __init__(
        self, node: Entries, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]
    ) -> None:
        super().__init__(None, keeps, allow_nan, out)
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
        except (ValidationError, NotJson) as error:
            entries = split(text, named=True)
            if len(entries) > 1:
                # The first wrong entry is the one to report, in whatever batch it came.
                for entry in entries:
                    self.batch(entry)
                raise Surprise("entries are refused together and accepted one by one") from None
            if isinstance(error, NotJson):
                raise
            raise Refused(first_error(error, f"{{{text}}}")) from None
        if self.count:
            self.dump.add(b",")
        self.count += len(values)
        self.values.update(values if self.keeps else dict.fromkeys(values))
        if len(self.values) != self.count:
            raise Surprise("a dict's key is repeated")
        self.dump.add(dumped(self.node.batch_dump, values)[1:-1])
        return len(values)

    def close(self) -> tuple[Any, bool]:
        self.dump.add(b"}")
        return self.values, False


class TextFrame(Frame):
    """A huge string; its pieces are not emitted."""

    closer = '"'

    def __init__(self, node: Text, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        super().__init__(None, keeps, allow_nan, out)
        self.node = node
        # Grows in place; a join of the pieces at the end would hold the string twice.
        self.value = StringIO()
        self.dump.add(b'"')

    def skeleton(self, state: int) -> str:
        return '"'

    def expected(self, state: int) -> tuple[str, str]:
        return '"', '"'

    def loc(self) -> tuple[int | str, ...]:
        return ()

    def part(self, text: str) -> None:
        try:
            value = STRING.validate_json(f'"{text}"')
        except ValidationError:
            raise NotJson from None
        if self.keeps:
            self.value.write(value)
        self.count += len(value)
        self.dump.add(to_json(value)[1:-1])

    def close(self) -> tuple[str, bool]:
        node = self.node
        if self.count < node.min_length or (node.max_length is not None and self.count > node.max_length):
            try:
                node.limits.validate_python("x" * self.count)
            except ValidationError as error:
                raise Refused(first_error(error)) from None
            raise Surprise("a string's length was refused here and not by Pydantic")
        self.dump.add(b'"')
        return self.value.getvalue(), False
