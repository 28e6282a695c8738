"""Two periods: the parts of a change sum to it to the last digit, and each is what its name says."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.ledger.table import COMPONENTS, TOKENS
from weir.reports.periods import PARTS, Period, compared, split


def row(
    name: str = "acme", model: str = "m", requests: int = 10, *, is_request: bool = True, **members: Any
) -> dict[str, Any]:
    """A cell as sql/period.sql gives it; its total is that of its charges, unless it is said."""
    found: dict[str, Any] = {
        "name": name,
        "model_name": model,
        "is_request": is_request,
        "requests": requests,
        "billed_ms": None,
        "lower_bounds": 0,
        **dict.fromkeys((*COMPONENTS, *TOKENS)),
        **members,
    }
    known = [found[column] for column in COMPONENTS if found[column] is not None]
    return {"total": sum(known, Decimal(0)), **found}


def bought(requests: int, tokens: int, price: str, ms: int = 1000, ms_price: str = "0.00001", **of: Any) -> dict[str, Any]:  # fmt: skip
    """Requests of so many output tokens and milliseconds each, at these prices, and one charge by the request."""
    return row(
        requests=requests,
        output_tokens=requests * tokens,
        cost_output_tokens=requests * tokens * Decimal(price),
        billed_ms=requests * ms,
        cost_lambda_duration=requests * ms * Decimal(ms_price),
        cost_lambda_request=requests * Decimal("0.0000002"),
        **of,
    )


def parts(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Decimal]:
    found = compared(Period.of_rows(before), Period.of_rows(after))["parts"]
    return {name: Decimal(amount) for name, amount in found.items() if Decimal(amount)}


BEFORE = bought(10, 100, "0.001")


@pytest.mark.parametrize(
    ("after", "part", "amount"),
    [
        # Ten requests of 100 tokens cost 1, their 1,000 ms each 0.1, and they themselves 0.000002.
        (bought(15, 100, "0.001"), "volume", "0.550001"),
        (bought(10, 130, "0.001"), "tokens", "0.3"),
        (bought(10, 100, "0.0012"), "price", "0.2"),
        (bought(10, 100, "0.001", ms=900), "latency", "-0.01"),
        (bought(10, 100, "0.001", ms_price="0.00002"), "price", "0.1"),
    ],
)
def test_what_one_thing_alone_changes_is_that_part(after: dict[str, Any], part: str, amount: str) -> None:
    assert parts([BEFORE], [after]) == {part: Decimal(amount)}


def test_another_share_of_the_models_is_mix_and_so_is_a_new_one_and_one_that_is_gone() -> None:
    cheap, dear = bought(10, 100, "0.001", model="cheap"), bought(10, 100, "0.01", model="dear")
    shifted = [bought(5, 100, "0.001", model="cheap"), bought(15, 100, "0.01", model="dear")]
    assert parts([cheap, dear], shifted) == {"mix": 5 * 100 * Decimal("0.009")}
    assert parts([cheap], [dear]) == {"mix": 10 * 100 * Decimal("0.009")}


def test_corrections_are_a_part_of_their_own_and_no_requests() -> None:
    correction = row(requests=0, is_request=False, total=Decimal("0.7"))
    assert parts([BEFORE], [BEFORE, correction]) == {"corrections": Decimal("0.7")}
    found = compared(Period.of_rows([]), Period.of_rows([correction]))
    assert (found["after"]["requests"], found["change"], found["percent"]) == (0, "0.7", None)


def test_before_nothing_everything_is_volume_and_nothing_to_nothing_is_no_change() -> None:
    assert parts([], [BEFORE]) == {"volume": Decimal("1.100002")}
    assert parts([BEFORE], []) == {"volume": Decimal("-1.100002")}
    assert parts([], []) == {}


amounts = st.none() | st.decimals(min_value=0, max_value=1000, places=15, allow_nan=False)
cells = st.builds(
    row,
    name=st.sampled_from(["a", "b", "(unknown)"]),
    model=st.sampled_from(["x", "y"]),
    requests=st.integers(0, 50),
    billed_ms=st.none() | st.integers(0, 10**9),
    input_tokens=st.none() | st.integers(0, 10**9),
    cached_input_tokens=st.none() | st.integers(0, 10**6),
    output_tokens=st.none() | st.integers(0, 10**9),
    cost_lambda_duration=amounts,
    cost_input_tokens=amounts,
    cost_output_tokens=amounts,
    cost_logs=amounts,
)
periods = st.lists(cells, max_size=6, unique_by=lambda one: (one["name"], one["model_name"]))


@given(periods, periods)
def test_the_parts_of_any_two_periods_sum_to_the_change_to_the_last_digit(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    found = compared(Period.of_rows(before), Period.of_rows(after))
    exact = split(Period.of_rows(before), Period.of_rows(after))
    assert sum(exact.values()) == Period.of_rows(after).total - Period.of_rows(before).total
    change = sum((one["total"] for one in after), Decimal(0)) - sum(
        (one["total"] for one in before), Decimal(0)
    )
    assert Decimal(found["change"]) == change
    for one in (found, *found["groups"]):
        assert list(one["parts"]) == list(PARTS)
        assert sum(map(Decimal, one["parts"].values())) == Decimal(one["change"])
    listed = sum((Decimal(one["change"]) for one in found["groups"]), Decimal(found["others"]["change"]))
    assert listed == change
