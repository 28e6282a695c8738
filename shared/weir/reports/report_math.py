"""From what the queries gave to what the report says: sums of sums, shares, and cost per unit.

Every number here is added or divided exactly, as Decimal. Null is unknown and stays it: a sum is over what is known,
and null where nothing is; a share or a quotient of something unknown, or by 0, is null.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

from weir.ledger.facts import format_timestamp
from weir.ledger.table import COMPONENTS, PHASES
from weir.pricing.money import MONEY, PLACES, plain
from weir.reports.queries import BREAKDOWNS, COST_EDGES, Filters, breakdown_of

type Named = Mapping[str, Any]

COMPONENT_NAMES = tuple(name.removeprefix("cost_") for name in COMPONENTS)
PHASE_NAMES = tuple(name.removeprefix("phase_") for name in PHASES)
_PERCENTILE = ("_p50", "_p95")
TOKEN_CHARGES = tuple(name for name in COMPONENT_NAMES if name.endswith("_tokens"))
# How a reason begins, and the charges that it is about. What is not here is about tokens.
_LEFT_OUT: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("metering",), ("metering",)),
    (("request_fee",), TOKEN_CHARGES),
    (("billed_invocations", "request"), ("lambda_request",)),
    (("streamed_bytes",), ("lambda_streamed_bytes",)),
    (("ephemeral_storage",), ("lambda_ephemeral_storage",)),
    (("restores", "snapstart"), ("lambda_restore",)),
    (("front", "event_source", "api_gateway"), ("api_gateway",)),
    (("log_bytes", "logs"), ("logs",)),
    (("input_tokens",), tuple(name for name in TOKEN_CHARGES if "output" not in name)),
    (("output_tokens",), tuple(name for name in TOKEN_CHARGES if "output" in name)),
    (
        (
            "billed_duration",
            "report_without_billed_duration",
            "memory",
            "architecture",
            "duration",
            "max_concurrency",
            "managed",
            "provisioned",
        ),
        ("lambda_duration",),
    ),
)


def add_up(buckets: Sequence[Named]) -> Named:
    """The sums of all buckets by name; without any, every one is None."""
    names = (
        [name for name in buckets[0] if name != "bucket" and not name.endswith(_PERCENTILE)]
        if buckets
        else []
    )
    with localcontext(MONEY):
        return defaultdict(lambda: None, {name: _sum([bucket[name] for bucket in buckets]) for name in names})


def totals(summed: Named, why: Iterable[Named], errors: Named) -> dict[str, Any]:
    """The `totals` of the report."""
    estimated, final = summed["estimated"], summed["estimated_final"]
    reasons = {reason["reason"]: int(reason["requests"]) for reason in why}
    return {
        "requests": summed["requests"] or 0,
        "total": amount(summed["total"] or Decimal(0)),
        "is_lower_bound": bool(summed["lower_bounds"]),
        "components": {name: amount(summed[f"cost_{name}"]) for name in COMPONENT_NAMES},
        "phases": {name: amount(summed[f"phase_{name}"]) for name in PHASE_NAMES},
        "tokens": {
            name: summed[f"{name}_tokens"] for name in ("input", "cached_input", "output", "reasoning")
        },
        "billed_ms": summed["billed_ms"],
        "gb_s": amount(summed["gb_s"]),
        "streamed_bytes": summed["streamed_bytes"],
        "saved": {
            "total": amount(summed["saved_total"]),
            "tokens": summed["saved_tokens"],
            "rows": summed["rows_saved"] or 0,
            "by": [
                {
                    "how": how,
                    "total": amount(summed[f"saved_total_{how}"]),
                    "tokens": summed[f"saved_tokens_{how}"],
                    "requests": summed[f"requests_{how}"] or 0,
                }
                for how in ("early_stop", "idempotency_key", "cache")
            ],
        },
        "unpriced": {
            "rows": summed["rows_unpriced"] or 0,
            "reasons": reasons,
            "components": [
                name for name in COMPONENT_NAMES if any(name in charges_of(why) for why in reasons)
            ],
        },
        "estimates": {
            "rows": summed["rows_estimated"] or 0,
            "estimated": amount(estimated or Decimal(0)),
            "final": amount(final or Decimal(0)),
            "bias_percent": percent(None if estimated is None else estimated - final, final),
            "error_p50_percent": rounded(errors["error_p50"], 4),
            "error_p99_percent": rounded(errors["error_p99"], 4),
        },
    }


def unit_economics(summed: Named) -> dict[str, Any]:
    """What a unit of what the money was spent for cost."""
    return {
        "is_lower_bound": bool(summed["lower_bounds"]),
        "per_1000_requests": quotient(summed["total"], summed["requests"], 1000),
        "per_validated_document": quotient(summed["total_of_documents"], summed["documents"], 1),
        "per_million_output_tokens": quotient(summed["total"], summed["delivered_tokens"], 1_000_000),
    }


def waste(summed: Named) -> list[dict[str, Any]]:
    """What was paid for and gave no document; the parts overlap, so they have no sum."""
    parts = {
        "waiting": summed["phase_waiting"],
        "cold_start": summed["phase_cold_start"],
        **{name: summed[f"total_{name}"] for name in ("failed", "abandoned", "retried")},
        "unknown": summed["total_without_outcome"],
    }
    phases = ("waiting", "cold_start")
    bounds = {
        name: summed[f"lower_bounds_{'without_outcome' if name == 'unknown' else name}"] for name in parts
    }
    listed = []
    for name, part in parts.items():
        # No row of a kind is a known 0; a phase that no row knows is unknown.
        known = Decimal(0) if part is None and (name not in phases or not summed["requests"]) else part
        listed.append(
            {
                "name": name,
                "total": amount(known),
                "share_percent": percent(known, summed["total"]),
                "is_lower_bound": bool(bounds[name]),
            }
        )
    return listed


def latency(summed: Named, overall: Named) -> dict[str, Any]:
    """Percentiles of the range, in milliseconds, and the share of cold starts."""
    return {
        **{
            measure: {name: rounded(overall[f"{measure}_{name}"], 1) for name in ("p50", "p95", "p99")}
            for measure in ("ttft_ms", "duration_ms")
        },
        "cold_start_percent": percent(summed["cold_starts"], summed["starts_known"]),
    }


def breakdowns(rows: Iterable[Named], total: Decimal | None) -> dict[str, list[dict[str, Any]]]:
    """The most expensive names of each breakdown, the others last."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in BREAKDOWNS}
    for row in sorted(rows, key=lambda row: (row["dimension"], row["place"])):
        found[breakdown_of(row["dimension"])].append(
            {
                "name": row["shown"],
                "requests": int(row["requests"]),
                "total": amount(row["total"]),
                "share_percent": percent(row["total"], total),
                "is_lower_bound": bool(row["lower_bounds"]),
            }
        )
    return found


def charges_of(reason: str) -> tuple[str, ...]:
    """The components that a reason of `unpriced` leaves out, or in part; all of the tokens' where it says no more."""
    said = reason.split(":")[1] if reason.startswith("no_price:") else reason
    return next((charges for words, charges in _LEFT_OUT if said.startswith(words)), TOKEN_CHARGES)


def group_totals(rows: Iterable[Named], total: Decimal | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """What each group of a series came to over the range, in the order of `names`."""
    with localcontext(MONEY):
        by_name: dict[str, list[Named]] = {}
        for row in rows:
            by_name.setdefault(row["shown"], []).append(row)
        summed = {name: _sum([row["total"] for row in by_name[name]]) for name in names}
    return [
        {
            "name": name,
            "requests": sum(int(row["requests"]) for row in by_name[name]),
            "total": amount(summed[name]),
            "share_percent": percent(summed[name], total),
            "is_lower_bound": any(row["lower_bounds"] for row in by_name[name]),
        }
        for name in names
    ]


def points(
    starts: Mapping[datetime, datetime], buckets: Iterable[Named], groups: Iterable[Named] | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """The names of the groups, and a point for every bucket; one in which nothing happened is a known 0.

    Without `groups` the parts are the components.
    """
    by_bucket = {bucket["bucket"]: bucket for bucket in buckets}
    parts: dict[datetime, dict[str, str | None]] = {}
    places: dict[str, int] = {name: n for n, name in enumerate(COMPONENT_NAMES)} if groups is None else {}
    for group in groups or ():
        parts.setdefault(group["bucket"], {})[group["shown"]] = amount(group["total"])
        places[group["shown"]] = min(places.get(group["shown"], group["place"]), group["place"])
    names = sorted(places, key=lambda name: (places[name], name))
    listed = []
    for key, start in starts.items():
        bucket = by_bucket.get(key, {})
        if groups is None:
            split = {name: amount(bucket.get(f"cost_{name}")) for name in names}
        else:
            split = {name: parts[key][name] for name in names if name in parts.get(key, ())}
        listed.append(
            {
                "start": start.isoformat(),
                "requests": bucket.get("requests", 0),
                "total": amount(bucket.get("total", Decimal(0))),
                "is_lower_bound": bool(bucket.get("lower_bounds")),
                "groups": split if bucket else {},
                **{
                    f"{measure}_{share}_ms": rounded(bucket.get(f"{measure}_ms_{share}"), 1)
                    for measure in ("ttft", "duration")
                    for share in ("p50", "p95")
                },
            }
        )
    return names, listed


def distribution(rows: Iterable[Named], overall: Named) -> dict[str, Any]:
    """Requests by what they cost, in steps of 1, 2 and 5, without the empty ones at both ends."""
    counts = {int(row["edges"]): int(row["requests"]) for row in rows}
    edges = [Decimal(0), *COST_EDGES, None]
    steps = [
        {"from": amount(low), "to": amount(high), "requests": counts.get(n, 0)}
        for n, (low, high) in enumerate(pairwise(edges))
    ]
    used = range(min(counts), max(counts) + 1) if counts else range(0)
    return {
        "buckets": [steps[n] for n in used],
        **{name: approximate(overall[f"cost_{name}"]) for name in ("p50", "p90", "p99")},
        "max": amount(overall["cost_max"]),
    }


def hours(
    within: Filters, booked: Iterable[Named], counted: Mapping[str, int], *, all_of_them: bool
) -> list[dict[str, Any]]:
    """Each UTC hour with rows or with a count: reports counted in the log against reports that rows account for.

    `counted` has the reports in the log by hour. Without `all_of_them` only the hours that miss something.
    """
    rows = {hour["hour"].replace(tzinfo=UTC): int(hour["reports"] or 0) for hour in booked}
    reports = {datetime.fromisoformat(hour): count for hour, count in counted.items()}
    listed = []
    for hour in sorted(rows.keys() | reports.keys()):
        # An hour that the range cuts cannot be compared: the count is of the whole hour.
        whole = within.start <= hour and hour + timedelta(hours=1) <= within.end
        logged, known = reports.get(hour) if whole else None, rows.get(hour, 0)
        missing = None if logged is None else max(0, logged - known)
        if (whole or hour in rows) and (all_of_them or missing):
            listed.append(
                {"hour": format_timestamp(hour), "reports_in_log": logged, "rows": known, "missing": missing}
            )
    return listed


def amount(value: Decimal | None) -> str | None:
    """Money as text; null is unknown."""
    return None if value is None else plain(value)


def approximate(value: float | None) -> str | None:
    """Money that was a percentile, and so a float, as text of six digits that count."""
    return None if value is None else plain(Decimal(f"{value:.6g}"))


def rounded(value: float | None, places: int) -> float | None:
    """A float of some places."""
    return None if value is None else round(float(value), places)


def percent(part: Decimal | int | None, whole: Decimal | int | None) -> float | None:
    """A share of `whole`, of four places."""
    if part is None or not whole:
        return None
    with localcontext(MONEY):
        return round(float(100 * Decimal(part) / Decimal(whole)), 4)


def quotient(money: Decimal | None, units: int | None, by: int) -> str | None:
    """Money for each `by` units, rounded as money is."""
    if money is None or not units:
        return None
    with localcontext(MONEY):
        return plain((money * by / units).quantize(PLACES))


def _sum(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
