"""AWS's price list, refreshed by the ledger's jobs: other prices hold from that day on, and no day before it changes."""

import copy
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anyio.to_thread
import pytest

from functions.finance import app as finance
from functions.ledger_jobs import app as jobs
from infra.local.endpoints.http_server import HttpServer
from tests.price_offers import LAMBDA, dimension, offer
from weir.ledger.store import Store
from weir.pricing.aws_offers import PriceListError
from weir.pricing.aws_price_list import USAGE_TYPES
from weir.pricing.price_book import PriceBook

REGION = "eu-west-1"
NOW = datetime(2027, 1, 15, 9, tzinfo=UTC)
CONTRACT = '{"records": [{"item": "logs_ingestion", "region": "eu-west-1", "tiers": "0.1"}]}'


class PriceList:
    """A server of offers, as AWS's: by service and Region."""

    def __init__(self) -> None:
        self.offers = {code: offer(code) for code in USAGE_TYPES} | {"AWSLambda": copy.deepcopy(LAMBDA)}
        self.publish("2027-01-10", "0.0000003000")

    def publish(self, day: str, usd: str) -> None:
        """A list of that day, in which a request costs so much."""
        document = self.offers["AWSLambda"]
        document["publicationDate"] = f"{day}T00:00:00Z"
        for sku, product in document["products"].items():
            if product["attributes"]["usagetype"].endswith(("-Request", "-Request-ARM")):
                [term] = document["terms"]["OnDemand"][sku].values()
                term["effectiveDate"] = f"{day[:8]}01T00:00:00Z"
                term["priceDimensions"] = {"d": dimension("0", "Inf", usd, "Requests")}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        parts = scope["path"].split("/")
        found = self.offers.get(parts[4]) if parts[-2:] == [REGION, "index.json"] else None
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})


@pytest.fixture
async def price_list(bucket: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PriceList]:
    listed = PriceList()
    server = HttpServer(listed)
    server.start()
    monkeypatch.setenv("WEIR_PRICE_LIST", server.url)
    monkeypatch.setenv("WEIR_LEDGER_TASKS", "refresh_prices")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setattr(jobs, "_now", lambda: NOW)
    for cached in (jobs._store, jobs._current_book):
        cached.cache_clear()
    yield listed
    for cached in (jobs._store, jobs._current_book):
        cached.cache_clear()
    await server.close()


async def refresh() -> dict[str, Any]:
    event = {"task": "refresh_prices"}
    return await anyio.to_thread.run_sync(jobs.handler, event, SimpleNamespace(aws_request_id="p-1"))


def request_price(book: PriceBook, at: datetime) -> str:
    found = book.aws_price("request", region=REGION, architecture="arm64", at=at)
    assert found is not None
    return format(found.amount, "f")


async def test_other_prices_hold_from_the_day_of_the_refresh_on_for_all_who_read_the_ledger(
    price_list: PriceList, bucket: str
) -> None:
    shipped = PriceBook.load()
    done = await refresh()
    assert done["new_records"] == 1 and done["region"] == REGION
    for book in (jobs._book(), finance._current_book(bucket, REGION, "").get()):
        assert book.version == done["price_book"] != shipped.version
        # The list says since the first of the month; those days are booked.
        for days in (-30, -14, -1):
            at = NOW + timedelta(days=days)
            assert request_price(book, at) == request_price(shipped, at)
        assert request_price(book, NOW) == "0.0000003"
        assert book.age(NOW).as_of <= NOW.date()


async def test_a_list_that_says_the_same_changes_no_book_and_a_second_price_follows_the_first(
    price_list: PriceList, monkeypatch: pytest.MonkeyPatch
) -> None:
    price_list.publish("2027-01-10", "0.0000002000")  # as the book has it
    first = await refresh()
    assert (first["new_records"], first["price_book"]) == (0, PriceBook.load().version)
    price_list.publish("2027-02-10", "0.0000003000")
    monkeypatch.setattr(jobs, "_now", lambda: NOW + timedelta(days=30))
    second = await refresh()
    monkeypatch.setattr(jobs, "_now", lambda: NOW + timedelta(days=60))
    price_list.publish("2027-03-10", "0.0000004000")
    third = await refresh()
    assert (second["new_records"], third["new_records"]) == (1, 1)
    book = jobs._book()
    prices = [request_price(book, NOW + timedelta(days=days)) for days in (29, 30, 59, 60)]
    assert prices == ["0.0000002", "0.0000003", "0.0000003", "0.0000004"]


async def test_a_contract_goes_over_refreshed_prices(
    price_list: PriceList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_PRICE_OVERRIDES", CONTRACT)
    await refresh()
    book = jobs._book()
    found = book.aws_price("logs_ingestion", region=REGION, architecture=None, at=NOW)
    assert found is not None and str(found.amount) == "0.1"
    assert request_price(book, NOW) == "0.0000003"


async def test_a_later_release_whose_prices_were_checked_later_goes_before_what_was_refreshed(
    price_list: PriceList, bucket: str
) -> None:
    await refresh()
    store = Store(bucket)
    old = json.loads(store.price_list(REGION))
    store.put_price_list(REGION, {**old, "as_of": "2020-01-01"})
    jobs._current_book.cache_clear()
    assert jobs._book().version == PriceBook.load().version


async def test_a_list_that_cannot_be_had_or_is_none_changes_nothing_and_says_where(
    price_list: PriceList, bucket: str
) -> None:
    del price_list.offers["AmazonS3"]
    with pytest.raises(PriceListError, match="AmazonS3/current/eu-west-1/index.json, got HTTP Error 404"):
        await refresh()
    assert Store(bucket).price_list(REGION) == ""
    assert jobs._book().version == PriceBook.load().version
