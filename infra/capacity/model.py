"""A day of the ledger as arithmetic: objects, requests of S3, seconds of functions, bytes, dollars.

The design is that of shared/weir/ledger. Firehose writes an object a minute, or each 128 MB. A function makes facts of
each. A run every quarter of an hour makes the rows of today, one unit after the other or side by side. What a request,
an object or a run takes is in constants.json, each with the command that measures it. Prices are the book's for
us-east-1, arm64, without what is free to an account.

The yardstick is what Lambda charges for the reference request: 4.85 s of 512 MB, x86.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, exp
from pathlib import Path

from weir.ledger.compact import UNIT_BYTES
from weir.ledger.metering import firehose_bytes
from weir.pricing.price_book import AwsItem, Price, PriceBook

RATES = (0.1, 1, 10, 100, 1_000, 10_000)  # requests a second
REFERENCE_MB, REFERENCE_S = 512, 4.85
LAMBDA_LIMIT_S, LAMBDA_DISK_MB = 900, 10_240
_DAY_S = 86_400
_MONTH_DAYS = 30
_RUNS = 96
_HOURLY = 48  # the count of completeness and the metering, each hour
_GB = 1024**3
_MB = 1024**2
_FUNCTION_GB = 1_769 / 1_024  # one processor
_LANDING_BYTES, _LANDING_S = 128 * _MB, 60
_MARGIN_HOURS = 14  # of facts around a day, on both sides
_FIREHOSE_RECORDS_S = 5_000  # of one stream, until AWS is asked for more
_READ = 0.3  # of a day's rows, by one drill-down


def constants() -> dict[str, float]:
    """What was measured or assumed, by name."""
    listed = json.loads((Path(__file__).parent / "constants.json").read_text())
    return {name: float(entry["value"]) for name, entry in listed.items()}


@dataclass(frozen=True, slots=True)
class Day:
    """A day at `rate` requests a second; `usd` is the ledger's cost by part, `lambda_usd` what it is held against."""

    rate: float
    objects: float
    gets: float
    puts: float
    function_s: float
    athena_bytes: float
    units: int
    usd: Mapping[str, float]
    lambda_usd: float

    @property
    def share(self) -> float:
        """The ledger's cost as a share of the Lambda charge that it meters."""
        return sum(self.usd.values()) / self.lambda_usd


class Capacity:
    """The arithmetic over one set of constants and one book."""

    def __init__(self, known: Mapping[str, float], book: PriceBook) -> None:
        self._known = known
        self._book = book

    def day(self, rate: float) -> Day:
        """A day at `rate` requests a second."""
        k = self._known
        requests = rate * _DAY_S
        landed = self._landed(rate)
        units = self.units(rate)
        # Today's rows are made again in each quarter of an hour in which something landed; yesterday's once or twice.
        runs = _RUNS * (1 - exp(-rate * _DAY_S / _RUNS))
        passes = runs / 2 + 2
        ingest_s = k["arm_factor"] * (landed * k["ingest_object_ms"] / 1e3 + requests * k["ingest_us"] / 1e6)
        around = _MARGIN_HOURS / 24 * k["neighbour_us"]
        unit_s = k["arm_factor"] * passes * requests * (k["unit_us"] + around) / 1e6
        unit_s += (_RUNS + _HOURLY) * k["run_s"]
        # Half of a day's units are there at noon; a run without news lists, and reads nothing.
        unit_runs = runs * (units + 1) / 2
        gets = landed + unit_runs * k["run_gets"] + k["looks_a_day"] * k["look_gets"] * units
        gets += _HOURLY * k["hourly_gets"]
        written = landed + 24 + unit_runs * k["run_puts"] + _HOURLY * k["hourly_puts"]
        puts = landed + written + (_RUNS + _HOURLY) * k["run_lists"]
        rows = requests * k["row_bytes"]
        athena = k["drill_downs_a_day"] * rows * _READ if units > 1 else 0.0
        kept = (
            self._fact_bytes(rate)
            + requests * (k["gathered_bytes"] + k["row_bytes"])
            + units * min(requests / units * k["rollup_bytes"], k["rollup_max_bytes"])
        )
        invoked = landed + _RUNS * units + _HOURLY
        logs = requests * k["log_bytes"]
        own_logs = invoked * k["function_log_bytes"]
        usd = {
            "generate's log": self._logs_usd(logs),
            "Firehose": self._tiered(
                "firehose_ingestion",
                requests * k["subscription_records"] * firehose_bytes(ceil(k["landed_bytes"] / 2)) / _GB,
            ),
            "functions": self._functions_usd(ingest_s + unit_s, invoked),
            "their log": self._logs_usd(logs + own_logs) - self._logs_usd(logs),
            "S3 requests": gets * self._price("s3_get_request") + puts * self._price("s3_put_request"),
            "S3, 30 days": kept / _GB * self._price("s3_storage"),
            "Athena": athena / 1024**4 * self._price("athena_scan"),
        }  # fmt: skip
        objects = landed + written
        return Day(
            rate, objects, gets, puts, ingest_s + unit_s, athena, units, usd, requests * self._reference_usd()
        )

    def units(self, rate: float) -> int:
        """Into how many units a day is cut."""
        return 1 + int(self._fact_bytes(rate) // UNIT_BYTES)

    def breaks(self) -> list[tuple[str, str]]:
        """Each part, and what stops it where."""
        k = self._known
        per_object = _LANDING_BYTES / k["landed_bytes"]
        object_s = k["arm_factor"] * per_object * k["ingest_us"] / 1e6
        per_unit = UNIT_BYTES / k["fact_bytes"]
        unit_s = k["arm_factor"] * per_unit * k["unit_us"] / 1e6
        one_function = (LAMBDA_LIMIT_S - k["run_s"]) / (k["arm_factor"] * k["unit_us"] / 1e6) / _DAY_S
        around = 1 + _MARGIN_HOURS / 24
        on_disk = LAMBDA_DISK_MB * _MB / (k["gathered_bytes"] * around) / _DAY_S
        look = 200 / _MONTH_DAYS * UNIT_BYTES / k["fact_bytes"] / _DAY_S
        return [
            (
                "Firehose, one stream",
                f"{_FIREHOSE_RECORDS_S / k['subscription_records']:,.0f} requests/s, by its default quota of "
                f"{_FIREHOSE_RECORDS_S:,} records/s, which AWS raises",
            ),
            (
                "a landing object",
                f"never: 128 MB are {per_object:,.0f} requests, {object_s:.0f} s of {LAMBDA_LIMIT_S:,}",
            ),
            (
                "a unit's time and memory",
                f"never: {per_unit:,.0f} requests, {unit_s:.0f} s of {LAMBDA_LIMIT_S:,}, {k['unit_peak_mb']:.0f} MB",
            ),
            ("a day's units in one function", f"{one_function:,.0f} requests/s; above, a function a unit"),
            (
                "a unit's disk, where it brings the whole day's facts",
                f"{on_disk:,.0f} requests/s, at {LAMBDA_DISK_MB:,} MB",
            ),
            ("a look within 200 requests of S3, a roll-up a unit", f"{look:,.0f} requests/s for a month"),
        ]

    def _fact_bytes(self, rate: float) -> float:
        of_objects = self._landed(rate) * self._known["fact_object_bytes"]
        return rate * _DAY_S * self._known["fact_bytes"] + of_objects

    def _landed(self, rate: float) -> float:
        by_time = _DAY_S / _LANDING_S * (1 - exp(-rate * _LANDING_S))
        return max(by_time, rate * _DAY_S * self._known["landed_bytes"] / _LANDING_BYTES)

    def _functions_usd(self, seconds: float, invocations: float) -> float:
        price = self._tiered("duration", seconds * _FUNCTION_GB)
        return price + invocations * self._price("request")

    def _logs_usd(self, bytes_a_day: float) -> float:
        return self._tiered("logs_ingestion", bytes_a_day / _GB)

    def _tiered(self, item: AwsItem, quantity_a_day: float) -> float:
        """A day's part of a month at this pace, through the month's tiers."""
        left, before, usd = quantity_a_day * _MONTH_DAYS, 0.0, 0.0
        for tier in self._record(item).tiers:
            here = left if tier.up_to is None else min(left, float(tier.up_to) - before)
            usd, left = usd + here * float(tier.amount), left - here
            before = before if tier.up_to is None else float(tier.up_to)
        return usd / _MONTH_DAYS

    def _reference_usd(self) -> float:
        gb_s = REFERENCE_S * REFERENCE_MB / 1_024
        return gb_s * float(self._record("duration", "x86_64").amount) + self._price("request")

    def _price(self, item: AwsItem) -> float:
        return float(self._record(item).amount)

    def _record(self, item: AwsItem, architecture: str = "arm64") -> Price:
        at = datetime(2026, 11, 28, tzinfo=UTC)
        price = self._book.aws_price(item, region="us-east-1", architecture=architecture, at=at)
        assert price is not None, f"{item}: expected a price in us-east-1"
        return price
