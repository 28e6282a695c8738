"""Hours that lie elsewhere in the bill: a bill, or an export of it, in another time zone than UTC.

The evidence is that an hour's figures, requests and GB-seconds together, appear unchanged some hours away. Where
daylight saving time changes, the distance changes by one hour within the day; in autumn two hours of the ledger fall
into one of the bill. A shift is believed only where it explains both the hours that left and those that arrived.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations

type Figures = tuple[Decimal, Decimal]  # requests, GB-seconds

_FURTHEST = 14  # UTC+14 is the largest offset in use
_HOUR = timedelta(hours=1)
_NOTHING: Figures = (Decimal(0), Decimal(0))


def shifted_hours(
    ledger: Mapping[datetime, Figures],
    bill: Mapping[datetime, Figures],
    same: Callable[[Figures, Figures], bool],
) -> dict[datetime, str]:
    """Why an hour differs, for each that a shift explains; `same` allows for rounding."""
    affected = sorted(
        hour for hour in {*ledger, *bill} if not same(ledger.get(hour, _NOTHING), bill.get(hour, _NOTHING))
    )
    moves = _moves(affected, ledger, bill, same)
    if not moves:
        return {}
    arrived: dict[datetime, list[Figures]] = {}
    for hour in {*affected, *(hour + move for hour, move in moves.items())}:
        arrived.setdefault(hour, [])
    for hour, figures in ledger.items():
        target = hour + moves.get(hour, timedelta())
        if target in arrived:
            arrived[target].append(figures)
    fitting = {hour for hour in arrived if same(_sum(arrived[hour]), bill.get(hour, _NOTHING))}
    # An hour that fits by chance leaves its own place, or the place it went to, unexplained.
    whole = [hour for hour in affected if {hour, hour + moves.get(hour, timedelta())} <= fitting]
    hours = sorted({move // _HOUR for move in moves.values()})
    text = " and ".join(f"{hours_:+d} h" for hours_ in hours)
    changes = ", as where daylight saving time changes" if len(hours) > 1 else ""
    detail = f"the bill has these figures {text} away ({len(moves)} hours moved): not in UTC{changes}"
    return dict.fromkeys(whole, detail)


def _moves(
    affected: list[datetime],
    ledger: Mapping[datetime, Figures],
    bill: Mapping[datetime, Figures],
    same: Callable[[Figures, Figures], bool],
) -> dict[datetime, timedelta]:
    """Where each hour of the ledger went, for those that went anywhere."""
    differing = set(affected)
    sources = [hour for hour in affected if ledger.get(hour, _NOTHING) != _NOTHING]
    found: dict[timedelta, list[datetime]] = {}
    for distance in (*range(-_FURTHEST, 0), *range(1, _FURTHEST + 1)):
        move = timedelta(hours=distance)
        fits = [
            hour
            for hour in sources
            if hour + move in differing and same(ledger[hour], bill.get(hour + move, _NOTHING))
        ]
        if fits:
            found[move] = fits
    if not found:
        return {}
    main = max(found, key=lambda move: (len(found[move]), -abs(move)))
    options = [main, main - _HOUR, main + _HOUR]
    moves = {hour: move for move in reversed(options) for hour in found.get(move, ())}
    _decide(moves, [timedelta(), *options], affected, ledger, bill, same)
    return {hour: move for hour, move in moves.items() if move}


def _decide(
    moves: dict[datetime, timedelta],
    options: list[timedelta],
    affected: list[datetime],
    ledger: Mapping[datetime, Figures],
    bill: Mapping[datetime, Figures],
    same: Callable[[Figures, Figures], bool],
) -> None:
    """Add the hours that lie in one hour of the bill together with others, or with what belongs there."""
    for target in affected:
        here = [hour for hour, move in moves.items() if hour + move == target]
        open_ = {target - move for move in options if target - move in ledger and target - move not in moves}
        for size in range(1, len(open_) + 1):
            fitting = [
                chosen
                for chosen in combinations(sorted(open_), size)
                if same(_sum([ledger[hour] for hour in (*here, *chosen)]), bill.get(target, _NOTHING))
            ]
            if fitting:
                moves.update((hour, target - hour) for hour in fitting[0])
                break


def _sum(figures: list[Figures]) -> Figures:
    return sum((entry[0] for entry in figures), Decimal(0)), sum((entry[1] for entry in figures), Decimal(0))
