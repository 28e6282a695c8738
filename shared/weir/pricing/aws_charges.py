"""AWS's charges of one request, one function each: the quantity that is billed, by its price on that day.

None is unknown, with a reason why; 0 is known. What is free to an account in a month, and all tiers but the first,
belong to the month and to no request.
https://aws.amazon.com/lambda/pricing/ https://aws.amazon.com/api-gateway/pricing/ https://aws.amazon.com/cloudwatch/pricing/
"""

from decimal import Decimal
from math import ceil

from weir.pricing.charge_lines import COMPONENT_OF_ITEM, ChargeLine
from weir.pricing.money import charge
from weir.pricing.price_book import BY_ARCHITECTURE, AwsItem, Price, PriceBook
from weir.pricing.quantities import UsageQuantities
from weir.pricing.token_charges import no_price

_GIB = 1024**3
FREE_STREAMED_BYTES = 6 * 1024**2  # of every response; the free 100 GiB a month are the account's
FREE_EPHEMERAL_STORAGE_MB = 512
API_GATEWAY_METERED_BYTES = 10 * 1024**2  # each that a streamed response begins is a request
MANAGED_INSTANCES = "lambda-managed-instances"
_ZERO = Decimal(0)


class Prices:
    """The book at one request's day and place; a price that is missing becomes a reason."""

    def __init__(
        self,
        usage: UsageQuantities,
        book: PriceBook,
        reasons: list[str],
        lines: list[ChargeLine] | None = None,
    ) -> None:
        self.usage = usage
        self.book = book
        self.reasons = reasons
        self.lines = lines

    def charge(self, item: AwsItem, quantity: Decimal, more: Decimal = _ZERO) -> Decimal | None:
        """What `quantity` of an item costs, with `more` of the price as a fee; None without a price."""
        price = self.price(item)
        if price is None:
            return None
        unit_price = price.amount if not more else price.amount * (1 + more)
        amount = charge(quantity, unit_price)
        if self.lines is not None:
            self.lines.append(ChargeLine(COMPONENT_OF_ITEM[item], quantity, unit_price, amount, price))
        return amount

    def price(self, item: AwsItem) -> Price | None:
        """What one unit costs."""
        usage = self.usage
        price = self.book.aws_price(item, region=usage.region, architecture=usage.architecture, at=usage.at)
        if price is None:
            by_architecture = item in BY_ARCHITECTURE
            place = f"{usage.region}/{usage.architecture}" if by_architecture else usage.region
            self.reasons.append(no_price(item, place, usage.at))
        return price

    def unknown(self, reason: str) -> Decimal | None:
        """Say why a component has no amount, or not all of it; the amount of what is unknown is None."""
        self.reasons.append(reason)
        return None


def duration_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    if usage.billed_ms is None or usage.billed_ms < 0:
        return prices.unknown(
            "billed_duration_unknown" if usage.billed_ms is None else "billed_duration_negative"
        )
    if usage.memory_mb is None or usage.architecture is None:
        return prices.unknown("memory_unknown" if usage.memory_mb is None else "architecture_unknown")
    item: AwsItem = "duration"
    if usage.initialization_type == "provisioned-concurrency":
        item = "provisioned_duration"
        prices.unknown("provisioned_concurrency_not_allocated")  # a standing charge, of no single request
    elif usage.initialization_type == "snap-start":
        prices.unknown("snapstart_cache_not_allocated")  # as the one above: per published version and second
    return prices.charge(item, Decimal(usage.billed_ms * usage.memory_mb) / (1000 * 1024))


def allocated_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    """On managed instances, which are billed whole: the share of an environment's memory for the request's time.

    An environment serves `max_concurrency` requests at once, so one holds a part of its memory: the GB-seconds of
    that part cost what the instance's memory does, with AWS's fee on top. What instances idle is in no row.
    """
    milliseconds = managed_ms(usage)
    if milliseconds is None:
        return prices.unknown("duration_unknown")
    if usage.memory_mb is None or usage.max_concurrency is None:
        return prices.unknown("memory_unknown" if usage.memory_mb is None else "max_concurrency_unknown")
    price, fee = prices.price("managed_instances_memory"), prices.price("managed_instances_fee")
    if price is None or fee is None:
        return None
    prices.unknown("managed_instances_allocated_by_gb_seconds")
    gb_s = Decimal(milliseconds * usage.memory_mb) / (1000 * 1024)
    return prices.charge("managed_instances_memory", gb_s / max(usage.max_concurrency, 1), fee.amount)


def managed_ms(usage: UsageQuantities) -> int | None:
    return None if usage.duration_ms is None else ceil(usage.duration_ms)


def request_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    if usage.billed_invocations is None:
        return prices.unknown("billed_invocations_unknown")
    return prices.charge("request", Decimal(usage.billed_invocations))


def streamed_bytes_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    if usage.streamed_bytes is None:
        return prices.unknown("streamed_bytes_unknown")
    beyond = usage.streamed_bytes - FREE_STREAMED_BYTES
    return prices.charge("streamed_bytes", Decimal(beyond) / _GIB) if beyond > 0 else _ZERO


def ephemeral_storage_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    if usage.ephemeral_storage_mb is None:
        return prices.unknown("ephemeral_storage_unknown")
    beyond = usage.ephemeral_storage_mb - FREE_EPHEMERAL_STORAGE_MB
    if beyond <= 0 or usage.initialization_type == MANAGED_INSTANCES:  # there the disk is the instance's
        return _ZERO
    if usage.billed_ms is None or usage.billed_ms < 0:
        return prices.unknown("ephemeral_storage_duration_unknown")
    return prices.charge("ephemeral_storage", Decimal(usage.billed_ms * beyond) / (1000 * 1024))


def restore_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    """By memory alone: Lambda takes no snapshot of a function with more disk than the free 512 MB.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html, "Supported features and limitations".
    """
    restores = usage.restores
    if restores is None:
        if usage.initialization_type in (None, "snap-start"):
            return prices.unknown("restores_unknown")
        restores = 0  # nothing else starts from a snapshot
    if restores == 0:
        return _ZERO
    if usage.memory_mb is None:
        return prices.unknown("restores_memory_unknown")
    return prices.charge("snapstart_restore", Decimal(restores * usage.memory_mb) / 1024)


def api_gateway_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    if usage.front is None:
        return prices.unknown("front_unknown")
    if usage.front in ("function_url", "direct"):
        return _ZERO
    if usage.front != "rest_api":
        return prices.unknown(f"event_source_unpriced:{usage.front}")
    if usage.streamed_bytes is None:
        return prices.unknown("api_gateway_bytes_unknown")
    metered = max(-(-usage.streamed_bytes // API_GATEWAY_METERED_BYTES), 1)
    return prices.charge("api_gateway_request", Decimal(metered))


def logs_charge(usage: UsageQuantities, prices: Prices) -> Decimal | None:
    if usage.log_bytes is None:
        # An estimate is made before its lines are written: it leaves them out, which is no gap.
        return None if usage.is_estimate else prices.unknown("log_bytes_unknown")
    return prices.charge("logs_ingestion", Decimal(usage.log_bytes) / _GIB)
