"""Sentences from rows: what holds, what does not, what is open, and where ours is not the best."""

from dataclasses import replace

import pytest

from tests.compare.behind import FIGURES, not_best
from tests.compare.claims import Parsing, Verdict, verdicts
from tests.compare.documents import SMALL
from tests.compare.figures import Knee, Row
from tests.compare.report import BoundUnknown, bounds, judged, notes, points, table, words
from tests.compare.variants import (
    CAREFUL,
    CONTAINER,
    MANGUM,
    ON_DEMAND,
    STEP_1,
    STEP_2,
    STEP_3,
    STEP_4,
    VARIANTS,
)
from tests.unit.compare.rows import row, rows
from tests.unit.compare.test_figures import PRICES

PARSING = Parsing(
    {"2.7 KB": 0.02, "40 KB": 0.2, "400 KB": 1.3, "4 MB": 18.0},
    {"inline": 20.0, "in a thread": 18.0, "as it arrives (ours)": 2.0},
)


def verdict(name: str, *given: Row, parsing: Parsing | None = PARSING) -> Verdict:
    by_name = {one.name: one for one in (*rows(), *given)}
    return next(one for one in verdicts(by_name, parsing) if name in one.claim)


def test_every_claim_names_the_rows_that_show_it() -> None:
    names = {variant.name for variant in VARIANTS} | {"parsing"}
    for one in verdicts({one.name: one for one in rows()}, PARSING):
        assert one.rows and set(one.rows) <= names
        assert all(name in str(one) for name in one.rows)


def test_queueing_shows_in_a_median_that_callers_lengthen() -> None:
    assert verdict("Synchronous workers", row(STEP_1, last_p50_ms=18_000.0)).holds is True
    assert verdict("Synchronous workers").holds is False


def test_a_claim_of_two_rows_holds_by_a_tenth_at_least() -> None:
    assert verdict("Asynchronous calls", row(STEP_1, last_p50_ms=12_000.0)).holds is True
    assert verdict("Asynchronous calls", row(STEP_1, last_p50_ms=6_300.0)).holds is False
    assert verdict("Streaming shows", row(STEP_2, ttft_p50_ms=6_000.0)).holds is True


def test_a_thread_that_holds_the_interpreters_lock_frees_nothing() -> None:
    assert verdict("A thread frees").holds is False
    free = Parsing(PARSING.parse_ms, {**PARSING.late_ms, "in a thread": 1.0})
    assert verdict("A thread frees", parsing=free).holds is True
    assert verdict("Validating in a thread", row(STEP_3, stall_ms=25.0), row(STEP_4, stall_ms=24.0)).holds is False  # fmt: skip


def test_the_client_for_each_call_is_the_bottleneck_if_one_client_ends_it() -> None:
    careful = row(CAREFUL, stall_ms=2.0, cpu_ms_per_1k=90.0)
    assert verdict("no bottleneck", row(STEP_4, stall_ms=25.0), careful).holds is False


def test_a_row_that_is_missing_leaves_its_claims_open_and_says_so() -> None:
    one = verdict("Streaming makes Lambda", row(MANGUM, missing="not installed"))
    assert one.holds is None and MANGUM in one.because and "not measured" in str(one)
    assert verdict("Parsing tens", parsing=None).holds is None
    assert verdict("(ours)", row(CONTAINER, validated_p50_ms=None)).holds is None


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_figure_in_which_another_is_better_is_said_with_both_figures_and_why(figure) -> None:
    # Others have half of what each of ours has, or double where more is better.
    factor = 2.0 if figure.more_is_better else 0.5

    class Seen:
        def __init__(self, one: Row) -> None:
            self.name, self.group, self.missing, self.one = one.name, one.group, one.missing, one

    listed = [Seen(one) for one in rows()]
    scaled = replace(figure, of=lambda seen: 10.0 * (1.0 if seen.group == "ours" else factor))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tests.compare.behind.FIGURES", (scaled,))
        (said,) = not_best(listed)  # type: ignore[arg-type]
        patched.setattr("tests.compare.behind.FIGURES", (replace(scaled, of=lambda seen: 10.0),))
        assert not not_best(listed)  # type: ignore[arg-type]
    assert said.startswith(f"- {figure.name}: ") and figure.why in said
    assert figure.shown.format(10.0) in said and figure.shown.format(10.0 * factor) in said


def test_a_variant_that_is_missing_or_crashed_or_failed_is_a_row_that_says_so() -> None:
    some = [row(STEP_1, missing="no npm"), row(STEP_2, missing="crashed: MemoryError"), row(STEP_3, as_expected=0, said="500 oh"), row(STEP_4, as_expected=30)]  # fmt: skip
    text = table(some, (1, 32), ["a note"]).markdown()
    assert "NOT MEASURED: no npm" in text and "NOT MEASURED: crashed: MemoryError" in text
    assert "no answer as expected: 500 oh" in text and "2 of 32 failed" in text
    said = words(some, None)
    assert f"- {STEP_1}: no npm" in said
    assert [point.name for point in points(some)] == []  # none has dollars


def test_bounds_are_judged_from_rows_and_unknown_without_them() -> None:
    slow = replace(row(CAREFUL), knee=Knee(6_000, 6_000, True), burst_us=40.0)
    early = [row(CONTAINER, validated_p50_ms=420.0), row(STEP_4), row(ON_DEMAND), row(MANGUM), slow]
    validated, dollars, knee, burst = bounds(early, PRICES)
    assert burst.met and burst.measured == 0.5
    assert validated.met and validated.measured == pytest.approx(0.07)
    assert dollars.met and dollars.measured == 1.0 and "128 MB" in dollars.name
    assert knee.met and knee.measured == 0.5 and not list(bounds([*early[:-1], row(CAREFUL)], PRICES))[2].met
    late = [row(CONTAINER, validated_p50_ms=1_000.0), *early[1:]]
    assert not next(bounds(late, PRICES)).met
    assert judged(early, PRICES)[1] and not judged(late, PRICES)[1]
    text, held = judged(early[1:], PRICES)
    assert not held and f"NOT HELD: bounds: expected the row '{CONTAINER}'" in text
    for unknown in (None, Knee(6_000, 6_000, False)):
        with pytest.raises(BoundUnknown, match="knees"):
            list(bounds([*early[:-1], replace(slow, knee=unknown)], PRICES))
    for missing in (CONTAINER, STEP_4, ON_DEMAND, MANGUM, CAREFUL):
        with pytest.raises(BoundUnknown, match=missing):
            list(bounds([one for one in early if one.name != missing], PRICES))


def test_dollars_are_held_at_one_size_whatever_each_row_needs() -> None:
    early = [row(CONTAINER, validated_p50_ms=420.0), row(STEP_4), row(ON_DEMAND), row(CAREFUL)]
    _, dollars, *_ = bounds([*early, replace(row(MANGUM), sufficient_mb=512)], PRICES)
    assert dollars.measured == 1.0


def test_notes_say_when_the_machine_did_not_hold_the_load() -> None:
    assert not any("late" in note and "knees" in note for note in notes(0.1, 2, 10.0, 0.2, 2048))
    assert any("80 ms late" in note for note in notes(0.1, 2, 80.0, 0.2, 2048))


def test_the_table_has_a_line_for_each_number_of_callers() -> None:
    shown = table([row(STEP_1)], (1, 32), []).rows
    assert [line[1] for line in shown] == ["1", "32"]
    assert all(len(line) == len(table([], (1,), []).columns) for line in shown)
    assert SMALL.shown in table([], (1,), []).title
