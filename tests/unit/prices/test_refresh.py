"""The refresh of token prices: it appends, and never rewrites what a request was priced with."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from infra.prices.refresh import merge, names_of, records_of, tiers_of


def entry(*records: tuple[str | None, str | None, str], **members: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "provider": "p",
        "equals": ["m"],
        "prefixes": [],
        "patterns": [],
        "records": [
            {"valid_from": start, "valid_to": end, "prices": {"input": [{"up_to": None, "price": price}]}}
            for start, end, price in records
        ],
        **members,
    }


def test_the_same_prices_change_nothing() -> None:
    old = [entry((None, "2026-01-01", "5"), ("2026-01-01", None, "4"))]
    assert merge(old, [entry((None, None, "4"))], "2026-11-22") == old


def test_a_new_price_closes_the_open_record_today_and_begins_another() -> None:
    merged = merge([entry((None, None, "5"))], [entry((None, None, "4"))], "2026-11-22")
    assert merged == [entry((None, "2026-11-22", "5"), ("2026-11-22", None, "4"))]


def test_a_new_price_begins_on_the_day_that_the_source_gives() -> None:
    fresh = [entry((None, "2026-10-01", "5"), ("2026-10-01", None, "4"))]
    merged = merge([entry((None, None, "5"))], fresh, "2026-11-22")
    assert merged == [entry((None, "2026-10-01", "5"), ("2026-10-01", None, "4"))]


def test_a_model_that_the_source_dropped_stays_and_a_new_one_comes() -> None:
    merged = merge([entry((None, None, "5"))], [entry((None, None, "1"), model="n")], "2026-11-22")
    assert [model["model"] for model in merged] == ["m", "n"]


def test_new_names_of_a_model_are_added() -> None:
    merged = merge(
        [entry((None, None, "5"))], [entry((None, None, "5"), equals=["m", "m-2026"])], "2026-11-22"
    )
    assert merged[0]["equals"] == ["m", "m-2026"]


def test_two_prices_on_one_day_are_refused() -> None:
    old = [entry((None, "2026-11-22", "5"), ("2026-11-22", None, "4"))]
    with pytest.raises(SystemExit, match="expected a change after 2026-11-22"):
        merge(old, [entry((None, None, "3"))], "2026-11-22")


def test_tiers_and_dates_of_the_source_are_taken_over() -> None:
    tiered = SimpleNamespace(base=Decimal(3), tiers=[SimpleNamespace(start=200_000, price=Decimal(6))])
    assert tiers_of(tiered) == [{"up_to": "200000", "price": "3"}, {"up_to": None, "price": "6"}]
    prices = [
        SimpleNamespace(constraint=None, prices=SimpleNamespace(input_mtok=Decimal(2))),
        SimpleNamespace(
            constraint=SimpleNamespace(start_date=SimpleNamespace(isoformat=lambda: "2026-03-13")),
            prices=SimpleNamespace(input_mtok=Decimal(1), output_mtok=None),
        ),
    ]
    assert [(record["valid_from"], record["valid_to"]) for record in records_of(prices)] == [
        (None, "2026-03-13"),
        ("2026-03-13", None),
    ]


def test_a_price_by_time_of_day_is_refused() -> None:
    prices = [SimpleNamespace(constraint=SimpleNamespace(start_time=1), prices=SimpleNamespace())]
    with pytest.raises(SystemExit, match="time of day"):
        records_of(prices)


def test_match_clauses_become_names_and_others_are_refused() -> None:
    clauses = [SimpleNamespace(equals="a"), SimpleNamespace(starts_with="b-"), SimpleNamespace(regex="^c$")]
    assert names_of(SimpleNamespace(or_=clauses)) == {
        "equals": ["a"],
        "prefixes": ["b-"],
        "patterns": ["^c$"],
    }
    with pytest.raises(SystemExit, match="expected a clause"):
        names_of(SimpleNamespace(contains="x"))
