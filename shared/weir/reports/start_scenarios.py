"""What if environments came about in another way: from a snapshot, kept warm, or shared on instances.

What stands ready is charged for itself, whether requests come or not: of each function one, as large as its largest.
"""

from decimal import Decimal

from weir.pricing.money import plain
from weir.reports.places import (
    Range,
    Row,
    billed_by_time,
    booked_at,
    count,
    ms_cost,
    of_each,
    price_at,
    started,
)
from weir.reports.supposition import Scenario, Supposed
from weir.reports.unit_prices import MB_MS


def snap_start(within: Range, supposed: Supposed) -> Scenario:
    """No cold starts: environments are restored from a snapshot."""
    made = Scenario("snapstart", "No cold starts, by SnapStart")
    made.assumptions += [
        "Nothing is billed for starts, but each one restores a snapshot, at its price.",
        f"One version of each function is kept in the cache for the whole range: {within.seconds / 3600:.0f} hours.",
        "The time that a restore is billed for is not known, and left out.",
    ]
    cached: dict[str, Row] = {}

    def restore(place: Row) -> None:
        starts = count(place, "cold_starts")
        gigabytes = Decimal(place["memory_mb"]) / 1024
        restores = price_at(within, place, "snapstart_restore") * gigabytes * starts
        made.add(restores - ms_cost(within, place, count(place, "cold_ms")), starts)
        _keep_largest(cached, place)

    def keep(place: Row) -> None:
        gb_s = Decimal(place["memory_mb"]) / 1024 * within.seconds
        made.add(price_at(within, place, "snapstart_cache") * gb_s, 0)

    of_each(made, started(made, within), restore)
    return of_each(made, cached.values(), keep)


def provisioned(within: Range, supposed: Supposed) -> Scenario:
    """No cold starts: environments are kept warm."""
    made = Scenario(
        "provisioned", "No cold starts, by provisioned concurrency", {"environments": supposed.environments}
    )
    busiest = {function.function: function.busiest_ms for function in within.functions}
    kept: dict[str, Row] = {}

    def serve(place: Row) -> None:
        billed, cold = count(place, "billed_ms"), count(place, "cold_ms")
        warm = ms_cost(within, place, billed - cold, item="provisioned_duration")
        made.add(warm - ms_cost(within, place, billed), count(place, "requests"))
        _keep_largest(kept, place)

    def keep(place: Row) -> None:
        name = place["function_name"]
        environments = supposed.environments or -(-(busiest.get(name) or 0) // 60_000)
        gb_s = Decimal(place["memory_mb"]) / 1024 * within.seconds * environments
        made.add(price_at(within, place, "provisioned_concurrency") * gb_s, 0)
        why = "" if supposed.environments else ", which its busiest minute needs on average"
        made.assumptions.append(f"{name}: {environments} environments of {place['memory_mb']} MB{why}.")

    of_each(made, started(made, within), serve)
    of_each(made, [kept[name] for name in sorted(kept)], keep)
    made.assumptions.append(
        f"They are kept for the whole range: {within.seconds / 3600:.0f} hours. No request finds all of them taken."
    )
    return made


def managed_instances(within: Range, supposed: Supposed) -> Scenario:
    """Environments serve several requests at once, on instances."""
    many = supposed.concurrency
    made = Scenario(
        "managed_instances",
        f"{many} requests an environment, on Managed Instances",
        {
            "concurrency": many,
            "instance_usd_hour": _said(supposed.instance_usd_hour),
            "instance_memory_gb": _said(supposed.instance_memory_gb),
            "instance_fee_percent": _said(supposed.instance_fee_percent),
        },
    )
    made.assumptions += [
        f"Each request holds 1/{many} of its environment's memory for its duration, without its start.",
        "What instances idle is left out, so this is the least that it costs. Requests cost what they do.",
    ]

    def share(place: Row) -> None:
        made.leave_out("duration_unknown", count(place, "duration_unknown"))
        requests = count(place, "requests") - count(place, "unbilled") - count(place, "duration_unknown")
        if requests > 0:
            shared = _held(within, place, supposed) / many
            made.add(shared - booked_at(place, "lambda_duration"), requests)

    of_each(made, billed_by_time(made, within), share)
    if supposed.instance_usd_hour is None and made.unknown:
        made.assumptions.append(
            "EC2's prices are not in the price book: give an instance's price and memory (instance_usd_hour, "
            "instance_memory_gb), or managed_instances_memory in WEIR_PRICE_OVERRIDES."
        )
    return made


def _held(within: Range, place: Row, supposed: Supposed) -> Decimal:
    """What its requests' time costs in all of the environment's memory, as given or by the book. Raises Unpriced."""
    held_ms = count(place, "duration_ms")
    if supposed.instance_usd_hour is None or supposed.instance_memory_gb is None:
        return ms_cost(within, place, held_ms, item="managed_instances_memory")
    given = supposed.instance_fee_percent
    fee = price_at(within, place, "managed_instances_fee") if given is None else given / 100
    gb_s = Decimal(held_ms * place["memory_mb"]) / MB_MS
    return gb_s * supposed.instance_usd_hour * (1 + fee) / (3600 * supposed.instance_memory_gb)


def _said(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _keep_largest(kept: dict[str, Row], place: Row) -> None:
    """Of each function the place with the most memory, and there the most time: what is kept ready is like it."""
    name = place["function_name"]
    kept[name] = max(kept.get(name, place), place, key=_size)


def _size(place: Row) -> tuple[int, int, str]:
    return place["memory_mb"], count(place, "billed_ms"), place["architecture"]
