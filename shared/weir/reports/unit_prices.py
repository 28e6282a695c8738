"""What one of something costs at a place on a day, as the price book has it; what has no price says so.

Scenarios and explanations multiply sums by these. They ask the same book as the rows' own pricing, so that a scenario
that changes nothing changes no money.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal

from weir.errors import ConfigurationError
from weir.pricing.price_book import BY_ARCHITECTURE, AwsItem, Price, PriceBook
from weir.pricing.token_charges import no_price

MB_MS = 1000 * 1024  # of a GB-second
PROVISIONED, SNAP_START, MANAGED = "provisioned-concurrency", "snap-start", "lambda-managed-instances"

# The item that each charge is a multiple of; that of duration goes by how the environment came about.
ITEM_OF: Mapping[str, AwsItem] = {
    "lambda_request": "request",
    "lambda_streamed_bytes": "streamed_bytes",
    "lambda_ephemeral_storage": "ephemeral_storage",
    "lambda_restore": "snapstart_restore",
    "api_gateway": "api_gateway_request",
    "logs": "logs_ingestion",
}


class Unpriced(ConfigurationError):
    """Something has no price; the message is the reason, as rows have it."""


def duration_item(initialization_type: str | None) -> AwsItem:
    """What the milliseconds of an environment are sold as."""
    if initialization_type == MANAGED:
        return "managed_instances_memory"
    return "provisioned_duration" if initialization_type == PROVISIONED else "duration"


class UnitPrices:
    """The book's prices of AWS's items."""

    def __init__(self, book: PriceBook) -> None:
        self.book = book

    def record(self, item: AwsItem, region: str | None, architecture: str | None, day: date) -> Price:
        """The record that holds. Raises Unpriced."""
        price = self.book.aws_price(item, region=region, architecture=architecture, at=noon(day))
        if price is None:
            place = f"{region}/{architecture}" if item in BY_ARCHITECTURE else region
            raise Unpriced(no_price(item, place, noon(day)))
        return price

    def amount(self, item: AwsItem, region: str | None, architecture: str | None, day: date) -> Decimal:
        """USD of one unit, at the first tier; of an instance's memory, with AWS's fee. Raises Unpriced."""
        price = self.record(item, region, architecture, day).amount
        if item == "managed_instances_memory":
            return price * (1 + self.record("managed_instances_fee", region, architecture, day).amount)
        return price


def noon(day: date) -> datetime:
    """An instant of a UTC day."""
    return datetime.combine(day, time(12), UTC)
