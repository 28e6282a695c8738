"""The price book: what holds when, what is refused, and which of two prices wins."""

import json
import re
import shutil
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.prices.index import DATA, write_index
from weir.pricing.price_book import AwsItem, PriceBook, PriceBookError
from weir.providers.profiles import PROFILES

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BOOK = PriceBook.load()


def record(start: str | None, end: str | None, price: str = "0.1", **members: Any) -> dict[str, Any]:
    return {
        "item": "request",
        "region": "us-east-1",
        "architecture": None,
        "unit": "request",
        "valid_from": start,
        "valid_to": end,
        "tiers": [{"up_to": None, "price": price}],
        **members,
    }


def book_of(tmp_path: Path, document: Any) -> PriceBook:
    """A book of one file: of prices of us-east-1, or of models of a seller."""
    folder, name = (
        ("tokens", "shop") if isinstance(document, dict) and "models" in document else ("aws", "us-east-1")
    )
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / f"{name}.json"
    path.write_text(json.dumps({"as_of": "2026-11-22"}))
    write_index(
        tmp_path, [{"name": "shop", "address": "https://shop", "names": {}, "models": {}, "also": []}]
    )
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    book = PriceBook.load(folder=tmp_path)
    book.check()
    return book


@pytest.mark.parametrize(
    ("architecture", "quantity", "price"),
    [
        ("x86_64", "6000000000", "0.0000166667"),
        ("x86_64", "6000000000.001", "0.000015"),
        ("x86_64", "15000000000", "0.000015"),
        ("x86_64", "15000000001", "0.0000133334"),
        ("arm64", "7500000000", "0.0000133334"),
        ("arm64", "7500000001", "0.0000120001"),
        ("arm64", "18750000000", "0.0000120001"),
        ("arm64", "18750000001", "0.0000106667"),
    ],
)
def test_a_monthly_tier_still_holds_at_its_bound_and_not_beyond(
    architecture: str, quantity: str, price: str
) -> None:
    found = BOOK.aws_price("duration", region="us-east-1", architecture=architecture, at=NOW)
    assert found is not None
    assert found.at_quantity(Decimal(quantity)) == Decimal(price)


@pytest.mark.parametrize(
    ("item", "quantity", "price"),
    [
        ("api_gateway_request", "333000000", "0.0000035"),
        ("api_gateway_request", "333000001", "0.0000028"),
        ("api_gateway_request", "1000000001", "0.00000238"),
        ("api_gateway_request", "20000000001", "0.00000151"),
        ("logs_ingestion", "10240", "0.5"),
        ("logs_ingestion", "10240.001", "0.25"),
        ("logs_ingestion", "30721", "0.1"),
        ("logs_ingestion", "51201", "0.05"),
        ("streamed_bytes", "0", "0.008"),
        ("ephemeral_storage", "0", "0.0000000309"),
        ("snapstart_cache", "0", "0.0000015046"),
        ("snapstart_restore", "0", "0.0001397998"),
        ("managed_instances_fee", "0", "0.15"),
        ("provisioned_concurrency", "0", "0.0000033334"),
        ("provisioned_duration", "0", "0.0000077778"),
    ],
)
def test_every_item_has_its_list_price(item: Any, quantity: str, price: str) -> None:
    found = BOOK.aws_price(item, region="us-east-1", architecture="arm64", at=NOW)
    assert found is not None
    assert found.at_quantity(Decimal(quantity)) == Decimal(price)


def test_lambdas_logs_had_one_price_before_they_had_tiers() -> None:
    change = datetime(2025, 5, 1, tzinfo=UTC)

    def price(at: datetime) -> Decimal:
        found = BOOK.aws_price("logs_ingestion", region="us-east-1", architecture=None, at=at)
        assert found is not None
        return found.at_quantity(60_000)

    assert price(change - timedelta(microseconds=1)) == Decimal("0.5")
    assert price(change) == Decimal("0.05")


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_every_region_of_the_list_prices_what_each_request_is_billed(architecture: str) -> None:
    """Duration and, where the source says it, requests: a Region that has neither is not in the list."""
    assert len(BOOK.regions) == 25
    for region in BOOK.regions:
        assert BOOK.aws_price("duration", region=region, architecture=architecture, at=NOW), region


def test_the_prices_of_two_regions_are_those_of_the_list_and_what_it_lacks_is_unknown() -> None:
    def amount(item: AwsItem, region: str) -> Decimal | None:
        found = BOOK.aws_price(item, region=region, architecture="x86_64", at=NOW)
        return found.amount if found else None

    assert amount("ephemeral_storage", "eu-central-1") == Decimal("0.0000000367")
    assert amount("api_gateway_request", "eu-central-1") == Decimal("0.0000037")
    assert amount("logs_ingestion", "eu-central-1") == Decimal("0.63")
    assert amount("duration", "af-south-1") == Decimal("0.0000221")
    assert amount("snapstart_restore", "af-south-1") is None


def test_a_contract_may_add_a_region_that_no_list_has() -> None:
    book = PriceBook.load({"records": [record(None, None, "0.3", region="xx-1", item="logs_ingestion")]})
    found = book.aws_price("logs_ingestion", region="xx-1", architecture="arm64", at=NOW)
    assert found is not None and found.amount == Decimal("0.3")
    assert "xx-1" not in BOOK.regions


def test_a_book_that_nobody_checked_for_a_quarter_warns_and_names_the_file() -> None:
    oldest = datetime(2026, 9, 28, 23, 59, tzinfo=UTC)
    fresh, old = BOOK.age(oldest + timedelta(days=90)), BOOK.age(oldest + timedelta(days=91))
    assert (fresh.as_of, fresh.days, fresh.warning) == (date(2026, 9, 28), 90, None)
    assert old.warning is not None
    assert "aws/us-east-1.json" in old.warning and "91 days" in old.warning


def test_a_contracts_prices_do_not_age() -> None:
    book = PriceBook.load({"as_of": "2001-01-01", "records": [record(None, None)]})
    assert book.age(NOW) == BOOK.age(NOW)


def test_a_models_provider_is_the_contracts_or_the_lists() -> None:
    own = {"model": "own", "provider": "in-house", "records": []}
    cheaper = {"model": "gpt-4o", "records": []}
    book = PriceBook.load({"models": [own, cheaper]})
    assert [book.provider(name) for name in ("own", "gpt-4o", "claude-sonnet-5", "who")] == [
        "in-house",
        "openai",
        "anthropic",
        None,
    ]


def test_names_from_outside_do_not_fill_the_memory() -> None:
    book = PriceBook.load()
    for number in range(10_000):
        book.token_price("input", model=f"model-{number}", at=NOW)
        book.aws_price("request", region=f"region-{number}", architecture=None, at=NOW)
    assert max(map(len, (book._found, book._matches, book._token_found))) <= 4096


def test_a_request_is_priced_at_the_first_tier() -> None:
    found = BOOK.aws_price("duration", region="us-east-1", architecture="arm64", at=NOW)
    assert found is not None
    assert found.amount == Decimal("0.0000133334")


@pytest.mark.parametrize(("tokens", "price"), [(199_999, "3"), (200_000, "3"), (200_001, "6")])
def test_a_token_tier_is_set_by_the_requests_input_and_still_holds_at_its_bound(
    tokens: int, price: str
) -> None:
    at = datetime(2026, 3, 12, tzinfo=UTC)
    found = BOOK.token_price("input", model="claude-sonnet-4-6", at=at)
    assert found is not None
    assert found.at_quantity(tokens) == Decimal(price)


def test_a_price_changes_at_midnight_utc_of_its_first_day() -> None:
    change = datetime(2026, 3, 13, tzinfo=UTC)

    def price(at: datetime) -> Decimal:
        found = BOOK.token_price("input", model="claude-sonnet-4-6", at=at)
        assert found is not None
        return found.at_quantity(300_000)

    assert price(change - timedelta(microseconds=1)) == 6
    assert price(change) == 3
    assert price(datetime(2026, 3, 12, 23, 30, tzinfo=timezone(timedelta(hours=-5)))) == 3


def test_a_day_before_the_book_begins_has_no_price() -> None:
    at = datetime(2023, 4, 30, 23, 59, tzinfo=UTC)
    assert BOOK.aws_price("request", region="us-east-1", architecture="arm64", at=at) is None


def test_an_unknown_region_architecture_or_model_has_no_price() -> None:
    assert BOOK.aws_price("request", region="xx-1", architecture="arm64", at=NOW) is None
    assert BOOK.aws_price("request", region=None, architecture="arm64", at=NOW) is None
    assert BOOK.aws_price("duration", region="us-east-1", architecture="mips", at=NOW) is None
    assert BOOK.token_price("input", model="nobody-knows", at=NOW) is None
    assert BOOK.token_price("input", model=None, at=NOW) is None


@pytest.mark.parametrize(
    ("returned", "model"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("GPT-4o-mini", "gpt-4o-mini"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-sonnet-5-5-20260901", "claude-sonnet-5-5"),
        ("claude-sonnet-5", "claude-sonnet-5"),
    ],
)
def test_a_dated_snapshot_is_priced_as_its_model(returned: str, model: str) -> None:
    snapshot, plain = (BOOK.token_price("cached_input", model=name, at=NOW) for name in (returned, model))
    assert plain is not None
    assert snapshot == plain


def test_every_price_names_its_source_and_every_file_its_day() -> None:
    found = BOOK.token_price("output", model="gpt-4o", at=NOW)
    assert found is not None
    assert "genai-prices" in found.source
    for path in sorted(Path(__file__).parents[3].glob("shared/weir/pricing/data/*/*.json")):
        document = json.loads(path.read_text())
        assert date.fromisoformat(document["as_of"])
        assert document["source"]["name"] and document["source"]["url"].startswith("https://")


def test_the_version_is_that_of_the_content() -> None:
    contract = {"records": [record(None, None)]}
    assert PriceBook.load().version == BOOK.version
    assert PriceBook.load(contract).version == PriceBook.load(contract).version != BOOK.version


def test_a_contracts_price_wins_while_it_holds_and_the_list_price_after() -> None:
    book = PriceBook.load({"records": [record("2026-11-01", "2026-12-01", "0.0000001")]})

    def price(at: datetime) -> Decimal:
        found = book.aws_price("request", region="us-east-1", architecture="arm64", at=at)
        assert found is not None
        return found.amount

    assert price(NOW) == Decimal("0.0000001")
    assert price(datetime(2026, 12, 1, tzinfo=UTC)) == Decimal("0.0000002")
    assert price(datetime(2026, 10, 31, tzinfo=UTC)) == Decimal("0.0000002")


def test_a_contract_may_price_models_that_no_list_knows() -> None:
    price = {"input": [{"price": "1"}], "output": [{"price": "2"}]}
    models = [
        {"model": "own", "prefixes": ["own-"], "records": [{"valid_from": None, "prices": price}]},
        {"model": "own-large", "records": [{"valid_from": None, "prices": {"input": [{"price": "9"}]}}]},
    ]
    book = PriceBook.load({"models": models})
    found = {name: book.token_price("input", model=name, at=NOW) for name in ("own-7b", "own-large")}
    assert {name: price and price.amount for name, price in found.items()} == {"own-7b": 1, "own-large": 9}
    assert book.token_price("input", model="gpt-4o", at=NOW) == BOOK.token_price(
        "input", model="gpt-4o", at=NOW
    )


REFUSED: list[tuple[str, Any, str]] = [
    ("an overlap", {"records": [record(None, "2026-02-01"), record("2026-01-01", None)]}, "no overlap"),
    (
        "an overlap by an open end",
        {"records": [record(None, None), record("2026-01-01", None)]},
        "no overlap",
    ),
    ("a gap", {"records": [record(None, "2026-01-01"), record("2026-01-02", None)]}, "no gap"),
    ("an empty span", {"records": [record("2026-01-01", "2026-01-01")]}, "valid_from before valid_to"),
    (
        "a number for money",
        {"records": [record(None, None, tiers=[{"up_to": None, "price": 0.1}])]},
        "as a string",
    ),
    ("a negative price", {"records": [record(None, None, "-1")]}, ">= 0"),
    ("no number", {"records": [record(None, None, "free")]}, ">= 0"),
    ("infinity", {"records": [record(None, None, "Infinity")]}, ">= 0"),
    ("no tiers", {"records": [record(None, None, tiers=[])]}, "at least one tier"),
    (
        "a last tier with an end",
        {"records": [record(None, None, tiers=[{"up_to": "1", "price": "1"}])]},
        "without end",
    ),
    (
        "tiers that fall",
        {"records": [record(None, None, tiers=[{"up_to": n, "price": "1"} for n in ("2", "1", None)])]},
        "rising order",
    ),
    ("an unknown item", {"records": [record(None, None, item="coffee")]}, "an item of"),
    ("no region", {"records": [record(None, None, region=None)]}, "a region"),
    ("an unknown architecture", {"records": [record(None, None, architecture="mips")]}, "arm64"),
    ("a day that is none", {"records": [record("2026-02-30", None)]}, "a day YYYY-MM-DD"),
    ("another currency", {"currency": "EUR", "records": []}, "currency USD"),
    ("records that are no list", {"records": {}}, "a list of objects"),
    ("a model twice", {"models": [{"model": "a"}, {"model": "a"}]}, "once"),
    ("names in capitals", {"models": [{"model": "a", "equals": ["A"]}]}, "small letters"),
    ("a pattern that is none", {"models": [{"model": "a", "patterns": ["("]}]}, "expected a pattern"),
    (
        "hours that end before they begin",
        {"models": [{"model": "a", "records": [{"hours": ["16:00", "01:00"], "prices": {"input": "1"}}]}]},
        "the first before the second",
    ),
    (
        "a kind nobody sells",
        {"models": [{"model": "a", "records": [{"prices": {"smell": []}}]}]},
        "one of",
    ),
    ("no JSON", "{", "expected JSON"),
    ("no object", [], "expected an object"),
]


@pytest.mark.parametrize(
    ("document", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_file_that_cannot_be_trusted_is_refused_with_its_place(
    document: Any, says: str, tmp_path: Path
) -> None:
    with pytest.raises(PriceBookError, match=says) as refused:
        book_of(tmp_path, document)
    assert str(refused.value).startswith("price book, ")


def test_a_folder_without_prices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match=r"index\.json: expected a file"):
        PriceBook.load(folder=tmp_path)
    write_index(tmp_path, [])
    with pytest.raises(PriceBookError, match="expected price files in its index"):
        PriceBook.load(folder=tmp_path)


def test_an_index_whose_day_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"files": {"aws/us-east-1.json": None}}))
    with pytest.raises(PriceBookError, match="us-east-1.json: expected a day"):
        PriceBook.load(folder=tmp_path)


@pytest.mark.parametrize(
    "base_url",
    [
        *(profile.base_url.replace("{region}", "eu-west-1") for profile in PROFILES.values() if profile.base_url),
        "https://api.cohere.com/v2", "https://my.openai.azure.com/openai", "http://a.azure-api.net", "my.azure-api.net",
        "https://api.eu.residency.elevenlabs.io/v1", "https://api.minimax.io/v1", "https://api.minimaxi.com/v1",
        "https://w.cloud.databricks.com/serving-endpoints", "https://api.openrouter.ai/v1", "https://x.modal.run/v1",
        "https://router.huggingface.co/novita/v3", "https://bedrock-mantle.eu-west-1.api.aws/v1", "https://a.b/v1", "",
    ],
)  # fmt: skip
def test_a_seller_is_found_by_its_first_letters_as_its_whole_pattern_finds_it(base_url: str) -> None:
    for seller in BOOK.sellers.values():
        assert seller.serves(base_url) == bool(re.match(seller.address, base_url)), seller.name


@pytest.mark.parametrize(
    ("address", "says"),
    [("https://a|https://b", "alternatives in brackets"), ("https://(a", "expected a pattern")],
)
def test_an_address_that_its_first_letters_would_not_find_is_refused(
    address: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens/shop.json").write_text(json.dumps({"as_of": "2026-11-22", "models": []}))
    write_index(tmp_path, [{"name": "shop", "address": address, "names": {}, "models": {}, "also": []}])
    with pytest.raises(PriceBookError, match=says):
        PriceBook.load(folder=tmp_path).check()


def test_every_file_of_the_list_can_be_trusted_and_the_index_is_of_these_files(tmp_path: Path) -> None:
    BOOK.check()
    shutil.copytree(DATA, tmp_path / "data")
    assert write_index(tmp_path / "data") == BOOK.version


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"record": []}, "perhaps 'records'"),
        ({"records": [{**record(None, None), "regoin": "x"}]}, "perhaps 'region'"),
        ({"models": [{"model": "a", "prefix": ["a"]}]}, "perhaps 'prefixes'"),
        ({"models": [{"model": "a", "records": [{"price": {}}]}]}, "perhaps 'prices'"),
        ({"models": [{"model": "a", "records": [{"prices": {"cached": "1"}}]}]}, "perhaps 'cached_input'"),
        ({"models": [{"model": "a"}, {"model": "a"}]}, "once"),
    ],
)
def test_a_mistyped_key_of_a_contract_is_refused_with_the_nearest_right_one(
    overrides: dict[str, Any], says: str
) -> None:
    with pytest.raises(PriceBookError, match=says):
        PriceBook.load(overrides)


def test_a_contract_may_leave_gaps_but_not_overlap() -> None:
    PriceBook.load({"records": [record(None, "2026-01-01"), record("2026-06-01", None)]})
    with pytest.raises(PriceBookError, match="no overlap"):
        PriceBook.load({"records": [record(None, None), record("2026-06-01", None)]})


def test_in_a_region_that_has_prices_of_its_own_those_hold_and_elsewhere_the_sellers() -> None:
    def price(seller: str, model: str = "deepseek.v3.2", tier: str | None = None) -> Decimal | None:
        found = BOOK.token_price("input", model=model, seller=seller, tier=tier, at=NOW)
        return found and found.amount

    assert price("aws") == price("aws/us-east-1") == price("aws/nowhere-1") == Decimal("0.62")
    assert price("aws/ap-northeast-1") == price("aws/ap-northeast-1", "DeepSeek.V3.2") == Decimal("0.74")
    assert BOOK.provider("deepseek.v3.2", "aws/ap-northeast-1") == "aws"
    # A profile over several Regions has one price, whichever Region it was asked in.
    profile = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert price("aws/us-west-2", profile) == price("aws", profile)
