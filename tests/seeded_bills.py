"""`python -m tests.seeded_bills`: bills with seeded errors held against a made ledger; what reconciliation says of each.

Three days, two functions; the bills are those that infra/local/bill.py makes. The whole table of the first error
follows. Exit code 1 where an error is not found, or not named as what it is, or the clean bill is not green.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from infra.costs.bills.bill_files import read_bill
from infra.costs.bills.compare import Reason, Status
from infra.costs.bills.reconcile import reconcile
from infra.local import bill as bills
from tests.functional.bills.ledgers import BOOK, ledger, rows_of

DAY = datetime(2026, 10, 25, tzinfo=UTC)  # clocks in Europe go back
BILLS: dict[str, tuple[bills.Seed, set[Reason]]] = {
    "clean": (bills.charges, set()),
    "1 % of requests lost": (bills.lost(0.01, Random(1)), {Reason.MISSING_IN_LEDGER}),
    "an hour twice": (bills.doubled(DAY + timedelta(hours=9)), {Reason.DOUBLED_HOUR}),
    "a day at twice the memory": (bills.wrong_memory(DAY.date()), {Reason.WRONG_MEMORY}),
    "a day on the other architecture": (bills.wrong_architecture(DAY.date()), {Reason.WRONG_ARCHITECTURE}),
    "a DST day in Berlin's time": (
        bills.local_time(DAY.date(), ZoneInfo("Europe/Berlin")),
        {Reason.TIME_SHIFT},
    ),
}


def main() -> int:
    """Print a line for every bill, then one bill's table."""
    wrong = 0
    tables: list[str] = []
    print(f"{'the bill':<34}{'green':>6}{'amber':>6}{'red':>6}  named")
    with TemporaryDirectory() as folder:
        query = ledger(Path(folder), rows_of(DAY - timedelta(days=1), 72))
        for name, (seed, expected) in BILLS.items():
            path = Path(folder) / "bill.csv"
            bills.write_bill(path, seed(bills.metered(query), BOOK), "cur")
            found = reconcile(query, read_bill([path]), BOOK)
            named = set(found.reasons) - {Reason.ROUNDING}
            counts = "".join(f"{found.statuses[status]:>6}" for status in Status)
            print(f"{name:<34}{counts}  {', '.join(sorted(named)) or '–'}")
            wrong += named != expected or (not expected and found.status is not Status.GREEN)
            if expected:
                tables.append(f"\n{name}\n\n{found.text(limit=6)}")
    print(tables[0])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
