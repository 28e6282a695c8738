"""The container of an object of named fields: what becomes a model, a dataclass or a typed dict."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from pydantic_streaming.buffers import JsonBuffer, dump_json
from pydantic_streaming.containers import REDUMP_MAX_BYTES, Container, repeated
from pydantic_streaming.errors import CannotSplit, ValueInvalid
from pydantic_streaming.plan import FieldPlan, ObjectPlan, ValueSchema
from pydantic_streaming.syntax import first_error, validated
from pydantic_streaming.values import Value, pointer

__all__ = ["ObjectContainer"]


# So many are no document, and to find where each ends takes longer than to parse them all at the end.
MAX_UNKNOWN = 1000


class Provisional(NamedTuple):
    """A value under a key that counts only if a better one does not come: what it became, or what is wrong with it."""

    key: str
    value: Any
    dump: JsonBuffer
    invalid: ValueInvalid | None


class ObjectContainer(Container):
    """An object.

    A field may have other keys than the first: choices of an alias, its name beside its alias. What stands under one of
    them is validated when it closes, and handed out, or refused, when the object does.
    """

    closer = "}"

    def __init__(
        self, plan: ObjectPlan, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]
    ) -> None:
        super().__init__(path, keeps or plan.needs_parts, allow_nan, out)
        self.plan = plan
        # Values by key and dumps by name, of members that are dumped (an extra one has its key for a name).
        self.values: dict[str, Any] = {}
        self.dumps: dict[str, JsonBuffer] = {}
        self.extras: list[tuple[str, str, bytes]] = []
        self.provisional: dict[str, Provisional] = {}
        self.unknown = 0
        self.current = ""
        self.field: FieldPlan | None = None
        # Whether the key being read counts only if no better one comes.
        self.other = False

    def begin(self, key: str) -> None:
        """Begin the member `key`."""
        plan = self.plan
        self.current = key
        self.field = plan.by_key.get(key)
        self.other = False
        if self.field is not None:
            if self.provisional.pop(self.field.name, None) is not None and plan.extra != "ignore":
                raise CannotSplit(f"two keys feed the field {self.field.name}")
        elif (other := plan.by_other_key.get(key)) is not None:
            before = self.provisional.get(other.name)
            if before is not None and before.key != key:
                raise CannotSplit(f"two keys feed the field {other.name}")
            if other.name not in self.dumps:
                self.field, self.other = other, True
            elif plan.extra != "ignore":
                raise CannotSplit(f"two keys feed the field {other.name}")
        known = key in self.values or (self.other and self.field and self.field.name in self.provisional)
        if known and self.field is not None and self.path is not None:
            raise ValueInvalid(repeated(key))

    @property
    def hands_out(self) -> bool:
        return self.path is not None and not self.other

    @property
    def takes_all(self) -> bool:
        return not self.other

    def loc(self) -> tuple[int | str, ...]:
        return (self.field.name if self.field and not self.plan.loc_by_alias else self.current,)

    def here(self) -> str | None:
        if self.path is None or self.late:
            return None
        at = pointer(self.current) if self.field is None else self.field.pointer
        return None if at is None else self.path + at

    def value_schema(self) -> ValueSchema:
        return self.plan.extra_value if self.field is None else self.field.value_schema

    @property
    def late(self) -> bool:
        """Whether the part being read is dumped from the instance, at the end, or not at all."""
        return self.field is not None and (self.field.pointer is None or self.field.name in self.plan.late)

    def part(self, text: str) -> None:
        schema = self.value_schema()
        try:
            value = validated(schema.validator, text, self.allow_nan)
        except ValidationError as error:
            invalid = ValueInvalid(first_error(error, text), *self.loc(), text=text)
            if not self.other or self.field is None:
                raise invalid from None
            self.provisional[self.field.name] = Provisional(self.current, None, JsonBuffer(), invalid)
            return
        if self.field is None and self.plan.extra != "allow":
            if self.plan.extra == "forbid":
                self._forbid()
            self.unknown += 1
            if self.unknown > MAX_UNKNOWN:
                raise CannotSplit(f"more than {MAX_UNKNOWN} members that no field knows")
            return
        dump = JsonBuffer()
        if not self.late:
            dump.add(dump_json(schema.serializer, value))
        if self.other and self.field is not None:
            self.provisional[self.field.name] = Provisional(self.current, value, dump, None)
        else:
            self.take(value, dump, False)

    def take(self, value: Any, dump: JsonBuffer, emitted: bool) -> None:
        name = self.current if self.field is None else self.field.name
        if self.field is None and name in self.plan.reserved:
            raise CannotSplit(f"the extra key {name!r} is called like a field")
        if not emitted and (path := self.here()) is not None:
            self.out.append(Value(path, dump.joined()))
        if self.field is None and name not in self.dumps:
            self.extras.append((name, name, to_json(name) + b":"))
        # Without its value the member is still there, for the assembly to see that it is not missing.
        self.values[self.current] = value if self.keeps else None
        self.dumps[name] = JsonBuffer() if self.late else dump
        self.count += 1

    def dumps_by_path(self) -> dict[str, JsonBuffer]:
        """Return the dumps of the members read so far by the paths they were emitted at."""
        names = {name: key for name, key, _ in (*self.plan.dump_order, *self.extras)}
        return {pointer(names[name]): dump for name, dump in self.dumps.items() if name in names}

    def _forbid(self) -> None:
        if self.current in self.plan.reserved:
            # By its name where it has an alias: Pydantic 2.13 takes no notice of it in JSON, 2.14 refuses it.
            raise CannotSplit(f"the extra key {self.current!r} is called like a field")
        try:
            self.plan.assemble.validate_python({**self.values, self.current: None})
        except ValidationError as error:
            for details in error.errors(include_url=False, include_context=False, include_input=False):
                if details["loc"] == (self.current,):
                    raise ValueInvalid(details) from None
        raise CannotSplit(f"the extra key {self.current!r} was not refused")

    def close(self) -> tuple[Any, bool]:
        plan = self.plan
        self._settle_provisional()
        try:
            instance = plan.assemble.validate_python(self.values)
        except ValidationError as error:
            raise ValueInvalid(first_error(error)) from None
        if type(instance) is not plan.cls:
            raise CannotSplit("a model validator returned something else")
        if plan.changeable and sum(dump.size_bytes for dump in self.dumps.values()) > REDUMP_MAX_BYTES:
            raise CannotSplit(
                f"validators have seen more than {REDUMP_MAX_BYTES} bytes, which must be dumped again"
            )
        extras = self.extras
        if plan.changeable and getattr(instance, "__pydantic_extra__", None):
            extras = [(key, key, to_json(key) + b":") for key in instance.__pydantic_extra__]
        self.field, self.closing = None, False
        lead = b"{"
        for name, key, written in (*plan.dump_order, *extras, *plan.computed):
            dump = self.dumps.get(name)
            if dump is None or plan.changeable or name in plan.late:
                self.current = name
                piece = self._dump_member(instance, name, written)
                if piece is None:
                    continue
                if dump is None or not dump.equals(piece):
                    dump = JsonBuffer()
                    dump.add(piece)
                    if self.path is not None:
                        self.out.append(Value(self.path + pointer(key), piece))
            self.dump.add(lead + written)
            self.dump.extend(dump)
            lead = b","
        self.dump.add(b"{}" if lead == b"{" else b"}")
        return instance, self.path is not None and lead == b","

    def _settle_provisional(self) -> None:
        for key, value, dump, invalid in self.provisional.values():
            if invalid is not None:
                raise invalid
            self.current, self.field = key, self.plan.by_other_key[key]
            self.take(value, dump, False)

    def _dump_member(self, instance: Any, name: str, written: bytes) -> bytes | None:
        whole: bytes = self.plan.dump.to_json(instance, include={name}, by_alias=True, warnings=False)
        return whole[1 + len(written) : -1] if whole.startswith(b"{" + written) else None
