"""What if environments came about in another way: from a snapshot, kept warm, or shared on instances.

What stands ready is charged for itself, whether requests come or not: of each function one, as large as its largest.
"""

from decimal import Decimal

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
        "managed_instances", f"{many} requests an environment, on Managed Instances", {"concurrency": many}
    )
    made.assumptions += [
        f"Each request holds 1/{many} of its environment's memory for its duration, without its start.",
        "What instances idle is left out, so this is the least that it costs. Requests cost what they do.",
    ]

    def share(place: Row) -> None:
        made.leave_out("duration_unknown", count(place, "duration_unknown"))
        requests = count(place, "requests") - count(place, "duration_unknown")
        if requests > 0:
            shared = (
                ms_cost(within, place, count(place, "duration_ms"), item="managed_instances_memory") / many
            )
            made.add(shared - booked_at(place, "lambda_duration"), requests)

    return of_each(made, billed_by_time(made, within), share)


def _keep_largest(kept: dict[str, Row], place: Row) -> None:
    """Of each function the place with the most memory, and there the most time: what is kept ready is like it."""
    name = place["function_name"]
    kept[name] = max(kept.get(name, place), place, key=_size)


def _size(place: Row) -> tuple[int, int, str]:
    return place["memory_mb"], count(place, "billed_ms"), place["architecture"]
