"""Generated Pydantic models: every feature that could tell a document assembled from parts from one validated whole.

`model(random)` draws a model; the same draws give the same model. Classes are kept, because making one costs as much as
a hundred cases.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, NamedTuple, Required
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    Base64Bytes,
    Base64Str,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretStr,
    ValidationInfo,
    WrapValidator,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import PydanticOmit, PydanticUseDefault
from typing_extensions import TypedDict

KEYS = ("a", "b", "c", "d/e", "f~g", "é", "items", "x y", "😀")


class Color(Enum):
    RED = "red"
    BLUE = 2


class Point(BaseModel):
    x: float
    y: int = 0


class Note(BaseModel):
    model_config = ConfigDict(extra="allow")
    text: str = Field(min_length=1)


class Pet(BaseModel):
    kind: Literal["cat", "dog"]
    name: str = "tom"


class Robot(BaseModel):
    kind: Literal["robot"]
    serial: int


class Section(BaseModel):
    heading: str
    notes: list[Note] = []
    points: list[Point] = Field(default=[], max_length=4)


class Chapter(BaseModel):
    title: str = Field(alias="Title")
    sections: list[Section]
    summary: str | None = None

    @model_validator(mode="after")
    def titled(self) -> Chapter:
        if self.title == "bad":
            raise ValueError("a bad title")
        return self


class Tree(BaseModel):
    name: str = "n"
    children: list[Tree] = []


class Before(BaseModel):
    n: int

    @model_validator(mode="before")
    @classmethod
    def seen(cls, data: Any) -> Any:
        return {**data, "n": data["n"] + 1} if isinstance(data, dict) and type(data.get("n")) is int else data


class Twice(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def add(cls, n: int, info: ValidationInfo) -> int:
        if info.data:
            raise ValueError("data")
        return n + 1

    @computed_field
    def double(self) -> int:
        return self.n * 2


class Box[T](BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    inside: T
    more: list[T] = []


class Timed(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float", ser_json_inf_nan="strings", populate_by_name=True)
    span: timedelta = Field(default=timedelta(1), alias="Span")
    other: Any = None
    notes: list[Note] = []


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="allow")
    first_name: str
    all_notes: list[Note] = []

    @computed_field
    def how_many(self) -> int:
        return len(self.all_notes)


class Numbers(RootModel[list[int]]):
    pass


@pydantic_dataclass
class Pair:
    left: int
    right: list[int] = field(default_factory=list)


@dataclass
class Plain:
    name: str
    size: int = 0


class Typed(TypedDict, total=False):
    a: int
    b: Required[list[str]]


class Loose(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    notes: list[Note]
    by_name: dict[str, Point]
    n: Required[int]


@pydantic_dataclass(config=ConfigDict(populate_by_name=True, extra="forbid"))
class Album:
    title: str = Field(alias="Title")
    notes: list[Note] = Field(default_factory=list)
    n: int = Field(default=0, ge=0)

    def __post_init__(self) -> None:
        if self.n == 7:
            raise ValueError("seven")

    @computed_field
    def count(self) -> int:
        return len(self.notes)


@dataclass
class Shelf:
    albums: list[Album]
    parts: tuple[Section, ...] = ()
    named: dict[Literal["a", "b", "é"], Note] = field(default_factory=dict)


class Spelled(BaseModel):
    model_config = ConfigDict(loc_by_alias=False, populate_by_name=True)
    a: int = Field(alias="x", default=0)
    b: list[Note] = Field(validation_alias=AliasChoices("b", "x y", "z"), default=[])
    c: str = Field(alias="d/e", default="")


class Row(NamedTuple):
    a: int
    b: str = "b"


class Level(StrEnum):
    LOW = "low"
    HIGH = "high"


def _use_default(value: Any) -> Any:
    if value == 7:
        raise PydanticUseDefault
    return value


def _positive(value: Any) -> Any:
    if isinstance(value, int) and value < 0:
        raise ValueError("negative")
    return value


def _omit_three(value: Any) -> Any:
    if value == 3:
        raise PydanticOmit
    return value


def _named(value: Any, info: ValidationInfo) -> Any:
    if info.mode == "json" and info.field_name in ("a", "b") and value == 3:
        raise ValueError(f"three in {info.field_name}")
    return value


def _breaks(value: Any) -> Any:
    if value == 49:
        raise KeyError("a bug")
    return value


def _identity(value: Any) -> Any:
    return value


def _sorted(value: list[Any]) -> list[Any]:
    return sorted(value)


def _reads(value: Any, info: ValidationInfo) -> Any:
    assert info.data is not None
    return value


SCALARS: tuple[Any, ...] = (
    str,
    int,
    float,
    bool,
    Any,
    Decimal,
    date,
    datetime,
    UUID,
    Color,
    Literal["a", 1],
    SecretStr,
    Base64Str,
    bytes,
    None,
    Annotated[str, Field(min_length=2, max_length=5)],
    Annotated[str, Field(pattern="^[a-z]*$")],
    Annotated[int, Field(ge=0, lt=100)],
    Annotated[float, Field(allow_inf_nan=False)],
    Annotated[int, AfterValidator(_positive)],
    Annotated[Any, BeforeValidator(_positive)],
    Annotated[int, WrapValidator(lambda v, h: h(v))],
    Annotated[int, PlainSerializer(lambda v: str(v))],
    Annotated[int, PlainSerializer(lambda v, info: [v, info.mode])],
    Annotated[int, AfterValidator(_named)],
    Annotated[Any, BeforeValidator(_named)],
    Annotated[int, AfterValidator(_breaks)],
    Annotated[int, PlainSerializer(_breaks)],
    Annotated[list[Note], BeforeValidator(_identity)],
    AnyUrl,
    HttpUrl,
    ByteSize,
    Path,
    Base64Bytes,
    Loose,
    Album,
    Shelf,
    Spelled,
    Json[list[int]],
    int | str,
    timedelta,
    Level,
    Pair,
    Plain,
    Typed,
    Row,
    Numbers,
    Camel,
    Timed,
    Box[int],
    Box[Note],
    set[int],
    Sequence[str],
    deque[int],
    Annotated[int, AfterValidator(_omit_three)],
    Point,
    Note,
    Section,
    Chapter,
    Tree,
    Before,
    Twice,
    Annotated[Pet | Robot, Field(discriminator="kind")],
    Point | Note,
    RootModel[list[int]],
)


def annotation(random: Random, depth: int = 0) -> Any:
    """Draw the type of a field."""
    kind = random.randrange(17 if depth < 2 else 6)
    if kind < 6:
        return random.choice(SCALARS)
    inner = annotation(random, depth + 1)
    match kind:
        case 6 | 7 | 8:
            return list[inner]
        case 9:
            return inner | None if inner is not None and not isinstance(inner, str) else inner
        case 10:
            return dict[str, inner]
        case 11:
            return Annotated[
                list[inner], Field(min_length=random.randrange(3), max_length=random.randrange(1, 5))
            ]
        case 12:
            chosen: Callable[[Any], Any] = random.choice((_positive, _identity, _identity, _reads, _named))
            return Annotated[list[inner], AfterValidator(chosen)]
        case 13:
            return random.choice((tuple[inner, ...], Sequence[inner], Sequence[Note]))
        case 14:
            return random.choice(
                (dict[str, Note], dict[str, list[inner]], dict[str, Chapter], Mapping[str, Point])
            )
        case 15:
            return random.choice(
                (
                    dict[Literal["a", "b", "é"], inner],
                    dict[Literal["a", "b", "é"], Note],
                    Annotated[dict[str, Point], Field(min_length=1, max_length=2)],
                    Annotated[dict[str, Note], AfterValidator(_identity)],
                    Annotated[tuple[inner, ...], Field(min_length=1, max_length=3)],
                    Annotated[tuple[Note, ...], AfterValidator(_identity)],
                    Annotated[list[inner], AfterValidator(_named)],
                )
            )
        case _:
            return random.choice(
                (
                    tuple[inner, int],
                    list[Annotated[inner, AfterValidator(_omit_three)]],
                    Annotated[list[int], AfterValidator(_sorted)],
                    list[inner] | None,
                    dict[int, inner],
                )
            )


def to_upper(name: str) -> str:
    return name.upper()


DEFAULTS: tuple[Any, ...] = (None, 1, "x", [], {})
CONFIGS: tuple[ConfigDict, ...] = (
    ConfigDict(),
    ConfigDict(),
    ConfigDict(),
    ConfigDict(),
    ConfigDict(extra="allow"),
    ConfigDict(extra="forbid"),
    ConfigDict(strict=True),
    ConfigDict(populate_by_name=True),
    ConfigDict(populate_by_name=True, alias_generator=to_upper),
    ConfigDict(populate_by_name=True, alias_generator=to_upper, extra="allow"),
    ConfigDict(validate_by_name=True, alias_generator=to_upper, extra="forbid", loc_by_alias=False),
    ConfigDict(validate_by_name=True, validate_by_alias=False, alias_generator=to_upper),
    ConfigDict(validate_default=True),
    ConfigDict(coerce_numbers_to_str=True),
    ConfigDict(str_strip_whitespace=True, str_max_length=6),
    ConfigDict(val_json_bytes="base64", ser_json_bytes="base64"),
    ConfigDict(ser_json_inf_nan="constants", allow_inf_nan=True),
    ConfigDict(loc_by_alias=False),
    ConfigDict(alias_generator=to_camel),
    ConfigDict(ser_json_timedelta="float", ser_json_inf_nan="strings"),
    ConfigDict(revalidate_instances="always"),
    ConfigDict(use_enum_values=True, frozen=True),
    ConfigDict(hide_input_in_errors=True, validate_assignment=True),
)


def _after(self: Any) -> Any:
    if getattr(self, "a", None) == 7:
        raise ValueError("seven")
    return self


def _mutates(self: Any) -> Any:
    if isinstance(getattr(self, "b", None), list):
        self.b.append(1)
    return self


def _needs_init(self: Any, _context: Any) -> None:
    self._seen = True


def _by_mode(cls: Any, value: Any, info: ValidationInfo) -> Any:
    return [] if value == "bad" and info.field_name != "c" and info.mode == "json" else value


DECORATORS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {"after": model_validator(mode="after")(_after)},
    {"after": model_validator(mode="after")(_mutates)},
    {"before": model_validator(mode="before")(classmethod(lambda cls, data: data))},
    {"wrap": model_validator(mode="wrap")(classmethod(lambda cls, data, handler: handler(data)))},
    {"reads": field_validator("*")(classmethod(lambda cls, value, info: value))},
    {"checks": field_validator("*")(classmethod(lambda cls, value: value))},
    {"names": field_validator("*")(classmethod(lambda cls, value, info: _named(value, info)))},
    {"modes": field_validator("*", mode="before")(classmethod(_by_mode))},
    {"dumps": field_serializer("*", when_used="json")(lambda self, value: repr(value))},
    {"dump": model_serializer(mode="wrap")(lambda self, handler: handler(self))},
)


@functools.lru_cache(maxsize=3000)
def _model(seed: int) -> type[BaseModel]:
    random = Random(seed)
    fields: dict[str, Any] = {}
    for name in random.sample("abcdefg", random.randrange(1, 6)):
        info: dict[str, Any] = {}
        match random.randrange(24):
            case 0 | 1:
                info["alias"] = random.choice(KEYS)
            case 2:
                info["validation_alias"] = random.choice(KEYS)
            case 3:
                info["serialization_alias"] = random.choice(KEYS)
            case 4:
                info["validation_alias"] = random.choice(
                    (AliasChoices("a", "z"), AliasChoices("z", "a"), AliasChoices("z", AliasPath("n", 0)))
                )
            case 5:
                info["exclude"] = True
            case 6:
                info["exclude_if"] = _falsy
            case _:
                pass
        match random.randrange(8):
            case 0 | 1 | 2:
                info["default"] = random.choice(DEFAULTS)
            case 3 if random.random() < 0.4:
                info["default_factory"] = random.choice((list, _from_data))
            case _:
                pass
        # Not inside a list: it undoes what was said of the elements before it.
        special = Annotated[Any, BeforeValidator(_use_default)] if random.randrange(40) == 0 else None
        fields[name] = (special or annotation(random), Field(**info))
    base = create_model(f"Model{seed}", __config__=random.choice(CONFIGS), __validators__=None, **fields)
    extra = random.choice(DECORATORS)
    namespace: dict[str, Any] = dict(extra)
    match random.randrange(12):
        case 0:
            namespace["_seen"] = PrivateAttr(default=False)
            namespace["__annotations__"] = {"_seen": bool}
            namespace["model_post_init"] = _needs_init
        case 1:
            namespace["size"] = computed_field(property(random.choice((_size, _size, _fails))))
        case _:
            pass
    if not namespace:
        return base
    return type(f"Made{seed}", (base,), {"__module__": __name__, **namespace})


def _falsy(value: Any) -> bool:
    return not value


def _from_data(data: dict[str, Any]) -> list[str]:
    return sorted(data)


def _size(self: Any) -> int:
    return len(self.__dict__)


def _fails(self: Any) -> int:
    if getattr(self, "a", None) in (1, "abc"):
        raise RuntimeError("no size")
    return 0


@functools.lru_cache(maxsize=1)
def _broken() -> set[int]:
    return set()


def model(random: Random) -> type[BaseModel]:
    """Draw a model; combinations that Pydantic itself refuses are drawn again."""
    while True:
        seed = random.randrange(3000)
        if seed in _broken():
            continue
        try:
            return _model(seed)
        except Exception:  # whatever Pydantic says of a combination that makes no sense
            _broken().add(seed)
