"""Which price book the stack prices with: pricing again with another one would be undone by its next compaction.

The ledger jobs write the rows of the last days again whenever a fact arrives, with the book that they were deployed
with, and say beside each object which one that was. So the newest of these objects tells the stack's book.
"""

from datetime import datetime, timedelta

from weir.errors import CallerError
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook

_LOOKED_AT = timedelta(days=40)


class AnotherPriceBook(CallerError):
    """The stack prices with another book than the command line was given; says what to do."""


def check_book(store: Store, book: PriceBook, now: datetime) -> None:
    """Raise AnotherPriceBook unless `book` is the one of the stack, as far as its rows tell. Raises StoreError."""
    written = store.row_objects((now - _LOOKED_AT).date(), now.date() + timedelta(days=1))
    for entry in sorted(written, key=lambda entry: entry.modified, reverse=True):
        version = (store.metadata(entry.key) or {}).get("price-book")
        if version == book.version:
            return
        if version is not None:
            raise AnotherPriceBook(
                f"--apply: expected the price book that the stack prices with, {version}, got {book.version}: deploy "
                "these prices first (PriceOverrides), or the next compaction would undo them"
            )
