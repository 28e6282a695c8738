"""What a streamed validator hands out, when, and what it says at the end."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)

from pydantic_streaming import InvalidDocument, StreamedValidator, Value, Violation


class Note(BaseModel):
    text: str


class Section(BaseModel):
    heading: str = Field(min_length=2)
    notes: list[Note] = []


class Post(BaseModel):
    title: str = Field(alias="Title")
    tags: list[str] = []
    scores: list[float] = []
    sections: list[Section] = []
    draft: bool = True


class Plain(BaseModel):
    heading: str
    body: str


class Essay(BaseModel):
    title: str
    parts: list[Plain]


def events(model: type[BaseModel], text: str, size: int = 4) -> list[Value | Violation]:
    validator = StreamedValidator(model)
    found: list[Value | Violation] = []
    for at in range(0, len(text), size):
        found += validator.feed(text[at : at + size])
    return found


def errors(model: type[BaseModel], text: str) -> list[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(text)
    return [(e["loc"], e["type"], e["msg"]) for e in caught.value.errors(include_url=False)]


def refused(model: type[BaseModel], text: str, sizes: Sequence[int] = (1, 3, 100_000)) -> InvalidDocument:
    for size in sizes:
        validator = StreamedValidator(model)
        for at in range(0, len(text), size):
            validator.feed(text[at : at + size])
        with pytest.raises(InvalidDocument) as caught:
            validator.close()
    return caught.value


def test_values_come_with_pointers_into_the_dump_and_defaults_at_the_end() -> None:
    text = '{"Title":"T","tags":["a"],"scores":[1,2],"sections":[{"heading":"one","notes":[{"text":"n"}]},{"heading":"two"}]}'
    assert events(Post, text) == [
        Value("/Title", b'"T"'),
        Value("/tags/0", b'"a"'),
        Value("/scores", b"[1.0,2.0]"),
        Value("/sections/0/heading", b'"one"'),
        Value("/sections/0/notes/0", b'{"text":"n"}'),
        Value("/sections/1/heading", b'"two"'),
        Value("/sections/1/notes", b"[]"),
        Value("/draft", b"true"),
    ]


@pytest.mark.parametrize(
    ("begun", "last", "value"),
    [
        ('{"title":"Streams', '"', Value("/title", b'"Streams"')),
        (
            '{"parts":[{"heading":"a","body":"} ] \\"',
            '"}',
            Value("/parts/0", b'{"heading":"a","body":"} ] \\""}'),
        ),
        (
            '{"parts":[{"heading":"a","body":"b"} , {"heading":"c","body":"d"',
            "}",
            Value("/parts/1", b'{"heading":"c","body":"d"}'),
        ),
        ('{"parts":[', "]", Value("/parts", b"[]")),
    ],
)
def test_a_value_is_handed_out_with_the_piece_that_closes_it(begun: str, last: str, value: Value) -> None:
    validator = StreamedValidator(Essay)
    before = [event for at in range(len(begun)) for event in validator.feed(begun[at])]
    assert value not in before
    assert validator.feed(last) == [value]


def test_a_violation_is_reported_by_the_piece_that_closes_the_wrong_value() -> None:
    begun = '{"title":"T","parts":[{"heading":"a","body":"b"},{"heading":"a","body":17'
    validator = StreamedValidator(Essay)
    for char in begun:
        validator.feed(char)
    want = Violation("/parts/1/body", ("parts", 1, "body"), "string_type", "Input should be a valid string")
    assert validator.feed("}") == [want]
    assert validator.violation == want


def test_after_a_violation_the_text_goes_on_and_the_end_lists_everything() -> None:
    text = '{"title":1,"parts":[{"heading":"a"},{"heading":"b","body":"c"}]}'
    found = events(Essay, text)
    assert found == [Violation("/title", ("title",), "string_type", "Input should be a valid string")]
    assert [(v.loc, v.type, v.message) for v in refused(Essay, text).violations] == errors(Essay, text)


def test_what_stands_before_the_wrong_element_is_handed_out_whatever_the_pieces() -> None:
    text = '{"title":"T","parts":[{"heading":"a","body":"b"},{"heading":"a","body":"c"},{"heading":1,"body":"d"}]}'
    whole = events(Essay, text, len(text))
    assert [event.path for event in whole] == ["/title", "/parts/0", "/parts/1", "/parts/2/heading"]
    assert all(events(Essay, text, size) == whole for size in range(1, 40))


def test_a_missing_member_is_a_violation_when_the_object_closes() -> None:
    assert events(Essay, '{"title":"T"} ')[-1] == Violation("/parts", ("parts",), "missing", "Field required")


def test_a_repeated_key_is_a_violation_and_the_end_is_what_pydantic_says() -> None:
    text = '{"title":"T","parts":[{"heading":"a","body":"b"}],"parts":[],"title":"U"}'
    validator = StreamedValidator(Essay)
    found = validator.feed(text)
    assert found[-1] == Violation("/parts", ("parts",), "duplicate_key", "Key 'parts' is repeated")
    document = validator.close()
    assert document.model == Essay(title="U", parts=[])
    # What was handed out and has changed comes again; a client that replaces has the document.
    assert document.values == [Value("/title", b'"U"'), Value("/parts", b"[]")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Sure! Here it is: {", "expected value at line 1 column 1"),
        ("```json\n{}\n```", "expected value at line 1 column 1"),
        ('\ufeff{"title":"T"}', "expected value at line 1 column 1"),
        ('{"title":"T","parts":[]}\nI hope', "trailing characters at line 2 column 1"),
        ('{"title":"é",\n"parts":[] "x"', "expected `,` or `}` at line 2 column 12"),
        ('{"title":"T","parts":[{"heading":"a","body":"b"}{', "expected `,` or `]` at line 1 column 49"),
        ('{"title":"\\x"', "invalid escape at line 1 column 12"),
        ("{title", "key must be a string at line 1 column 2"),
        ('{"title":"T","parts":[],}', "trailing comma at line 1 column 25"),
        ('{"title":NaN', "expected value at line 1 column 10"),
    ],
)
def test_text_that_is_not_json_is_a_violation_with_the_parsers_words_and_place(
    text: str, message: str
) -> None:
    for size in (1, 3, len(text)):
        validator = StreamedValidator(Essay)
        found = [v for at in range(0, len(text), size) for v in validator.feed(text[at : at + size])]
        found += validator.feed("")
        want = Violation("", (), "json_invalid", f"Invalid JSON: {message}")
        assert [event for event in found if isinstance(event, Violation)] == [want]
        with pytest.raises(InvalidDocument) as caught:
            validator.close()
        assert caught.value.violations == (want,)


def test_a_text_that_breaks_off_is_no_violation_until_the_end() -> None:
    text = '{"title":"T","parts":[{"heading":"a'
    assert events(Essay, text) == [Value("/title", b'"T"')]
    assert [(v.loc, v.type, v.message) for v in refused(Essay, text).violations] == errors(Essay, text)


class Numbers(BaseModel):
    value: float
    name: str = ""


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_refused_unless_the_model_opts_in(number: str) -> None:
    class Lenient(Numbers):
        model_config = ConfigDict(allow_inf_nan=True)

    text = f'{{"value":{number}}}'
    assert refused(Numbers, text).violations[0].type == "json_invalid"
    for validator in (StreamedValidator(Lenient), StreamedValidator(Numbers, allow_nan=True)):
        validator.feed(text)
        assert repr(validator.close().model.model_dump()["value"]) == repr(float(number))


def test_nan_may_be_spoken_of() -> None:
    assert events(Numbers, '{"name":"NaN, Infinity","value":1}')[0] == Value("/name", b'"NaN, Infinity"')


def test_half_a_surrogate_pair_is_refused_in_pydantics_words() -> None:
    text = '{"title":"T","parts":[],"x":"\ud83d"}'
    validator = StreamedValidator(Essay)
    found = [event for char in text for event in validator.feed(char)]
    assert [e.path for e in found] == ["/title", "/parts", ""]
    with pytest.raises(InvalidDocument) as caught:
        validator.close()
    assert [(v.loc, v.type, v.message) for v in caught.value.violations] == errors(Essay, text)


def test_computed_fields_and_methods_that_dump_come_from_the_finished_model() -> None:
    class Order(BaseModel):
        prices: list[int]
        secret: str = Field(exclude=True)
        note: str

        @computed_field
        def total(self) -> int:
            return sum(self.prices)

        @field_serializer("note")
        def shout(self, note: str) -> str:
            return note.upper() * len(self.prices)

    text = '{"note":"a","prices":[1,2],"secret":"s"}'
    assert events(Order, text) == [Value("/prices", b"[1,2]"), Value("/note", b'"AA"'), Value("/total", b"3")]


def test_what_a_model_validator_changes_replaces_what_was_handed_out() -> None:
    class Sorted(BaseModel):
        tags: list[str]
        name: str

        @model_validator(mode="after")
        def sort(self) -> "Sorted":
            self.tags.sort()
            return self

    found = events(Sorted, '{"tags":["b","a"],"name":"n"}')
    assert found == [
        Value("/tags/0", b'"b"'),
        Value("/tags/1", b'"a"'),
        Value("/name", b'"n"'),
        Value("/tags", b'["a","b"]'),
    ]


class Inner(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def checked(cls, name: str) -> str:
        return {"n": name}[name]

    @computed_field
    def initial(self) -> str:
        if self.name == "n":
            raise ZeroDivisionError("no initial")
        return self.name[0]


class Outer(BaseModel):
    inners: list[Inner]


class Opaque(Outer):
    @model_validator(mode="before")
    @classmethod
    def see(cls, data: Any) -> Any:
        return data


@pytest.mark.parametrize(
    ("model", "text", "loc", "words"),
    [
        (Outer, '{"inners":[{"name":"m"}]}', ("inners", 0), "Inner.checked raised KeyError: 'm'"),
        (Opaque, '{"inners":[{"name":"m"}]}', (), "Inner.checked raised KeyError: 'm'"),
        (Outer, '{"inners":[{"name":"n"}]}', ("inners",), "ZeroDivisionError: no initial"),
        (Opaque, '{"inners":[{"name":"n"}]}', ("inners",), "ZeroDivisionError: no initial"),
    ],
)
def test_what_raises_anything_else_than_an_error_is_a_violation_that_names_it(
    model: type[BaseModel], text: str, loc: tuple[Any, ...], words: str
) -> None:
    [violation] = refused(model, text).violations
    assert violation.type in ("validator_raised", "serializer_raised")
    assert violation.loc == loc
    assert words in violation.message


def test_a_feed_of_nothing_looks_at_what_is_due() -> None:
    class Points(BaseModel):
        points: list[Numbers]

    validator = StreamedValidator(Points)
    text = '{"points":[' + '{"value":1.25},' * 400
    late = 0
    for char in text:
        validator.feed(char)
        late += len(validator.feed(""))
    assert validator.values_completed == 400
    assert late > 0, "looks cost credit, and 400 of them are more than can be saved up"
    assert validator.feed("") == []


def test_progress_counts_characters_and_values() -> None:
    validator = StreamedValidator(Essay)
    validator.feed('{"title":"T","par')
    assert (validator.chars, validator.values_completed) == (17, 1)
