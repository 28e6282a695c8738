"""Differential fuzzing of streamed validation.

A case is one text of one generated model, chopped in three ways (whole, and two as a stream might) and compared with
`Model.model_validate_json`. Hypothesis draws batches of cases and, when one fails, finds the smallest batch and seed;
the failing model and text are printed. Exit status 1 says that there is a difference.
"""

from __future__ import annotations

import sys
import time
import warnings
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pydantic_streaming import plan_for, splitter, streamed
from tests.fuzz.differential import check
from tests.fuzz.documents import chopped, document
from tests.fuzz.models import model

BATCH = 50
# Small enough that values of a few characters are cut as huge ones are, and that looks are rare as in long texts.
LIMITS = (
    (splitter, "HUGE", (splitter.HUGE, splitter.HUGE, 64, 16)),
    (splitter, "LONG", (splitter.LONG, splitter.LONG, 64, 8)),
    (splitter, "MAX_TAIL", (splitter.MAX_TAIL, 8)),
    (splitter, "MAX_PATIENCE", (splitter.MAX_PATIENCE, 64, 16)),
    (streamed, "MAX_PATIENCE", (streamed.MAX_PATIENCE, 64, 16)),
    (streamed, "MAX_SCAN_BUDGET", (streamed.MAX_SCAN_BUDGET, 0)),
)


def one_case(random: Random) -> tuple[bool, bool]:
    """Draw a case and check it; return whether its model is split, and whether its text was validated whole needlessly."""
    chosen = model(random)
    text = document(random, chosen)
    for module, name, choices in LIMITS:
        setattr(module, name, random.choice(choices))
    try:
        said = check(chosen, text, [text], chopped(random, text), chopped(random, text))
    except BaseException:
        limits = {name: getattr(module, name) for module, name, _ in LIMITS}
        print(f"{chosen.__name__} {limits}: {text!r}", file=sys.stderr)
        raise
    finally:
        for module, name, choices in LIMITS:
            setattr(module, name, choices[0])
    return plan_for(chosen).split, bool(said)


def run(cases: int, seconds: float | None, seed: int | None) -> None:
    """As many cases or seconds as asked, or the batch of one seed; says how many there were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _run(cases, seconds, seed)


def _run(asked: int, seconds: float | None, seed: int | None) -> None:
    began = said = time.monotonic()
    cases = cut = needless = 0

    def batch(seed: int) -> None:
        nonlocal cases, cut, needless, said
        random = Random(seed)
        for _ in range(BATCH):
            is_cut, was_needless = one_case(random)
            cases, cut, needless = cases + 1, cut + is_cut, needless + was_needless
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"{cases} cases, {cut} cut, {said - began:.0f} s, no difference so far", flush=True)

    if seed is not None:
        batch(seed)
        print(f"seed {seed}: no difference")
        return
    rounds = 1_000_000 if seconds else -(-asked // BATCH)
    # Rounds of Hypothesis, because its memory of what it has seen grows with the examples of a run.
    size = 2000
    while rounds > 0 and (not seconds or time.monotonic() - began < seconds):
        test = settings(
            max_examples=min(size, rounds),
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(given(st.integers(0, 2**63))(batch))
        test()
        rounds -= size
    print(
        f"validation: {cases} cases, no difference; {cut} of models that are split,"
        f" {needless} of these valid and validated whole; {time.monotonic() - began:.0f} s"
    )
