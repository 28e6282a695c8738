"""Named tuples whose classes cost little to make: for those that a cold start makes before it asks.

`typing.NamedTuple` compiles a constructor for each class, a dataclass several methods. Here one constructor serves all
classes, and looks the fields up: what is made for each delta of an answer, or each row of the ledger, is a named tuple.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar, Self, dataclass_transform


class _LightTupleType(type):
    """Makes each annotated member of a class a place in its tuple, in the order in which they are written."""

    def __new__(mcs, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> "_LightTupleType":
        made: Any = super().__new__(mcs, name, bases, {**members, "__slots__": ()})
        made._fields = tuple(made.__annotations__) if bases != (tuple,) else ()
        made.__match_args__ = made._fields  # type: ignore[misc]  # final in a dataclass, which mypy takes it for
        made._defaults = {field: members[field] for field in made._fields if field in members}
        for number, field in enumerate(made._fields):
            setattr(made, field, property(itemgetter(number)))
        return made  # type: ignore[no-any-return]  # a class of its own fields, which nobody can annotate


@dataclass_transform(frozen_default=True)
class LightTuple(tuple[Any, ...], metaclass=_LightTupleType):
    """A base class: members with annotations are fields, those with a value are optional, as in a named tuple."""

    _fields: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[Mapping[str, Any]]

    def __new__(cls, *values: Any, **named: Any) -> Self:
        if named or len(values) != len(cls._fields):
            values = (*values, *cls._rest(values, named))
        return tuple.__new__(cls, values)

    @classmethod
    def _rest(cls, values: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """The fields behind those that were given by their place."""
        names = cls._fields[len(values) :]
        given = {**cls._defaults, **named}
        if len(values) > len(cls._fields) or not set(named) <= set(names) <= set(given):
            got = ", ".join((*(["_"] * len(values)), *named))
            raise TypeError(f"{cls.__name__}: expected {', '.join(cls._fields)}, each once, got {got}")
        return [given[name] for name in names]

    def _asdict(self) -> dict[str, Any]:
        """The values by their fields' names."""
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, **changes: Any) -> Self:
        """The same with other values of some fields."""
        return type(self)(**self._asdict() | changes)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        fields = (f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({', '.join(fields)})"
