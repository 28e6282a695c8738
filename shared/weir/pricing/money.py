"""Money: dollars as Decimal, rounded once, split without loss, written plainly.

A charge is rounded half-even to 15 places (a millisecond of 128 MB on arm is 0.0000000016667 USD: the 10
places of an AWS line would be off by 2 %) and from then on only added, which is exact. The arithmetic has a
context of its own, so that no caller's precision or rounding can change a price.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal

MONEY = Context(prec=60, rounding=ROUND_HALF_EVEN)
_UNITS = 15
PLACES = Decimal("1e-15")


def charge(quantity: Decimal, amount: Decimal) -> Decimal:
    """Quantity by price, rounded to 15 places."""
    return MONEY.quantize(MONEY.multiply(quantity, amount), PLACES)


def plain(amount: Decimal) -> str:
    """An amount without exponent and trailing zeros: 0.0000002, not 2E-7."""
    if not amount:
        return "0"
    text = str(amount)  # quicker than format
    if "E" in text:
        text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def split(amount: Decimal, shares: Mapping[str, int]) -> dict[str, Decimal]:
    """Cut a charge in proportion to shares in one unit, exactly: rounded down, then the units left over go to the
    largest remainders, by name where they are equal.

    Where every share is 0 the last one takes the whole.
    """
    units = int(amount.scaleb(_UNITS, MONEY))
    whole = sum(shares.values())
    if whole == 0:
        cut = dict.fromkeys(shares, 0)
        cut[list(shares)[-1]] = units
    else:
        parts = {name: divmod(units * share, whole) for name, share in shares.items()}
        cut = {name: part for name, (part, _) in parts.items()}
        if left := units - sum(cut.values()):
            by_remainder = sorted((-remainder, name) for name, (_, remainder) in parts.items())
            for _, name in by_remainder[:left]:
                cut[name] += 1
    return {name: Decimal(part).scaleb(-_UNITS, MONEY) for name, part in cut.items()}
