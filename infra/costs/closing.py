"""What somebody who closes a month has to know of it before it is signed: whatever makes its sums uncertain."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from weir.ledger import s3_keys


def doubts(closed: Mapping[str, Any]) -> list[str]:
    """Each reason not to take a month's closing document for the whole truth, as a sentence; none is good."""
    found = []
    if unpriced := closed["unpriced_rows"]:
        found.append(f"{unpriced} rows are not priced in full, so the totals are at least what they say")
    if len(versions := closed["price_book_versions"]) > 1:
        found.append(f"its rows were priced with {len(versions)} price books: {', '.join(versions)}")
    halves = {name: rows for name, rows in closed["join_status"].items() if name != "complete" and rows}
    if halves:
        listed = ", ".join(f"{name.replace('_', ' ')}: {rows}" for name, rows in sorted(halves.items()))
        found.append(f"rows without all of their records ({listed})")
    return found + _uncounted(closed)


def _uncounted(closed: Mapping[str, Any]) -> list[str]:
    """Days whose reports nobody counted in the log, and reports that have no row."""
    counted = closed["completeness"]
    first, last = s3_keys.month_days(closed["month"])
    missing_days = [day for day in s3_keys.days(first, last) if day.isoformat() not in counted]
    found = []
    if missing_days:
        found.append(
            f"completeness was not counted on {len(missing_days)} of its days ({_some(missing_days)}): "
            "whether every request has a row is unknown"
        )
    missing = sum(
        max(0, hour["reports_in_log"] - hour["reports_stored"])
        for day in counted.values()
        for hour in day["hours"].values()
    )
    if missing:
        found.append(f"{missing} reports of Lambda's log are not stored: their requests may have no row")
    return found


def _some(days: list[date]) -> str:
    return ", ".join(map(str, days[:3])) + (", ..." if len(days) > 3 else "")
