"""A light tuple is what the named tuple of the same fields is."""

import copy
import pickle
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.light_tuples import LightTuple


class Light(LightTuple):
    """The class that is tested."""

    first: int
    second: str = "two"
    third: float | None = None

    @property
    def doubled(self) -> int:
        return 2 * self.first


class Named(NamedTuple):
    """The class that it is held against."""

    first: int
    second: str = "two"
    third: float | None = None

    @property
    def doubled(self) -> int:
        return 2 * self.first


VALUES = st.lists(st.integers(), max_size=4)
NAMED = st.dictionaries(st.sampled_from(["first", "second", "third", "fourth"]), st.integers(), max_size=4)


def made(kind: Any, values: list[int], named: dict[str, int]) -> Any:
    try:
        return kind(*values, **named)
    except TypeError:
        return TypeError


@given(VALUES, NAMED)
def test_it_is_made_of_the_same_arguments_with_the_same_values(
    values: list[int], named: dict[str, int]
) -> None:
    light, expected = made(Light, values, named), made(Named, values, named)
    assert light == expected
    if light is not TypeError:
        assert light._asdict() == expected._asdict() and light.doubled == expected.doubled
        assert repr(light).partition("(")[2] == repr(expected).partition("(")[2]
        assert hash(light) == hash(expected) and list(light) == list(expected)


@given(NAMED)
def test_its_fields_are_replaced_as_a_named_tuples_are(changes: dict[str, int]) -> None:
    def replaced(one: Any) -> Any:
        try:
            return one._replace(**changes)
        except (TypeError, ValueError):
            return None

    light = replaced(Light(1))
    assert light == replaced(Named(1)) and isinstance(light, Light | None)


def test_it_is_copied_and_pickled_as_its_own_kind() -> None:
    value = Light(1, third=0.5)
    for same in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert same == value and type(same) is Light


def test_it_is_matched_by_place_and_by_name() -> None:
    match Light(1, "b"):
        case Light(first, second, third=None):
            assert (first, second) == (1, "b")
        case _:
            raise AssertionError("expected a match")


def test_nobody_changes_it_or_adds_to_it() -> None:
    value: Any = Light(1)
    for name in ("first", "fourth"):
        with pytest.raises(AttributeError):
            setattr(value, name, 2)


def test_what_it_is_not_made_of_is_named() -> None:
    with pytest.raises(TypeError, match="Light: expected first, second, third, each once, got _, fourth"):
        Light(1, fourth=2)  # type: ignore[call-arg]  # that is the mistake
