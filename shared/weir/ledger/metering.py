"""What the ledger itself costs, counted in its own functions' logs and priced by the book: pure, as the join is.

Decided here:

- The platform's report of an invocation says what is billed for its time. The function's own line says beside it what
  else it `used`: requests of S3 by their price's tier, Firehose's and Athena's bytes as they are billed. The bytes of
  all lines are what the log is billed.
- Of an hour (UTC) and a function each charge is a row of the table with entry `metering`, whose `cost_metering` is its
  total and whose tag `metering` names the charge. No request's row has such a cost: what generate logs is in `logs`.
- Not in it are what has no count here: storage, alarms, and the requests of S3 that Athena makes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

from weir.ledger.table import COLUMNS
from weir.pricing.money import charge, plain
from weir.pricing.price_book import AwsItem, PriceBook

ENTRY = "metering"
TAG = "metering"
_GIB, _TIB = 1024**3, 1024**4
_FIREHOSE_STEP = 5 * 1024  # each record counts as so many bytes begun
_ATHENA_STEP, _ATHENA_LEAST = 1024**2, 10 * 1024**2  # of a statement's bytes
_MAX_COUNT = 10**15


@dataclass(slots=True)
class Used:
    """What is billed beside the time of a function; `s3_puts` are all of the dearer tier: PUT, COPY and LIST."""

    s3_gets: int = 0
    s3_puts: int = 0
    firehose_bytes: int = 0
    athena_bytes: int = 0

    def as_json(self) -> dict[str, int]:
        """What is not 0, as a function's line has it."""
        return {name: value for name, value in asdict(self).items() if value}

    def take(self) -> "Used":
        """What was counted since the last time; the count begins anew."""
        taken = Used(**asdict(self))
        self.s3_gets = self.s3_puts = self.firehose_bytes = self.athena_bytes = 0
        return taken


def firehose_bytes(record: int) -> int:
    """What Data Firehose bills for one record of so many bytes."""
    return -(-record // _FIREHOSE_STEP) * _FIREHOSE_STEP


def athena_bytes(scanned: int) -> int:
    """What Athena bills for one statement that scanned so many bytes."""
    return max(-(-scanned // _ATHENA_STEP) * _ATHENA_STEP, _ATHENA_LEAST)


@dataclass(slots=True)
class Quantities:
    """What one function of the ledger took in one hour; `mb_ms` is billed milliseconds by megabytes of memory."""

    invocations: int = 0
    mb_ms: int = 0
    log_bytes: int = 0
    s3_gets: int = 0
    s3_puts: int = 0
    firehose_bytes: int = 0
    athena_bytes: int = 0

    @classmethod
    def of(cls, counted: Mapping[str, Any]) -> Self:
        """As `as_json` wrote them; what a later version counts beside them is left out."""
        return cls(**{name: int(counted.get(name, 0)) for name in cls.__slots__})

    def as_json(self) -> dict[str, int]:
        """All counts."""
        return asdict(self)

    def add_line(self, message: str) -> None:
        """Count one line of the function's log."""
        self.log_bytes += len(message) if message.isascii() else len(message.encode("utf-8", "replace"))
        if '"platform.report"' not in message and '"used"' not in message:
            return
        try:
            line = json.loads(message)
        except (ValueError, RecursionError):
            return
        if not isinstance(line, dict):
            return
        if line.get("type") == "platform.report" and line.keys() == {"time", "type", "record"}:
            self._add_report(line["record"])
        elif isinstance(used := line.get("used"), dict):
            for name in Used.__slots__:
                setattr(self, name, getattr(self, name) + _count(used.get(name)))

    def _add_report(self, record: Any) -> None:
        metrics = record.get("metrics") if isinstance(record, dict) else None
        if isinstance(metrics, dict):
            self.invocations += 1
            self.mb_ms += _count(metrics.get("billedDurationMs")) * _count(metrics.get("memorySizeMB"))


def _count(value: object) -> int:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT
    return int(value) if known else 0  # type: ignore[call-overload]  # an int by then


# The charges of a function's hour: what is billed, in which unit of the book.
_CHARGES: tuple[tuple[str, str, AwsItem, int], ...] = (
    ("lambda_duration", "mb_ms", "duration", 1000 * 1024),
    ("lambda_request", "invocations", "request", 1),
    ("logs", "log_bytes", "logs_ingestion", _GIB),
    ("s3_get", "s3_gets", "s3_get_request", 1),
    ("s3_put", "s3_puts", "s3_put_request", 1),
    ("firehose", "firehose_bytes", "firehose_ingestion", _GIB),
    ("athena", "athena_bytes", "athena_scan", _TIB),
)
CHARGES = tuple(name for name, *_ in _CHARGES)


def metering_rows(
    hours: Mapping[str, Mapping[str, Mapping[str, Any]]],
    book: PriceBook,
    *,
    region: str | None,
    architecture: str | None,
) -> Iterator[dict[str, Any]]:
    """The flat rows of some hours: by hour (`2026-11-28T14:00:00Z`) and function what it took."""
    for hour, functions in sorted(hours.items()):
        at = datetime.fromisoformat(hour).astimezone(UTC)
        for function, counted in sorted(functions.items()):
            quantities = Quantities.of(counted)
            for name, member, item, unit in _CHARGES:
                quantity = getattr(quantities, member)
                if not quantity:
                    continue
                price = book.aws_price(item, region=region, architecture=architecture, at=at)
                cost = None if price is None else charge(Decimal(quantity) / unit, price.amount)
                yield _NOTHING | {
                    "request_id": f"{ENTRY}-{at:%Y-%m-%dT%H}-{function}-{name}",
                    "entry": ENTRY,
                    "at_utc": at.replace(tzinfo=None).isoformat(timespec="milliseconds"),
                    "day": at.date().isoformat(),
                    "function": function,
                    "region": region,
                    "architecture": architecture,
                    "tags": {TAG: name},
                    "cost_metering": None if cost is None else plain(cost),
                    "total": "0" if cost is None else plain(cost),
                    "is_estimate": False,
                    "price_book_version": book.version,
                    "unpriced": [f"metering_without_price:{item}"] if cost is None else [],
                    "anomalies": [],
                }


_NOTHING: dict[str, Any] = dict.fromkeys(column.name for column in COLUMNS)
