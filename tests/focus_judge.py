"""`make focus`: a FOCUS export of a made ledger, judged by the FinOps Foundation's own focus-validator.

The validator has an environment of its own (tests/peers/focus.lock) and brings FOCUS 1.2's rules with it: nothing is
downloaded. It is asked about every applicability criterion but the two that the ledger cannot have (commitment
discounts and capacity reservations), so that as few rules as possible are left out. What it skips says why: most of it
are rules that nobody can check from a file.

One rule fails on every file, because the rules contradict each other: InvoiceId-C-004-C demands that InvoiceId is null
in rows without an invoice, InvoiceId-C-005-C that it is not null in rows with one, and the model states neither
condition, so the validator applies both to each row. Their parent, InvoiceId-C-003-C, passes if either holds. The
ledger knows no invoice: its InvoiceId is null.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.made_ledger import OCTOBER_END, made_ledger, write_corrections
from weir.pricing.price_book import PriceBook
from weir.reports.export import ExportContext, ExportRequest, export
from weir.reports.params import ExportFormat
from weir.reports.queries import Filters

ROOT = Path(__file__).parents[1]
# The rule that contradicts another; see above.
CONTRADICTED = "InvoiceId-C-005-C"
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED",
    "AVAILABILITY_ZONE_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "REGION_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
    "VIRTUAL_CURRENCY_SUPPORTED",
)
_LINE = re.compile(r"^\S+ (?P<rule>[A-Za-z]+-[ACD]-\d{3}-[MCO]): (?P<status>PASS|FAIL|SKIPPED)")


@dataclass(frozen=True)
class Verdict:
    """What the validator said: the status of each rule, and its report."""

    statuses: dict[str, str]
    report: str

    @property
    def failed(self) -> set[str]:
        """The rules that failed."""
        return {rule for rule, status in self.statuses.items() if status == "FAIL"}

    def summary(self) -> str:
        """The report's totals and failures, and why rules were skipped."""
        found = re.search(r"^Total: .*$", self.report, re.MULTILINE)
        failures = self.report.partition("--- Failures ---\n")[2]
        reasons = Counter(re.findall(r"SKIPPED  \(.*?reason=(?:Rule skipped - )?(.*?), msg=", self.report))
        skipped = [f"skipped {count:>3}: {reason}" for reason, count in reasons.most_common()]
        return "\n".join([found[0] if found else "no totals", failures.rstrip(), *skipped])


def validator() -> Path | None:
    """The validator's command, if its environment exists; FOCUS_VALIDATOR names another."""
    path = Path(os.environ.get("FOCUS_VALIDATOR") or ROOT / ".venv-focus/bin/focus-validator")
    return path if path.exists() else None


def judge(command: Path, file: Path) -> Verdict:
    """The validator's verdict on a FOCUS file. Raises RuntimeError where it gave none."""
    with TemporaryDirectory() as folder:
        # It looks for its list of currencies below the current folder, and leaves a log there.
        (package,) = command.parent.parent.glob("lib/python*/site-packages/focus_validator")
        (Path(folder) / "focus_validator").symlink_to(package)
        ran = subprocess.run(
            [
                *(str(command), "--data-file", str(file.resolve()), "--validate-version", "1.2"),
                *("--block-download", "--applicability-criteria", ",".join(CRITERIA), "--show-violations"),
            ],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
    statuses = {
        found["rule"]: found["status"] for found in map(_LINE.match, ran.stdout.splitlines()) if found
    }
    if ran.returncode or not statuses:
        raise RuntimeError(
            f"expected a report of focus-validator, got exit {ran.returncode}: {ran.stderr[-2000:]}"
        )
    return Verdict(statuses, ran.stdout)


def focus_export(folder: Path, kind: ExportFormat, count: int = 2000) -> Path:
    """A FOCUS export of a made ledger with every kind of row, corrections of a closed month among them."""
    files = made_ledger(folder / "ledger", count)
    found_at = OCTOBER_END + timedelta(days=3)
    files.append(write_corrections(folder / "ledger/correction.parquet", files, 20, found_at))
    filters = Filters(start=datetime(2026, 10, 1, tzinfo=UTC), end=datetime(2026, 12, 1, tzinfo=UTC))
    book = PriceBook.load()
    context = ExportContext(
        price_book_version=book.version,
        generated_at=datetime(2026, 11, 22, tzinfo=UTC),
        provider_of=book.provider,
    )
    return export(files, ExportRequest(kind, filters), folder, context)[0]


def main() -> int:
    """Print the validator's verdict on a Parquet and a CSV export; 1 if a rule but the contradicted one fails."""
    command = validator()
    if command is None:
        print("focus-validator's environment is missing: `make focus` makes it", file=sys.stderr)
        return 2
    artifacts = ROOT / ".artifacts/focus"
    artifacts.mkdir(parents=True, exist_ok=True)
    unexpected: set[str] = set()
    kinds: tuple[ExportFormat, ...] = ("focus", "focus-csv")
    for kind in kinds:
        with TemporaryDirectory() as folder:
            file = focus_export(Path(folder), kind)
            verdict = judge(command, file)
            report = artifacts / f"{file.suffix[1:]}.txt"
            report.write_text(verdict.report)
            print(
                f"\n== {file.name}, {file.stat().st_size:,} bytes; the whole report: {report.relative_to(ROOT)}"
            )
            print(verdict.summary())
        unexpected |= verdict.failed - {CONTRADICTED}
    print(f"\n{CONTRADICTED} contradicts InvoiceId-C-004-C, which passes: every file fails one of the two.")
    print(f"other rules that failed: {', '.join(sorted(unexpected)) or 'none'}")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
