"""Lambda's usage types: what a line of the bill meters, without the Region that it begins with.

`EUC1-Lambda-GB-Second-ARM` is GB-seconds on arm64 in eu-central-1; us-east-1 has no prefix, and `Global-` is the free
tier. A FOCUS 1.2 line has it as `SkuMeter`, a FOCUS 1.0 line as `x_UsageType`; where neither is exported, AWS's
description of the line says it in words.
https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-focus-1-2-migrating.html
"""

import re
from dataclasses import dataclass

from weir.pricing.price_records import AwsItem


@dataclass(frozen=True, slots=True)
class Meter:
    """One thing that Lambda meters: its usage type, unit and price-book item.

    `standing` charges run whether or not a request comes: no request, hence no row of the ledger, has them.
    """

    usage_type: str
    unit: str
    item: AwsItem
    by_architecture: bool = True
    standing: bool = False


DURATION = Meter("Lambda-GB-Second", "GB-Seconds", "duration")
REQUEST = Meter("Request", "Requests", "request")
STREAMED = Meter("Lambda-Streaming-Response-Processed-Bytes", "GB", "streamed_bytes")
STORAGE = Meter("Lambda-Storage-GB-Second", "GB-Seconds", "ephemeral_storage")
PROVISIONED_DURATION = Meter("Lambda-Provisioned-GB-Second", "GB-Seconds", "provisioned_duration")
RESTORE = Meter("Lambda-SnapStart-Restored-GB", "GB", "snapstart_restore", by_architecture=False)
PROVISIONED = Meter("Lambda-Provisioned-Concurrency", "GB-Seconds", "provisioned_concurrency", standing=True)
CACHE = Meter(
    "Lambda-SnapStart-Cached-GB-S", "GB-Seconds", "snapstart_cache", by_architecture=False, standing=True
)
METERS = {
    meter.usage_type: meter
    for meter in (DURATION, REQUEST, STREAMED, STORAGE, PROVISIONED_DURATION, RESTORE, PROVISIONED, CACHE)
}
_USAGE_TYPE = re.compile(rf"(?:([A-Z][A-Za-z0-9]{{1,7}})-)?({'|'.join(METERS)})(-ARM)?")
# In the order in which they are tried: the provisioned kinds are compute too.
_DESCRIPTIONS = (
    (re.compile(r"Total Compute \(Provisioned\)|Total Provisioned Compute"), PROVISIONED_DURATION),
    (re.compile(r"Provisioned Concurrency"), PROVISIONED),
    (re.compile(r"Total Compute|Compute Free Tier"), DURATION),
    (re.compile(r"Total Requests|Requests Free Tier"), REQUEST),
)


@dataclass(frozen=True, slots=True, order=True)
class UsageType:
    """A meter and the architecture that it ran on (None where the price is the same for all)."""

    name: str
    arm: bool = False

    @property
    def meter(self) -> Meter:
        """What is metered."""
        return METERS[self.name]

    @property
    def architecture(self) -> str:
        """As the price book and the ledger call it."""
        return "arm64" if self.arm else "x86_64"

    def __str__(self) -> str:
        return f"{self.name}-ARM" if self.arm else self.name


def usage_type_of(text: str | None, description: str | None) -> UsageType | None:
    """The usage type of a line; None is one that no request is metered by (data transfer, Lambda@Edge, ...)."""
    if text is not None:
        found = _USAGE_TYPE.fullmatch(text)
        return None if found is None else usage_type(METERS[found[2]], arm=found[3] is not None)
    for pattern, meter in _DESCRIPTIONS:
        if pattern.search(description or ""):
            return usage_type(meter, arm=re.search(r"\bARM\b", description or "") is not None)
    return None


def usage_type(meter: Meter, *, arm: bool) -> UsageType:
    """The usage type of a meter on an architecture, or of the meter alone where it knows none."""
    return UsageType(meter.usage_type, arm and meter.by_architecture)


def unqualified(function_arn: str) -> str:
    """A function's ARN without version or alias, as the bill names it: arn:aws:lambda:R:A:function:NAME."""
    return ":".join(function_arn.split(":")[:7])
