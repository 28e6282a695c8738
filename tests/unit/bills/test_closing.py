"""What is said of a month that somebody closes: each thing that makes its sums uncertain, and nothing where none does."""

from typing import Any

import pytest

from infra.costs.closing import doubts
from weir.ledger import s3_keys

FIRST, LAST = s3_keys.month_days("2026-10")
COUNTED = {
    day.isoformat(): {"hours": {f"{day}T00:00:00Z": {"reports_in_log": 3, "reports_stored": 3}}}
    for day in s3_keys.days(FIRST, LAST)
}
GOOD: dict[str, Any] = {
    "month": "2026-10",
    "unpriced_rows": 0,
    "price_book_versions": ["a"],
    "join_status": {"complete": 93},
    "completeness": COUNTED,
}


def test_a_month_without_doubts_has_none() -> None:
    assert doubts(GOOD) == []


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"unpriced_rows": 185}, "185 rows are not priced in full, so the totals are at least what they say"),
        ({"price_book_versions": ["a", "b"]}, "priced with 2 price books: a, b"),
        ({"join_status": {"complete": 1, "bill_only": 2}}, "(bill only: 2)"),
        ({"completeness": {}}, "not counted on 31 of its days (2026-10-01, 2026-10-02, 2026-10-03, ...)"),
        ({"completeness": {k: v for k, v in COUNTED.items() if k != "2026-10-07"}}, "1 of its days (2026-10-07)"),
        (
            {"completeness": COUNTED | {"2026-10-07": {"hours": {"x": {"reports_in_log": 9, "reports_stored": 4}}}}},
            "5 reports of Lambda's log are not stored",
        ),
    ],
)  # fmt: skip
def test_each_doubt_is_a_sentence(members: dict[str, Any], said: str) -> None:
    [doubt] = doubts(GOOD | members)
    assert said in doubt
