"""The search for the end of a value: resumable at any character, and right about every JSON value."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pydantic_streaming.scanner import MEMBER_RUN, RUN, TOO_DEEP, ValueScanner, split

TEXT = st.text(st.sampled_from('ab"\\{}[],: \n😀'), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 1]), st.booleans(), st.data())
def test_a_value_ends_where_it_ends_however_it_is_chopped(
    value: object, indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    text = written + data.draw(st.sampled_from([",", "]", "}", " "]))
    assert ValueScanner().end(text, 0) == len(written)
    scanner, at = ValueScanner(), 0
    while at < len(text):
        step = data.draw(st.integers(1, len(text)))
        end = scanner.end(text[at : at + step], 0)
        if end >= 0:
            assert at + end == len(written)
            break
        at += step
    else:
        raise AssertionError("no end was found")


@given(st.lists(JSON, min_size=1, max_size=6), st.sampled_from([",", " , ", ",\n"]))
def test_runs_are_whole_elements(values: list[object], comma: str) -> None:
    written = comma.join(json.dumps(value) for value in values)
    match = RUN.match(written + "]")
    assert match is not None
    run = match[0] if match[2] is not None else match[0][:-1]
    assert json.loads(f"[{run}]") == values[: len(json.loads(f"[{run}]"))]
    assert [json.loads(part) for _, part in split(written)] == values
    assert all(written.startswith(part, begin) for begin, part in split(written))


@given(st.dictionaries(TEXT, JSON, min_size=1, max_size=6))
def test_member_runs_are_whole_members(value: dict[str, object]) -> None:
    written = json.dumps(value)[1:-1]
    match = MEMBER_RUN.match(written + "}")
    assert match is not None
    run = match[0] if match[2] is not None else match[0][:-1]
    assert json.loads(f"{{{run}}}").items() <= value.items()
    assert [json.loads(f"{{{part}}}") for _, part in split(written, named=True)] == [
        {k: v} for k, v in value.items()
    ]


def test_depth_has_a_limit() -> None:
    assert ValueScanner().end("[" * 201, 0) == -1
    assert ValueScanner().end("[" * 202, 0) == TOO_DEEP
