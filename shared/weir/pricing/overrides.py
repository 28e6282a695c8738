"""A contract's prices over the price book, as they are configured: a JSON object, or the path of a file with one."""

import json
from functools import cache
from pathlib import Path

from weir.pricing.price_book import PriceBook, PriceBookError


@cache
def load_price_book(overrides: str) -> PriceBook:
    """The price book, with the contract's prices over it: a JSON object, or the path of a file that holds one.

    Raises:
        PriceBookError: the overrides, or the book itself, can't be trusted.
    """
    if not overrides:
        return PriceBook.load()
    try:
        text = overrides if overrides.lstrip().startswith("{") else Path(overrides).read_text()
        parsed = json.loads(text)
        if not isinstance(parsed, dict):
            raise ValueError(f"got {type(parsed).__name__}")
        return PriceBook.load(parsed)
    except (OSError, ValueError) as error:
        if isinstance(error, PriceBookError):
            raise
        raise PriceBookError(
            f"WEIR_PRICE_OVERRIDES: expected a JSON object or the path of one: {error}"
        ) from error
