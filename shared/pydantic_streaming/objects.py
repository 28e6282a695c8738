"""The container of an object that becomes a model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from pydantic_streaming.buffers import JsonBuffer, dump_json
from pydantic_streaming.containers import REDUMP_MAX_BYTES, Container
from pydantic_streaming.errors import CannotSplit, ValueInvalid
from pydantic_streaming.plan import FieldPlan, ObjectPlan, ValueSchema
from pydantic_streaming.syntax import first_error, validated
from pydantic_streaming.values import Value, pointer

__all__ = ["ObjectContainer"]


class ObjectContainer(Container):
    """An object that becomes a model."""

    closer = "}"

    def __init__(
        self, plan: ObjectPlan, path: str | None, keeps: bool, allow_nan: bool, out: list[Value]
    ) -> None:
        super().__init__(path, keeps or plan.needs_parts, allow_nan, out)
        self.plan = plan
        self.values: dict[str, Any] = {}
        self.dumps: dict[str, JsonBuffer] = {}
        self.extras: list[tuple[str, str, bytes]] = []
        self.current = ""
        self.member: FieldPlan | None = None

    def begin(self, key: str) -> None:
        """Begin the member `key`."""
        self.current = key
        self.member = self.plan.by_key.get(key)
        if key in self.values and self.path is None:
            raise CannotSplit(f"the key {key!r} is repeated")
        if key in self.values:
            raise ValueInvalid(
                {"type": "duplicate_key", "loc": (key,), "msg": f"Key {key!r} is repeated", "input": None}
            )
        if self.member is not None and self.member.name in self.dumps:
            raise CannotSplit(f"two keys feed the field {self.member.name}")

    def loc(self) -> tuple[int | str, ...]:
        return (self.member.name if self.member and not self.plan.loc_by_alias else self.current,)

    def here(self) -> str | None:
        if self.path is None or self.late:
            return None
        key = self.current if self.member is None else self.member.dump_key
        return None if key is None else self.path + pointer(key)

    def value_schema(self) -> ValueSchema:
        return self.plan.extra_value if self.member is None else self.member.value_schema

    @property
    def late(self) -> bool:
        """Whether the part being read is dumped from the instance, at the end, or not at all."""
        return self.member is not None and (
            self.member.name in self.plan.late or self.member.dump_key is None
        )

    def part(self, text: str) -> None:
        value_schema = self.value_schema()
        try:
            value = validated(value_schema.validator, text, self.allow_nan)
        except ValidationError as error:
            raise ValueInvalid(first_error(error, text), *self.loc()) from None
        dump = JsonBuffer()
        if self.member is None:
            if self.plan.extra != "allow":
                return self._ignore()
            self._extra()
        if not self.late:
            piece = dump_json(value_schema.serializer, value)
            dump.add(piece)
            if self.path is not None:
                self.out.append(Value(self.path + pointer(self._dump_key()), piece))
        self._keep(value, dump)

    def take(self, value: Any, dump: JsonBuffer, emitted: bool) -> None:
        if not emitted and (path := self.here()) is not None:
            self.out.append(Value(path, dump.joined()))
        self._keep(value, JsonBuffer() if self.late else dump)

    def dumps_by_path(self) -> dict[str, JsonBuffer]:
        """Return the dumps of the members read so far by the paths they were emitted at."""
        names = {name: key for name, key, _ in (*self.plan.dump_order, *self.extras)}
        return {pointer(names[name]): dump for name, dump in self.dumps.items() if name in names}

    def _dump_key(self) -> str:
        return self.current if self.member is None or self.member.dump_key is None else self.member.dump_key

    def _keep(self, value: Any, dump: JsonBuffer) -> None:
        # Without its value the member is still there, for the assembly to see that it is not missing.
        self.values[self.current] = value if self.keeps else None
        self.dumps[self.current if self.member is None else self.member.name] = dump
        self.count += 1

    def _extra(self) -> None:
        if self.current in self.plan.reserved:
            raise CannotSplit(f"the extra key {self.current!r} is called like a field")
        self.extras.append((self.current, self.current, to_json(self.current) + b":"))

    def _ignore(self) -> None:
        self.values[self.current] = None
        if self.plan.extra == "forbid":
            try:
                self.plan.assemble.validate_python(self.values)
            except ValidationError as error:
                for details in error.errors(include_url=False, include_context=False, include_input=False):
                    if details["loc"] == (self.current,):
                        raise ValueInvalid(details) from None
            raise CannotSplit(f"the extra key {self.current!r} was not refused")

    def close(self) -> tuple[BaseModel, bool]:
        plan = self.plan
        try:
            model: BaseModel = plan.assemble.validate_python(self.values)
        except ValidationError as error:
            raise ValueInvalid(first_error(error)) from None
        if type(model) is not plan.model:
            raise CannotSplit("a model validator returned something else")
        if plan.changeable and sum(dump.size_bytes for dump in self.dumps.values()) > REDUMP_MAX_BYTES:
            raise CannotSplit(
                f"validators have seen more than {REDUMP_MAX_BYTES} bytes, which must be dumped again"
            )
        extras = self.extras
        if plan.changeable and model.__pydantic_extra__:
            extras = [(key, key, to_json(key) + b":") for key in model.__pydantic_extra__]
        lead = b"{"
        for name, key, written in (*plan.dump_order, *extras, *plan.computed):
            dump = self.dumps.get(name)
            if dump is None or plan.changeable or name in plan.late:
                piece = _member(model, name, written)
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
        return model, self.path is not None and lead == b","


def _member(model: BaseModel, name: str, written: bytes) -> bytes | None:
    whole: bytes = model.__pydantic_serializer__.to_json(model, include={name}, by_alias=True, warnings=False)
    return whole[1 + len(written) : -1] if whole.startswith(b"{" + written) else None
