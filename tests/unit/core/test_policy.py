"""The policy: what follows on a failure, and that the documentation shows the table that is in force."""

from pathlib import Path

import pytest

from weir.generate.policy import (
    COOLDOWN_FAILURES,
    COOLDOWN_S,
    RULES,
    Cooldown,
    Policy,
    Step,
    next_step,
    tables,
)
from weir.providers.failed import Failed, FailureKind
from weir.providers.routes import Route, parse_routes

README = Path(__file__).parents[3] / "functions/generate/README.md"
ROUTES = parse_routes(
    {
        "models": {
            name: {"base_url": "http://x/v1", "model": name, "context_tokens": context}
            for name, context in (("small", 8_000), ("same", 8_000), ("large", 200_000))
        }
    }
).routes
SMALL, SAME, LARGE = ROUTES.values()


def step(
    failed: Failed, *, others: tuple[Route, ...] = (), made: int = 0, left_s: float = 60.0
) -> Step | None:
    return next_step(failed, SMALL, others, made, left_s, Policy(), lambda: 1.0)


def test_the_readme_shows_the_policy_that_is_in_force() -> None:
    assert tables() in README.read_text(encoding="utf-8")


def test_waits_double_and_end_after_two_retries() -> None:
    failed = Failed("x", kind="overloaded", retryable="yes")
    assert [step(failed, made=made) for made in range(3)] == [Step(SMALL, 0.5), Step(SMALL, 1.0), None]


def test_a_time_out_is_asked_again_once() -> None:
    failed = Failed("x", kind="timeout", retryable="yes")
    assert step(failed) == Step(SMALL, 0.5) and step(failed, made=1) is None


@pytest.mark.parametrize(
    ("hint_s", "left_s", "waits"), [(3.0, 60.0, True), (3.0, 2.0, False), (30.0, 60.0, False)]
)
def test_a_hint_is_obeyed_within_the_deadline_and_the_longest_wait(
    hint_s: float, left_s: float, waits: bool
) -> None:
    failed = Failed("x", kind="rate_limited", retryable="yes", retry_after_s=hint_s)
    assert step(failed, left_s=left_s) == (Step(SMALL, hint_s) if waits else None)


@pytest.mark.parametrize("kind", list(RULES))
def test_each_kind_of_failure_goes_where_its_rule_says(kind: FailureKind) -> None:
    rule = RULES[kind]
    failed = Failed("x", kind=kind, retryable="yes" if rule.again else "no")
    assert (step(failed) is not None) == bool(rule.again)
    found = step(failed, others=(SAME, LARGE), made=2)
    assert found == {"yes": Step(SAME, 0.0), "larger": Step(LARGE, 0.0), "no": None}[rule.other]


@pytest.mark.parametrize("retryable", ["no", "unknown"])
def test_what_nobody_says_may_be_asked_again_is_not(retryable: str) -> None:
    failed = Failed("x", kind="server", retryable=retryable)  # type: ignore[arg-type]
    assert step(failed) is None and step(failed, others=(SAME,)) == Step(SAME, 0.0)


def test_a_route_cools_down_after_failures_in_a_row_and_warms_again() -> None:
    now_s = 0.0
    cooldown = Cooldown(lambda: now_s)
    failed = Failed("x", kind="overloaded", retryable="yes")
    for failure in (failed, failed, None, failed, failed):
        cooldown.note(SMALL, failure)
    assert not cooldown.cooling(SMALL)
    for _ in range(COOLDOWN_FAILURES):
        cooldown.note(SMALL, failed)
    assert cooldown.cooling(SMALL) and not cooldown.cooling(SAME)
    now_s = COOLDOWN_S
    assert not cooldown.cooling(SMALL)


def test_what_the_caller_asked_wrong_cools_no_route() -> None:
    cooldown = Cooldown(lambda: 0.0)
    for _ in range(5):
        cooldown.note(SMALL, Failed("x", kind="request", retryable="no"))
    assert not cooldown.cooling(SMALL)
