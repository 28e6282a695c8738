"""Money: dollars as Decimal, rounded once, split without loss, written plainly.

A charge is rounded half-even to 15 places (a millisecond of 128 MB on arm is 0.0000000016667 USD: the 10
places of an AWS line would be off by 2 %) and from then on only added, which is exact. The arithmetic has a
context of its own, so that no caller's precision or rounding can change a price.
"""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal, localcontext

MONEY = Context(prec=60, rounding=ROUND_HALF_EVEN)
PLACES = Decimal("1e-15")
_LINE_PLACES = Decimal("1e-10")


def charge(quantity: Decimal, amount: Decimal) -> Decimal:
    """Quantity by price, rounded to 15 places."""
    return MONEY.quantize(MONEY.multiply(quantity, amount), PLACES)


def plain(amount: Decimal) -> str:
    """An amount without exponent and trailing zeros: 0.0000002, not 2E-7."""
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def line_cost(quantity: Decimal, price: Decimal) -> Decimal:
    """What an AWS bill shows for one line: quantity by list price, rounded to 10 places."""
    return MONEY.quantize(MONEY.multiply(quantity, price), _LINE_PLACES)


def split(amount: Decimal, shares: dict[str, Decimal]) -> dict[str, Decimal]:
    """Cut an amount in proportion, exactly: rounded down, then the units left go to the largest remainders.

    Where every share is 0 the last one takes the whole.
    """
    with localcontext(MONEY):
        whole = sum(shares.values(), Decimal(0))
        if whole == 0:
            last = list(shares)[-1]
            return {name: amount if name == last else Decimal(0) for name in shares}
        exact = {name: amount * share / whole for name, share in shares.items()}
        parts = {name: part.quantize(PLACES, rounding=ROUND_DOWN) for name, part in exact.items()}
        units = int((amount - sum(parts.values(), Decimal(0))) / PLACES)
        for name in sorted(parts, key=lambda name: (parts[name] - exact[name], name))[:units]:
            parts[name] += PLACES
        return parts
