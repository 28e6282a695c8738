"""generate's price book where a contract's prices lie in S3 or Systems Manager.

Decided here: no request waits for them. They are read once while the process starts, and from then on in a thread
beside the requests; a request takes the book that is known when it ends.
"""

import asyncio
from collections.abc import Callable

from weir.errors import ConfigurationError
from weir.pricing.overrides import load_price_book
from weir.pricing.price_book import PriceBook


class StoredPrices:
    """The book with the prices at an address; `load` says whether there are newer ones, and may wait."""

    def __init__(self, address: str, load: Callable[[str], PriceBook] = load_price_book) -> None:
        self._address = address
        self._load = load
        self._book: PriceBook | None = None
        self._error: ConfigurationError | None = None
        self._reading: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """Read them if they are not known or old; a failure is kept for whoever asks."""
        try:
            self._book = await asyncio.to_thread(self._load, self._address)
            self._error = None
        except ConfigurationError as error:
            self._error = error

    def book(self) -> PriceBook:
        """The book as it is known; has newer prices read for those who come after.

        Raises:
            ConfigurationError: there never was one.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self.read())
        if self._book is None:
            raise self._error or ConfigurationError(f"{self._address}: expected prices, none were read yet")
        return self._book
