"""The bill that AWS would send for what a ledger metered, and bills with errors in them.

Hourly, without request ids, by function and usage type, every line's cost rounded to 10 places, from list prices: as
CUR 2.0 or FOCUS 1.2, as CSV, CSV.gz or Parquet. It shares no code with reconciliation but the price book. A seeded
error is one that a real bill, or a real ledger, can have.
https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2-line-item.html
https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-focus-1-2-aws-columns.html
"""

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

from weir.pricing.price_book import AwsItem, PriceBook

type Export = Literal["cur", "focus"]
_HOUR = timedelta(hours=1)
_PLACES = Decimal("1e-10")
# Regions as usage types begin with them; us-east-1 has none.
_PREFIXES = {
    "us-east-1": "",
    "us-east-2": "USE2-",
    "us-west-2": "USW2-",
    "eu-west-1": "EU-",
    "eu-central-1": "EUC1-",
}
_PROVISIONED = "provisioned-concurrency"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What AWS meters of one request; `at` is its report's, `invocations` counts a retried event's too."""

    at: datetime
    function_arn: str
    region: str
    architecture: str
    memory_mb: int
    billed_ms: int
    invocations: int = 1
    streamed_bytes: int = 0
    initialization_type: str = "on-demand"


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the bill, before it takes an export's shape; `hour` as it is written, without a zone."""

    hour: datetime
    function_arn: str
    region: str
    usage_type: str
    unit: str
    description: str
    quantity: Decimal
    price: Decimal

    @property
    def cost(self) -> Decimal:
        """Rounded to 10 places, as AWS does."""
        return line_cost(self.quantity, self.price)


def line_cost(quantity: Decimal, price: Decimal) -> Decimal:
    """What AWS's bill shows for one line: quantity by list price, rounded to 10 places."""
    return (quantity * price).quantize(_PLACES, rounding=ROUND_HALF_EVEN)


type Seed = Callable[[list[Invocation], PriceBook], list[Charge]]


def metered(query: Callable[[str, list[Any]], Iterable[Sequence[Any]]]) -> list[Invocation]:
    """The invocations of a ledger, through a query on its view; those that nothing was billed for are none."""
    rows = query(
        "SELECT coalesce(corrects_at, at_utc), function_arn, region, architecture, memory_mb, billed_ms, "
        "billed_invocations, coalesce(streamed_bytes, 0), coalesce(initialization_type, 'on-demand') FROM ledger "
        "WHERE billed_ms IS NOT NULL AND function_arn IS NOT NULL AND memory_mb IS NOT NULL "
        "AND architecture IS NOT NULL AND region IS NOT NULL ORDER BY 1, request_id",
        [],
    )
    return [Invocation(row[0].replace(tzinfo=UTC), *row[1:]) for row in rows]


def charges(invocations: Iterable[Invocation], book: PriceBook) -> list[Charge]:
    """The bill of some invocations, without an error."""
    sums: dict[tuple[datetime, str, str, str, str, AwsItem, str], Decimal] = {}

    def add(of: Invocation, name: str, item: AwsItem, unit: str, words: str, quantity: Decimal) -> None:
        hour = of.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
        arm = of.architecture == "arm64"
        text = f"AWS Lambda - {words}{' ARM' if arm else ''} - {of.region}"
        key = (hour, of.function_arn, of.region, f"{name}{'-ARM' if arm else ''}", unit, item, text)
        sums[key] = sums.get(key, Decimal(0)) + quantity

    for one in invocations:
        seconds = Decimal(one.billed_ms * one.memory_mb) / (1000 * 1024)
        if one.initialization_type == _PROVISIONED:
            name = "Lambda-Provisioned-GB-Second"
            add(one, name, "provisioned_duration", "GB-Seconds", "Total Compute (Provisioned)", seconds)
        else:
            add(one, "Lambda-GB-Second", "duration", "GB-Seconds", "Total Compute", seconds)
        add(one, "Request", "request", "Requests", "Total Requests", Decimal(one.invocations))
        beyond = one.streamed_bytes - 6 * 1024**2
        if beyond > 0:
            name = "Lambda-Streaming-Response-Processed-Bytes"
            add(one, name, "streamed_bytes", "GB", "Total Streamed Bytes", Decimal(beyond) / 1024**3)
    lines = []
    for (hour, arn, region, name, unit, item, text), quantity in sorted(sums.items()):
        architecture = "arm64" if name.endswith("-ARM") else "x86_64"
        price = book.aws_price(item, region=region, architecture=architecture, at=hour.replace(tzinfo=UTC))
        if price is None:
            raise ValueError(f"expected a price of {item} in {region} on {hour.date()}, got none")
        quantity = quantity.quantize(_PLACES, rounding=ROUND_HALF_EVEN)
        full = f"{_PREFIXES.get(region, region.upper() + '-')}{name}"
        lines.append(Charge(hour, arn, region, full, unit, text, quantity, price.amount))
    return lines


def lost(share: float, choice: Random) -> Seed:
    """Requests that the ledger does not have: that share more, like some of those that it has."""

    def seed(invocations: list[Invocation], book: PriceBook) -> list[Charge]:
        count = max(round(len(invocations) * share), 1)
        more = [
            replace(one, billed_ms=one.billed_ms + choice.randint(1, 50))
            for one in choice.sample(invocations, count)
        ]
        return charges([*invocations, *more], book)

    return seed


def doubled(hour: datetime) -> Seed:
    """The lines of one hour (UTC) twice."""

    def seed(invocations: list[Invocation], book: PriceBook) -> list[Charge]:
        lines = charges(invocations, book)
        return [*lines, *(line for line in lines if line.hour == hour.replace(tzinfo=None))]

    return seed


def wrong_memory(day: date, factor: int = 2) -> Seed:
    """A day (UTC) billed as if functions had `factor` times their memory."""

    def seed(invocations: list[Invocation], book: PriceBook) -> list[Charge]:
        return charges(
            (
                replace(one, memory_mb=one.memory_mb * factor) if one.at.date() == day else one
                for one in invocations
            ),
            book,
        )

    return seed


def wrong_architecture(day: date) -> Seed:
    """A day (UTC) billed as the other architecture's."""
    other = {"arm64": "x86_64", "x86_64": "arm64"}

    def seed(invocations: list[Invocation], book: PriceBook) -> list[Charge]:
        return charges(
            (
                replace(one, architecture=other[one.architecture]) if one.at.date() == day else one
                for one in invocations
            ),
            book,
        )

    return seed


def local_time(day: date, zone: ZoneInfo) -> Seed:
    """A day (UTC) whose hours are written as clocks on the wall of `zone` show them."""

    def seed(invocations: list[Invocation], book: PriceBook) -> list[Charge]:
        def on_the_wall(line: Charge) -> Charge:
            if line.hour.date() != day:
                return line
            return replace(line, hour=line.hour.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None))

        return [on_the_wall(line) for line in charges(invocations, book)]

    return seed


def records(lines: Iterable[Charge], export: Export) -> list[dict[str, str]]:
    """The lines in an export's columns, as text; what does not apply is empty."""
    shape = _cur if export == "cur" else _focus
    return [shape(line, number) for number, line in enumerate(lines, 1)]


def write_bill(path: Path, lines: Iterable[Charge], export: Export) -> None:
    """Write a bill as `path` ends: .csv, .csv.gz or .parquet."""
    rows = records(lines, export)
    if not rows:
        raise ValueError(f"{path.name}: expected at least one line to bill, got none")
    if path.name.endswith(".parquet"):
        _write_parquet(path, rows)
        return
    output = io.StringIO()
    writer = csv.DictWriter(output, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = output.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _write_parquet(path: Path, rows: list[dict[str, str]]) -> None:
    import duckdb  # heavy: not for those who write CSV

    timestamps = ("Start", "End", "_start_date", "_end_date")
    numbers = ("Cost", "Price", "Quantity", "_amount", "_cost", "_rate")

    def typed(name: str) -> str:
        # As AWS types them: instants, and doubles for every amount.
        kind = "TIMESTAMP" if name.endswith(timestamps) else "DOUBLE" if name.endswith(numbers) else "VARCHAR"
        return f'CAST(nullif("{name}", \'\') AS {kind}) AS "{name}"'

    columns = list(rows[0])
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE bill ({', '.join(f'"{name}" VARCHAR' for name in columns)})")
        places = ", ".join("?" for _ in columns)
        connection.executemany(f"INSERT INTO bill VALUES ({places})", [list(row.values()) for row in rows])
        target = str(path).replace("'", "''")
        connection.execute(
            f"COPY (SELECT {', '.join(map(typed, columns))} FROM bill) TO '{target}' (FORMAT parquet)"
        )


def _written(at: datetime) -> str:
    return f"{at.isoformat(timespec='seconds')}Z"


def _month(at: datetime) -> tuple[datetime, datetime]:
    start = at.replace(day=1, hour=0)
    return start, (start + timedelta(days=32)).replace(day=1)


def _cur(line: Charge, number: int) -> dict[str, str]:
    start, end = _month(line.hour)
    account = line.function_arn.split(":")[4]
    cost, price = f"{line.cost:f}", f"{line.price:f}"
    return {
        "identity_line_item_id": f"{number:052d}",
        "identity_time_interval": f"{_written(line.hour)}/{_written(line.hour + _HOUR)}",
        "bill_invoice_id": "",
        "bill_billing_entity": "AWS",
        "bill_bill_type": "Anniversary",
        "bill_payer_account_id": account,
        "bill_billing_period_start_date": _written(start),
        "bill_billing_period_end_date": _written(end),
        "line_item_usage_account_id": account,
        "line_item_line_item_type": "Usage",
        "line_item_usage_start_date": _written(line.hour),
        "line_item_usage_end_date": _written(line.hour + _HOUR),
        "line_item_product_code": "AWSLambda",
        "line_item_usage_type": line.usage_type,
        "line_item_operation": "Invoke",
        "line_item_availability_zone": "",
        "line_item_resource_id": line.function_arn,
        "line_item_usage_amount": f"{line.quantity:f}",
        "line_item_normalization_factor": "",
        "line_item_currency_code": "USD",
        "line_item_unblended_rate": price,
        "line_item_unblended_cost": cost,
        "line_item_line_item_description": f"{line.description}: {price} per {line.unit}",
        "product_servicecode": "AWSLambda",
        "product_region_code": line.region,
        "pricing_term": "OnDemand",
        "pricing_unit": line.unit,
        "pricing_currency": "USD",
        "pricing_public_on_demand_cost": cost,
        "savings_plan_savings_plan_effective_cost": "",
    }


def _focus(line: Charge, number: int) -> dict[str, str]:
    start, end = _month(line.hour)
    account = line.function_arn.split(":")[4]
    cost, price, quantity = f"{line.cost:f}", f"{line.price:f}", f"{line.quantity:f}"
    issuer = "Amazon Web Services, Inc."
    return {
        "AvailabilityZone": "",
        "BilledCost": cost,
        "BillingAccountId": account,
        "BillingAccountName": "",
        "BillingAccountType": "Management Account",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _written(end),
        "BillingPeriodStart": _written(start),
        "CapacityReservationId": "",
        "CapacityReservationStatus": "",
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": line.description,
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _written(line.hour + _HOUR),
        "ChargePeriodStart": _written(line.hour),
        "CommitmentDiscountCategory": "",
        "CommitmentDiscountId": "",
        "CommitmentDiscountName": "",
        "CommitmentDiscountQuantity": "",
        "CommitmentDiscountStatus": "",
        "CommitmentDiscountType": "",
        "CommitmentDiscountUnit": "",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": line.unit,
        "ContractedCost": cost,
        "ContractedUnitPrice": price,
        "EffectiveCost": cost,
        "InvoiceId": "",
        "InvoiceIssuerName": issuer,
        "ListCost": cost,
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingCurrencyContractedUnitPrice": price,
        "PricingCurrencyEffectiveCost": cost,
        "PricingCurrencyListUnitPrice": price,
        "PricingQuantity": quantity,
        "PricingUnit": line.unit,
        "ProviderName": "AWS",
        "PublisherName": issuer,
        "RegionId": line.region,
        "RegionName": line.region,
        "ResourceId": line.function_arn,
        "ResourceName": line.function_arn.rpartition(":")[2],
        "ResourceType": "function",
        "ServiceCategory": "Compute",
        "ServiceName": "AWS Lambda",
        "ServiceSubcategory": "Serverless Compute",
        "SkuId": "",
        "SkuMeter": line.usage_type,
        "SkuPriceDetails": "",
        "SkuPriceId": "",
        "SubAccountId": account,
        "SubAccountName": "",
        "SubAccountType": "Linked Account",
        "Tags": "",
        "x_Discounts": "",
        "x_Operation": "Invoke",
        "x_ServiceCode": "AWSLambda",
    }
