"""A bucket as the version of 2026-11-27 left it: facts by kind and day, rows, a closed month with a correction, an export.

Its own code wrote tests/fixtures/ledger_v1 and said what it sums to; nothing here may be made again by newer code.
"""

import json
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from weir.ledger.store import Store

FOLDER = Path(__file__).parent / "fixtures" / "ledger_v1"
FIRST, LAST = date(2026, 10, 29), date(2026, 11, 3)
CLOSED = "2026-10"
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


def expected() -> dict[str, Any]:
    """`sums` by column, `by_outcome` as [rows, total], `requests` as [id, entry, at, join status, total]."""
    return dict(json.loads((FOLDER / "expected.json").read_text()))


def load(store: Store) -> None:
    """Put every object where it was."""
    metadata = json.loads((FOLDER / "metadata.json").read_text())
    with zipfile.ZipFile(FOLDER / "bucket.zip") as archive:
        for key in archive.namelist():
            store.client.put_object(
                Bucket=store.bucket, Key=key, Body=archive.read(key), Metadata=metadata.get(key, {})
            )
