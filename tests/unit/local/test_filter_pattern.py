"""CloudWatch's filter patterns, as far as they are understood here."""

import pytest

from infra.local.logs.filter_pattern import FilterPatternError, compile_pattern

EITHER = '{ ($.type = "platform.*") || ($.message = "request.*") }'


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ("", "any text", True),
        (EITHER, '{"type": "platform.report"}', True),
        (EITHER, '{"message": "request.completed"}', True),
        (EITHER, '{"type": "application", "message": "hello"}', False),
        (EITHER, '{"type": 1}', False),
        (EITHER, "platform.report", False),
        (EITHER, '["platform.report"]', False),
        ('{ $.a.b = "c" }', '{"a": {"b": "c"}}', True),
        ('{ $.a.b = "c" }', '{"a": "b"}', False),
        ('{ $.a != "c" }', '{"a": "d"}', True),
        ('{ $.a != "c" }', '{"b": "d"}', False),
        ('{ $.a = "1" || $.a = "2" && $.b = "3" }', '{"a": "1"}', True),
        ('{ ($.a = "1" || $.a = "2") && $.b = "3" }', '{"a": "1"}', False),
        ('{ $.a = "[x]?" }', '{"a": "[x]?"}', True),
        ('{ $.a = "[x]?" }', '{"a": "xy"}', False),
    ],
)
def test_a_line_matches_as_in_cloudwatch(pattern: str, line: str, expected: bool):
    assert compile_pattern(pattern)(line) is expected


@pytest.mark.parametrize(
    "pattern",
    ["ERROR", "[a, b]", "{ $.a > 1 }", '{ $.a = "b" ', '{ $.a = "b" || }', '{ ($.a = "b" }', '{ "a" = "b" }'],
)
def test_a_pattern_that_is_not_understood_is_refused(pattern: str):
    with pytest.raises(FilterPatternError):
        compile_pattern(pattern)
