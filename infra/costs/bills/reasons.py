"""Why ledger and bill differ: read off the figures of an hour, of its neighbours, and of the two architectures.

Nothing is assumed of what went wrong. A price differs where quantities agree; an hour is doubled where requests and
GB-seconds are exactly twice; memory is wrong where requests agree and GB-seconds differ by the ratio of two memory
sizes; architecture is wrong where the sums over both agree; requests are missing where both requests and GB-seconds
fall short, in a proportion that requests can have. What fits none of these is unknown, and says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from infra.costs.bills.compare import Comparison, Reason, charges, tolerance
from infra.costs.bills.ledger_lines import LedgerSide
from infra.costs.bills.lines import Charge
from infra.costs.bills.time_shift import Figures, shifted_hours
from infra.costs.bills.usage_types import DURATION, PROVISIONED_DURATION, REQUEST
from weir.pricing.money import plain
from weir.pricing.price_book import PriceBook

_COMPUTE = (DURATION.usage_type, PROVISIONED_DURATION.usage_type)
_MEMORY_MB = range(128, 10_241)
# A lost request is a request like the others: beyond this multiple of their mean it was something else.
_UNLIKELY = 20
_HOUR = timedelta(hours=1)
_MAX_CARRYING = 48  # hours in a row that hand requests on


def explain(comparisons: Sequence[Comparison], ledger: LedgerSide, book: PriceBook) -> None:
    """Give every comparison that differs its reason and what shows it."""
    hours: dict[str, dict[datetime, _Hour]] = {}
    for entry in comparisons:
        _explain_price(entry, book)
        of_function = hours.setdefault(entry.function_arn, {})
        of_function.setdefault(entry.hour, _Hour()).entries.append(entry)
    for function, of_function in hours.items():
        _explain_shift(of_function)
        _explain_boundaries(of_function)
        for at, of_hour in of_function.items():
            if of_hour.open:
                reason, detail = _explain_hour(of_hour, ledger.without_report.get((at, function), 0))
                of_hour.explain(reason, detail)


@dataclass(slots=True)
class _Hour:
    """The comparisons of one function and hour."""

    entries: list[Comparison] = field(default_factory=list)

    @property
    def open(self) -> list[Comparison]:
        """Those whose quantities differ, and nobody knows why yet."""
        return [entry for entry in self.entries if entry.reason is None and not entry.quantity_agrees]

    def explain(self, reason: Reason, detail: str) -> None:
        """Give the open ones a reason."""
        for entry in self.open:
            entry.reason, entry.detail = reason, detail

    def of(self, names: Iterable[str]) -> list[Comparison]:
        return [entry for entry in self.entries if entry.usage.name in names]

    @property
    def ledger(self) -> Figures:
        """Requests and GB-seconds in the ledger."""
        return _ledger(self.of([REQUEST.usage_type])), _ledger(self.of(_COMPUTE))

    @property
    def bill(self) -> Figures:
        """Requests and GB-seconds in the bill."""
        return _bill(self.of([REQUEST.usage_type])), _bill(self.of(_COMPUTE))


def _ledger(entries: Iterable[Comparison]) -> Decimal:
    return sum((entry.ledger.quantity or Decimal(0) for entry in entries), Decimal(0))


def _bill(entries: Iterable[Comparison]) -> Decimal:
    return sum((entry.bill_quantity for entry in entries), Decimal(0))


def _near(one: Decimal, other: Decimal, lines: int = 8) -> bool:
    return abs(one - other) <= tolerance(lines, max(abs(one), abs(other)))


def _same(one: Figures, other: Figures) -> bool:
    return _near(one[0], other[0]) and _near(one[1], other[1])


def _explain_price(entry: Comparison, book: PriceBook) -> None:
    """The reasons that one line shows by itself: a price, a standing charge, rounding."""
    if entry.quantity_agrees and entry.cost_agrees:
        if entry.cost_difference or entry.quantity_difference:
            entry.reason, entry.detail = Reason.ROUNDING, "lines of the bill are rounded to 10 places"
        return
    if entry.usage.meter.standing and entry.ledger.rows == 0:
        entry.reason, entry.detail = Reason.STANDING_CHARGE, "runs whether or not a request comes: of no row"
        return
    if not entry.quantity_agrees or entry.cost_agrees:
        return
    if entry.ledger.unpriced:
        detail = (
            f"{entry.ledger.unpriced} of {entry.ledger.rows} rows are in the quantity and not in the cost"
        )
        entry.reason, entry.detail = Reason.UNPRICED_ROWS, detail
        return
    if entry.ledger.quantity is None:
        entry.reason, entry.detail = Reason.UNKNOWN, "the ledger has a cost and no quantity to compare"
        return
    entry.reason, entry.detail = _price_reason(entry, book)


def _price_reason(entry: Comparison, book: PriceBook) -> tuple[Reason, str]:
    kinds = charges(entry)
    if Charge.SAVINGS_PLAN in kinds:
        return Reason.SAVINGS_PLAN, "lines covered by a savings plan cost its rate"
    if Charge.CORRECTION in kinds:
        return Reason.LATE_CORRECTION, "the bill corrects the cost of an earlier one"
    region = entry.ledger.region or next((line.region for line in entry.bill if line.region), None)
    price = book.aws_price(
        entry.usage.meter.item, region=region, architecture=entry.usage.architecture, at=entry.hour
    )
    billed = {line.cost / line.quantity for line in entry.bill if line.quantity}
    tiers = [] if price is None else [tier.amount for tier in price.tiers]

    def is_of(amounts: Iterable[Decimal]) -> bool:
        # The unit price of a line is known to the rounding of its cost.
        return all(
            any(_near(line.quantity * amount, line.cost, 1) for amount in amounts) for line in entry.bill
        )

    shown = ", ".join(sorted(plain(round(amount, 10)) for amount in billed))
    if is_of([Decimal(0), *tiers]) and any(line.cost == 0 < line.quantity for line in entry.bill):
        free = sum((line.quantity for line in entry.bill if line.cost == 0), Decimal(0))
        return (
            Reason.FREE_TIER,
            f"{plain(free)} of {plain(entry.bill_quantity)} {entry.usage.meter.unit} cost nothing",
        )
    if tiers[1:] and is_of(tiers):
        return (
            Reason.TIER,
            f"billed at {shown} a unit, a price of a higher tier; the ledger has the first tier's",
        )
    return Reason.OTHER_PRICE, f"billed at {shown} a unit, which the price book {book.version} does not have"


def _explain_shift(hours: dict[datetime, _Hour]) -> None:
    if not any(hour.open for hour in hours.values()):
        return
    shifted = shifted_hours(
        {at: hour.ledger for at, hour in hours.items()}, {at: hour.bill for at, hour in hours.items()}, _same
    )
    for at, detail in shifted.items():
        hours[at].explain(Reason.TIME_SHIFT, detail)


def _explain_boundaries(hours: dict[datetime, _Hour]) -> None:
    """An invocation that crosses the hour may be billed in either: what one hour lacks, the next ones have."""
    order = sorted(hours)
    number = 0
    while number < len(order):
        last = _agrees_again(hours, order, number) if hours[order[number]].open else None
        if last is None:
            number += 1
            continue
        run = f"over {last - number + 1} hours the sums agree"
        detail = f"requests at the turn of the hour lie on its other side: {run}"
        for at in order[number : last + 1]:
            hours[at].explain(Reason.HOUR_BOUNDARY, detail)
        number = last + 1


def _agrees_again(hours: dict[datetime, _Hour], order: Sequence[datetime], first: int) -> int | None:
    """The hour up to which the sums agree, if only few requests are carried from each hour to the next."""
    requests, seconds = Decimal(0), Decimal(0)
    for number in range(first, min(first + _MAX_CARRYING, len(order))):
        ledger, bill = hours[order[number]].ledger, hours[order[number]].bill
        requests, seconds = requests + ledger[0] - bill[0], seconds + ledger[1] - bill[1]
        if _near(requests, Decimal(0)) and _near(seconds, Decimal(0)):
            return number if number > first else None
        following = order[number + 1] if number + 1 < len(order) else None
        if following != order[number] + _HOUR or abs(requests) * 2 > min(
            ledger[0], hours[following].ledger[0]
        ):
            return None  # not the few that ran at the turn of the hour
    return None


def _explain_hour(hour: _Hour, without_report: int) -> tuple[Reason, str]:
    (requests, seconds), (billed, billed_seconds) = hour.ledger, hour.bill
    late = _late(hour)
    if late is not None:
        return Reason.LATE_CORRECTION, late
    if requests and _same((requests, seconds), (billed, billed_seconds)):
        return _same_sums(hour)
    if requests and _same((requests * 2, seconds * 2), (billed, billed_seconds)):
        return Reason.DOUBLED_HOUR, f"the bill has this hour twice{_repeated(hour)}"
    if billed and _same((requests, seconds), (billed * 2, billed_seconds * 2)):
        return Reason.DOUBLED_HOUR, "the ledger has this hour twice"
    if requests and _near(requests, billed):
        return _same_requests(hour)
    return _different_requests(hour, without_report)


def _same_sums(hour: _Hour) -> tuple[Reason, str]:
    """Requests and GB-seconds agree in sum, so they lie under other usage types, or something else differs."""
    arm = [entry for entry in hour.entries if entry.usage.arm]
    compute = [entry for entry in arm if entry.usage.name in _COMPUTE]
    requests = [entry for entry in arm if entry.usage.name == REQUEST.usage_type]
    moved = _ledger(compute) - _bill(compute)
    if not _near(moved, Decimal(0)) or not _near(_ledger(requests), _bill(requests)):
        owners = ("arm64", "x86_64") if moved > 0 else ("x86_64", "arm64")
        detail = f"{plain(abs(moved))} GB-seconds are {owners[0]} in the ledger and {owners[1]} in the bill"
        return Reason.WRONG_ARCHITECTURE, f"{detail}; the sums of both agree"
    names = ", ".join(sorted(str(entry.usage) for entry in hour.open))
    return Reason.UNKNOWN, f"requests and GB-seconds agree in sum, {names} differ"


def _late(hour: _Hour) -> str | None:
    """What shows that the difference is a correction that one side has and the other has not."""
    corrected = [line for entry in hour.entries for line in entry.bill if line.charge is Charge.CORRECTION]
    if corrected:

        def without(entry: Comparison) -> Decimal:
            parts = (line.quantity for line in entry.bill if line.charge is not Charge.CORRECTION)
            return sum(parts, Decimal(0))

        if all(_near(entry.ledger.quantity or Decimal(0), without(entry)) for entry in hour.open):
            return "without the bill's corrections both agree"
    if any(entry.ledger.corrections for entry in hour.open) and all(
        _near((entry.ledger.quantity or Decimal(0)) - entry.ledger.corrections, entry.bill_quantity)
        for entry in hour.open
    ):
        return "without the ledger's corrections, which came after its month was closed, both agree"
    return None


def _repeated(hour: _Hour) -> str:
    """Where the bill repeats its lines, if it does."""
    for entry in hour.open:
        seen: dict[tuple[Decimal, Decimal], str] = {}
        for line in entry.bill:
            place = f"{line.file}:{line.line}"
            if (first := seen.setdefault((line.quantity, line.cost), place)) != place:
                return f": {first} is repeated in {place}"
    return ""


def _same_requests(hour: _Hour) -> tuple[Reason, str]:
    """Requests agree and GB-seconds do not."""
    (_, seconds), (_, billed) = hour.ledger, hour.bill
    compute = hour.of(_COMPUTE)
    unpriced = sum(entry.ledger.unpriced for entry in compute)
    sizes: dict[int, Decimal] = {}
    for entry in compute:
        for size, part in entry.ledger.memory_mb.items():
            sizes[size] = sizes.get(size, Decimal(0)) + part
    if seconds > 0 and billed > 0:
        ratio = billed / seconds
        if len(sizes) == 1:
            ((size, _),) = sizes.items()
            other = round(size * ratio)
            if other != size and other in _MEMORY_MB and _near(seconds * other / size, billed):
                times = f"as many requests, {plain(round(ratio, 4))} times the GB-seconds"
                return Reason.WRONG_MEMORY, f"{times}: the bill has {other} MB, the ledger {size} MB"
        for factor in (Decimal(2), Decimal(4), Decimal(8), Decimal("0.5"), Decimal("0.25"), Decimal("0.125")):
            if _near(seconds * factor, billed):
                return (
                    Reason.WRONG_MEMORY,
                    f"as many requests, {plain(factor)} times the GB-seconds of the ledger",
                )
    if unpriced and billed > seconds:
        return Reason.UNPRICED_ROWS, f"{unpriced} rows of the ledger have no duration or memory size"
    detail = (
        f"as many requests, but {plain(seconds)} GB-seconds in the ledger and {plain(billed)} in the bill"
    )
    return Reason.UNKNOWN, detail


def _different_requests(hour: _Hour, without_report: int) -> tuple[Reason, str]:
    (requests, seconds), (billed, billed_seconds) = hour.ledger, hour.bill
    missing, missing_seconds = billed - requests, billed_seconds - seconds
    if missing == 0 or missing * missing_seconds <= 0:
        text = f"{plain(requests)} requests and {plain(seconds)} GB-seconds in the ledger"
        return (
            Reason.UNKNOWN,
            f"{text}, {plain(billed)} and {plain(billed_seconds)} in the bill: no rule explains both",
        )
    if requests and seconds and missing_seconds / missing > _UNLIKELY * seconds / requests:
        mean = plain(round(missing_seconds / missing, 4))
        return Reason.UNKNOWN, f"{plain(missing)} requests of {mean} GB-seconds differ, unlike the others"
    share = round(abs(missing) * 100 / max(billed, requests), 2)
    if missing < 0:
        return (
            Reason.MISSING_IN_BILL,
            f"{plain(-missing)} of {plain(requests)} requests ({share} %) are not in the bill",
        )
    text = f"{plain(missing)} of {plain(billed)} requests ({share} %) are not in the ledger"
    if without_report:
        text += f", which has {without_report} of this hour without their report"
    return Reason.MISSING_IN_LEDGER, text
