"""The prices that a ledger's functions price with: the book that was shipped, AWS's prices as they were refreshed
since, and a contract's.

The refreshed prices of the ledger's Region lie in its bucket. They change once a month, so they are looked at again
after five minutes. A refresh changes no day before it (weir.pricing.aws_price_list), so it changes no row that is made
again.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from weir.ledger.store import Store
from weir.pricing.overrides import MAX_AGE_S, load_price_book
from weir.pricing.price_book import PriceBook


class CurrentBook:
    """The book of one ledger; `overrides` is a contract's prices, as load_price_book takes them."""

    def __init__(
        self, store: Store, region: str | None, overrides: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._region = region
        self._overrides = overrides
        self._clock = clock
        self._due_s = 0.0
        self._fresher = ""

    def get(self) -> PriceBook:
        """It, as it is now; the same object as long as nothing has changed. Raises PriceBookError, StoreError."""
        if self._region and self._clock() >= self._due_s:
            self._fresher = self._store.price_list(self._region)
            self._due_s = self._clock() + MAX_AGE_S
        return load_price_book(self._overrides, self._fresher)

    def replace(self, document: Mapping[str, Any]) -> None:
        """Keep the Region's prices as they were refreshed, and use them. Raises StoreError."""
        self._store.put_price_list(str(document["region"]), document)
        self._due_s = 0.0
