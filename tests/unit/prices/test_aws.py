"""AWS's own bulk price list becomes records of the book; what it changes is appended."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.prices.aws import main
from tests.price_offers import LAMBDA, dimension, offer
from weir.pricing.aws_price_list import merge, records_of
from weir.pricing.price_book import PriceBook, PriceBookError


def test_usage_types_become_items_with_their_tiers_in_rising_order_and_others_are_left_out() -> None:
    records = {(r["item"], r["architecture"]): r for r in records_of(LAMBDA, "eu-west-1")}
    assert set(records) == {("duration", "x86_64"), ("request", "x86_64"), ("request", "arm64")}
    duration = records["duration", "x86_64"]
    assert duration["tiers"] == [
        {"up_to": "6000000000", "price": "0.0000166667"},
        {"up_to": "15000000000", "price": "0.000015"},
        {"up_to": None, "price": "0.0000133334"},
    ]
    assert (duration["valid_from"], duration["source"]) == (
        "2026-11-01",
        "AWS Price List, AWSLambda, eu-west-1, publication of 2026-11-12",
    )


def test_a_free_first_tier_is_the_accounts_and_no_price_of_a_request() -> None:
    logs = offer("AmazonCloudWatch", VendedLog_Bytes=[
        dimension("0", "5", "0.0000000000", "GB"), dimension("5", "Inf", "0.5700000000", "GB"),
    ])  # fmt: skip
    (record,) = records_of(logs, "eu-west-1")
    assert record["tiers"] == [{"up_to": None, "price": "0.57"}]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"offerCode": "AmazonEC2", "products": {}}, "expected an offer of"),
        ({}, "expected an offer of"),
        (
            offer(
                "AmazonS3", Requests_Tier1=[{**dimension("0", "Inf", "1", "r"), "pricePerUnit": {"CNY": "1"}}]
            ),
            "in USD",
        ),
    ],
)
def test_what_is_no_offer_or_not_in_dollars_is_refused(document: dict[str, Any], says: str) -> None:
    with pytest.raises(PriceBookError, match=says):
        list(records_of(document, "eu-west-1"))


def test_a_price_that_changed_closes_the_open_record_and_one_that_did_not_adds_nothing() -> None:
    old = [r for r in records_of(LAMBDA, "eu-west-1") if r["item"] == "duration"]
    assert merge(old, records_of(LAMBDA, "eu-west-1"))[:1] == old
    dearer = {**old[0], "valid_from": "2026-12-01", "tiers": [{"up_to": None, "price": "1"}]}
    first, second = merge(old, [dearer])
    assert (first["valid_to"], first["tiers"]) == ("2026-12-01", old[0]["tiers"])
    assert (second["valid_from"], second["valid_to"]) == ("2026-12-01", None)
    with pytest.raises(PriceBookError, match="expected a change after 2026-11-01"):
        merge(old, [{**dearer, "valid_from": "2026-11-01"}])


def test_a_region_is_refreshed_from_offer_files_and_the_book_has_its_prices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "offers").mkdir()
    (tmp_path / "offers" / "lambda.json").write_text(json.dumps(LAMBDA))
    book = tmp_path / "book"
    assert main(["eu-west-1", "--offers", str(tmp_path / "offers"), "--folder", str(book)]) == 0
    printed = capsys.readouterr().out
    assert "2 of 2 records are new" in printed and "not in the list: api_gateway_request" in printed
    from datetime import UTC, datetime

    found = PriceBook.load(folder=book).aws_price(
        "request", region="eu-west-1", architecture="arm64", at=datetime(2026, 11, 28, tzinfo=UTC)
    )
    assert found is not None and found.amount == Decimal("0.0000002")
