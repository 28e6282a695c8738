"""The refresh of token prices: it appends, and never rewrites what a request was priced with."""

import json
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.prices.index import DATA
from infra.prices.refresh import merge, names_of, records_of, tiers_of, with_overlays
from weir.pricing.price_book import PriceBook
from weir.pricing.token_records import fits


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
        ]
        + members.pop("more", []),
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
    assert [model["model"] for model in merged] == ["n", "m"]


def test_new_names_of_a_model_are_added() -> None:
    merged = merge(
        [entry((None, None, "5"))], [entry((None, None, "5"), equals=["m", "m-2026"])], "2026-11-22"
    )
    assert merged[0]["equals"] == ["m", "m-2026"]


def test_two_prices_on_one_day_are_refused() -> None:
    old = [entry((None, "2026-11-22", "5"), ("2026-11-22", None, "4"))]
    with pytest.raises(SystemExit, match="expected a change after 2026-11-22"):
        merge(old, [entry((None, None, "3"))], "2026-11-22")


def model(prices: Any, variants: Any = None, name: str = "m") -> SimpleNamespace:
    return SimpleNamespace(id=name, prices=prices, price_variants=variants)


def test_tiers_and_dates_of_the_source_are_taken_over() -> None:
    tiered = SimpleNamespace(base=Decimal(3), tiers=[SimpleNamespace(start=200_000, price=Decimal(6))])
    assert tiers_of(tiered) == [{"up_to": "200000", "price": "3"}, {"up_to": None, "price": "6"}]
    assert tiers_of(Decimal("0.10")) == "0.10"
    prices = [
        SimpleNamespace(constraint=None, prices=SimpleNamespace(input_mtok=Decimal(2))),
        SimpleNamespace(
            constraint=since("2026-03-13"), prices=SimpleNamespace(input_mtok=Decimal(1), output_mtok=None)
        ),
    ]
    assert [(record["valid_from"], record["valid_to"]) for record in records_of(model(prices))] == [
        (None, "2026-03-13"),
        ("2026-03-13", None),
    ]


def since(day: str) -> SimpleNamespace:
    return SimpleNamespace(start_date=SimpleNamespace(isoformat=lambda: day))


def test_a_price_by_the_hour_and_one_of_a_tier_become_records_of_their_own() -> None:
    hours = SimpleNamespace(start_time=time(0, 30), end_time=time(16, 30))
    variants = [
        SimpleNamespace(
            when={"service_tier": "flex"},
            constraint=since("2026-10-12"),
            prices=SimpleNamespace(input_mtok=Decimal("0.5")),
        ),
        SimpleNamespace(when={"service_tier": "default"}, constraint=None, prices=SimpleNamespace()),
        SimpleNamespace(when={"processing": "batch"}, constraint=None, prices=SimpleNamespace()),
        SimpleNamespace(when={"route": "eu"}, constraint=None, prices=SimpleNamespace(input_mtok=Decimal(9))),
    ]
    prices = [
        SimpleNamespace(constraint=None, prices=SimpleNamespace(input_mtok=Decimal(1))),
        SimpleNamespace(constraint=hours, prices=SimpleNamespace(input_mtok=Decimal(2))),
    ]
    assert records_of(model(prices, variants)) == [
        {"valid_from": None, "valid_to": None, "prices": {"input": "1"}},
        {"valid_from": None, "valid_to": None, "hours": ["00:30", "16:30"], "prices": {"input": "2"}},
        # A tier that names no price of its own costs what the standard does.
        {"valid_from": None, "valid_to": None, "tier": "batch", "prices": {"input": "1"}},
        {"valid_from": "2026-10-12", "valid_to": None, "tier": "flex", "prices": {"input": "0.5"}},
    ]


def test_a_constraint_that_is_no_date_and_no_hours_is_refused() -> None:
    prices = [SimpleNamespace(constraint=SimpleNamespace(moon="full"), prices=SimpleNamespace())]
    with pytest.raises(SystemExit, match="expected a price with a start date or hours"):
        records_of(model(prices))


def test_a_tier_that_the_source_begins_or_ends_to_list_holds_from_and_to_that_day() -> None:
    flex = {"valid_from": None, "valid_to": None, "tier": "flex", "prices": {"input": "1"}}
    (begun,) = merge([entry((None, None, "4"))], [entry((None, None, "4"), more=[flex])], "2026-11-22")
    assert begun["records"][1] == {**flex, "valid_from": "2026-11-22"}
    (ended,) = merge([begun], [entry((None, None, "4"))], "2026-12-01")
    assert ended["records"][1]["valid_to"] == "2026-12-01"


def test_match_clauses_become_names_and_others_are_refused() -> None:
    clauses = [
        SimpleNamespace(equals="A"),
        SimpleNamespace(or_=[SimpleNamespace(starts_with="b-"), SimpleNamespace(ends_with="-b")]),
        SimpleNamespace(regex="^c$"),
        SimpleNamespace(contains="d"),
        SimpleNamespace(and_=[SimpleNamespace(starts_with="e."), SimpleNamespace(regex="^(?!.*tts)")]),
    ]
    names = names_of(SimpleNamespace(or_=clauses))
    assert names == {
        "equals": ["a"],
        "prefixes": ["b-"],
        "suffixes": ["-b"],
        "patterns": ["^c$", r"(?=^e\.)(?=^(?!.*tts))"],
        "contains": ["d"],
    }
    assert [fits(names, name) for name in ("a", "b-1", "x-b", "c", "xdx", "e.1", "e.tts", "q")] == [
        True, True, True, True, True, True, False, False,
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="expected a clause"):
        names_of(SimpleNamespace(sounds_like="x"))


def test_what_is_kept_by_hand_comes_after_the_sources_own_and_may_be_a_seller_of_its_own(
    tmp_path: Path,
) -> None:
    listed = {"name": "shop", "address": "https://shop", "names": {}, "models": {}, "also": ["other"]}
    for stem, overlay in (
        ("shop", None),
        ("shop-overlay", {"seller": "shop", "address": "https://stall"}),
        ("kiosk", {"seller": "kiosk", "address": "https://kiosk"}),
    ):
        (tmp_path / "tokens").mkdir(exist_ok=True)
        head = {"models": []} | ({"overlay": overlay} if overlay else {})
        (tmp_path / "tokens" / f"{stem}.json").write_text(json.dumps(head))
    shop, kiosk = with_overlays([listed], tmp_path)
    assert shop == listed | {"address": "(?:https://shop|https://stall)", "also": ["other", "shop-overlay"]}
    assert kiosk == {"name": "kiosk", "address": "https://kiosk", "names": {}, "models": {}, "also": []}
    assert with_overlays([listed], tmp_path) == [shop, kiosk]  # and the source's list is not written to


def test_each_model_that_is_kept_by_hand_is_one_that_the_source_lacks() -> None:
    book = PriceBook.load()
    at = datetime(2026, 11, 28, tzinfo=UTC)
    kept = 0
    for path in sorted(DATA.glob("tokens/*.json")):
        document = json.loads(path.read_text())
        if (overlay := document.get("overlay")) is None:
            continue
        for entry in document["models"]:
            for name in entry.get("equals", ()):
                region, _, model = name.rpartition("/") if overlay["seller"] == "aws" else ("", "", name)
                seller = "/".join(filter(None, (overlay["seller"], region)))
                prices = book.token_prices(model=model, seller=seller, at=at)
                assert prices is not None, (path.name, name)
                assert prices.kinds["input"].source == document["source"]["name"], (path.name, name)
                kept += 1
    assert kept >= 200
