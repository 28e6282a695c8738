"""How the platform bills."""

import pytest

from infra.local.logs.platform_log import billed_ms, written


@pytest.mark.parametrize(
    ("duration_ms", "init_ms", "expected"),
    [(0.0, 0.0, 1), (1.0, 0.0, 1), (1.001, 0.0, 2), (10.4, 20.4, 31), (10.5, 20.5, 31), (0.1 + 0.2, 0.7, 1)],
)
def test_init_and_duration_are_added_before_rounding_up(duration_ms: float, init_ms: float, expected: int):
    assert billed_ms(duration_ms, init_ms) == expected


@pytest.mark.parametrize(
    ("kind", "level", "expected"),
    [
        ("platform.report", "INFO", True),
        ("platform.runtimeDone", "INFO", False),
        ("platform.runtimeDone", "DEBUG", True),
        ("platform.report", "WARN", False),
    ],
)
def test_the_system_log_level_decides_what_is_written(kind: str, level: str, expected: bool):
    assert written(kind, level) is expected


def test_what_did_not_end_well_is_written_at_any_level():
    assert written("platform.runtimeDone", "INFO", "timeout")
    assert written("platform.report", "WARN", "error")
