"""The price books that made the rows of a ledger, kept beside them: no later book changes a day that has its prices.

A day keeps the book with which it was first made, until somebody prices it again (reprice.py): what comes late to it,
or to a closed month, is priced by that book. A book is one object, written once and named by its version. Rows that are
older than this have none, and are priced by the book of today, as they were.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

from weir.ledger import s3_keys
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook, PriceBookError

# By bucket and version: a book is read file by file, when a price is asked for.
_known: dict[tuple[str, str], PriceBook | None] = {}
_kept: set[tuple[str, str]] = set()


def keep_book(store: Store, book: PriceBook) -> None:
    """Keep the book that rows are made with, before they are written. Raises StoreError."""
    if (store.bucket, book.version) not in _kept:
        store.write_once(s3_keys.book_key(book.version), book.packed())
        _kept.add((store.bucket, book.version))


def book_of(store: Store, made_with: str | None, book: PriceBook) -> PriceBook:
    """The book with the version that rows were `made_with`; `book`, where there are none, or it was not kept.

    Raises StoreError, PriceBookError.
    """
    if made_with is None or made_with == book.version:
        return book
    key = (store.bucket, made_with)
    if key not in _known:
        content = store.read_bytes(s3_keys.book_key(made_with))
        found = None if content is None else PriceBook.unpacked(content, Path(mkdtemp(prefix="weir-prices-")))
        if found is not None and found.version != made_with:
            raise PriceBookError(f"{s3_keys.book_key(made_with)}: expected that version, got {found.version}")
        _known[key] = found
    return _known[key] or book


def version_of(known: Mapping[str, str] | None) -> str | None:
    """The version of the book that made rows with the metadata `known`."""
    return None if known is None else known.get("price-book")
