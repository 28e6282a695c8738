"""AWS's own bulk price list, which is public JSON, as records of the price book.

A record that was written never changes its prices: where the list has another amount, the open record ends on the day
from which the list says so and a new one begins. What the list has and nobody prices here is left out.
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api.html
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from weir.pricing.price_records import BY_ARCHITECTURE, PriceBookError

# A usage type without its Region's prefix -> the book's item, its architecture, its unit.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-pricing.html
USAGE_TYPES: Mapping[str, Mapping[str, tuple[str, str | None, str]]] = {
    "AWSLambda": {
        "Lambda-GB-Second": ("duration", "x86_64", "GB-second"),
        "Lambda-GB-Second-ARM": ("duration", "arm64", "GB-second"),
        "Request": ("request", "x86_64", "request"),
        "Request-ARM": ("request", "arm64", "request"),
        "Lambda-Storage-GB-Second": ("ephemeral_storage", "x86_64", "GB-second"),
        "Lambda-Storage-GB-Second-ARM": ("ephemeral_storage", "arm64", "GB-second"),
        "Lambda-Provisioned-Concurrency": ("provisioned_concurrency", "x86_64", "GB-second"),
        "Lambda-Provisioned-Concurrency-ARM": ("provisioned_concurrency", "arm64", "GB-second"),
        "Lambda-Provisioned-GB-Second": ("provisioned_duration", "x86_64", "GB-second"),
        "Lambda-Provisioned-GB-Second-ARM": ("provisioned_duration", "arm64", "GB-second"),
        "Lambda-SnapStart-Cached-GB-S": ("snapstart_cache", None, "GB-second"),
        "Lambda-SnapStart-Restored-GB": ("snapstart_restore", None, "GB"),
        "Lambda-Streaming-Response-Processed-Bytes": ("streamed_bytes", "x86_64", "GB"),
        "Lambda-Streaming-Response-Processed-Bytes-ARM": ("streamed_bytes", "arm64", "GB"),
    },
    "AmazonApiGateway": {"ApiGatewayRequest": ("api_gateway_request", None, "request")},
    "AmazonCloudWatch": {
        "VendedLog-Bytes": ("logs_ingestion", None, "GB"),
        "TimedStorage-ByteHrs": ("logs_storage", None, "GB-month"),
    },
    "AmazonS3": {
        "Requests-Tier1": ("s3_put_request", None, "request"),
        "Requests-Tier2": ("s3_get_request", None, "request"),
        "TimedStorage-ByteHrs": ("s3_storage", None, "GB-month"),
    },
    "AmazonKinesisFirehose": {"BilledBytes": ("firehose_ingestion", None, "GB")},
    "AmazonAthena": {"DataScannedInTB": ("athena_scan", None, "TB")},
}
_PREFIX = re.compile(r"^[A-Z]{2,4}\d?-")  # EUC1-, USE1-, and EU-, which is Ireland; us-east-1 has it or not


def records_of(offer: Mapping[str, Any], region: str) -> Iterator[dict[str, Any]]:
    """The book's records in one offer file: what a usage type costs on demand, tier by tier.

    Raises PriceBookError where the file is none of AWS's price list, or a price is not in USD.
    """
    code = offer.get("offerCode")
    if not isinstance(code, str) or code not in USAGE_TYPES or not isinstance(offer.get("products"), dict):
        raise PriceBookError(f"price list: expected an offer of {sorted(USAGE_TYPES)}, got {code!r}")
    for sku, product in sorted(offer["products"].items()):
        attributes = product.get("attributes", {})
        usage_type = _PREFIX.sub("", str(attributes.get("usagetype", "")))
        known = USAGE_TYPES[code].get(usage_type)
        if known is None or attributes.get("regionCode", region) != region:
            continue
        for term in offer.get("terms", {}).get("OnDemand", {}).get(sku, {}).values():
            item, architecture, unit = known
            yield {
                "item": item,
                "region": region,
                "architecture": architecture,
                "unit": unit,
                "valid_from": str(term["effectiveDate"])[:10],
                "valid_to": None,
                "tiers": _tiers(f"{code} {usage_type}", term["priceDimensions"].values()),
                "source": f"AWS Price List, {code}, {region}, publication of {str(offer.get('publicationDate'))[:10]}",
            }


def _tiers(where: str, dimensions: Iterable[Mapping[str, Any]]) -> list[dict[str, str | None]]:
    rising = sorted(dimensions, key=lambda dimension: Decimal(dimension["beginRange"]))
    tiers: list[dict[str, str | None]] = []
    for dimension in rising:
        amount = dimension.get("pricePerUnit", {}).get("USD")
        if amount is None:
            raise PriceBookError(f"{where}: expected a price in USD, got {dimension.get('pricePerUnit')!r}")
        end = dimension["endRange"]
        price = format(Decimal(amount).normalize(), "f")
        tiers.append({"up_to": None if end == "Inf" else str(end), "price": price})
    # A free tier is the account's and no price of a request's.
    return tiers[1:] if len(tiers) > 1 and Decimal(tiers[0]["price"] or 0) == 0 else tiers


def one_for_both(records: Iterable[dict[str, Any]], split: frozenset[str]) -> list[dict[str, Any]]:
    """Records whose two architectures cost the same, as one for both; those of `split` items stay apart."""
    found: dict[str, dict[str | None, dict[str, Any]]] = {}
    for record in records:
        found.setdefault(record["item"], {})[record["architecture"]] = record
    merged = []
    for item, by_architecture in sorted(found.items()):
        kept = list(by_architecture.values())
        if item not in split and all(record["tiers"] == kept[0]["tiers"] for record in kept):
            kept = [{**kept[0], "architecture": None}]
        merged += kept
    return merged


def merge(
    old: Sequence[Mapping[str, Any]], fresh: Iterable[Mapping[str, Any]], not_before: date | None = None
) -> list[dict[str, Any]]:
    """The records of `old` with what `fresh` adds; no record of `old` changes its prices.

    Another price begins on the day that the list says, and not before `not_before`: what days before it cost is known.
    Raises PriceBookError for one that would begin before the record that it ends.
    """
    merged = [dict(record) for record in old]
    for record in fresh:
        key = (record["item"], record["architecture"])
        open_ = [
            known
            for known in merged
            if known["valid_to"] is None
            and known["item"] == key[0]
            and known["architecture"] in (key[1], None)
        ]
        if open_ and open_[0]["tiers"] == record["tiers"]:
            continue
        start = str(record["valid_from"])
        if open_:
            start = max(start, not_before.isoformat() if not_before else start)
            if start <= open_[0]["valid_from"]:
                raise PriceBookError(
                    f"{key}: expected a change after {open_[0]['valid_from']}, got one of {start}: "
                    f"{open_[0]['tiers']} became {record['tiers']}"
                )
            open_[0]["valid_to"] = start
        merged.append({**record, "valid_from": start})
    return merged


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A Region's file of the book, how many of its records are new, and which items the list lacks."""

    document: Mapping[str, Any]
    new: int
    lacking: tuple[str, ...]

    @property
    def text(self) -> str:
        """As it is kept: a line for each record."""
        head = {name: value for name, value in self.document.items() if name != "records"}
        lines = ",\n".join("  " + json.dumps(record) for record in self.document["records"])
        return f'{json.dumps(head, indent=1)[:-2]},\n "records": [\n{lines}\n ]\n}}\n'


def refreshed(
    old: Mapping[str, Any], offers: Iterable[Mapping[str, Any]], region: str, not_before: date | None = None
) -> Refreshed:
    """A Region's file anew from its offers, over the one that there is (empty for none). Raises PriceBookError."""
    dates, fresh = [], []
    for offer in offers:
        dates.append(str(offer.get("publicationDate"))[:10])
        fresh += one_for_both(records_of(offer, region), BY_ARCHITECTURE)
    before = old.get("records", [])
    merged = merge(before, fresh, not_before)
    document = {
        "kind": "aws",
        "region": region,
        "currency": "USD",
        "as_of": max([*dates, str(old.get("as_of", ""))], default=""),
        "source": old.get("source")
        or {
            "name": f"AWS Price List, {region}",
            "url": "https://aws.amazon.com/lambda/pricing/",
            "note": "valid_from is the first day this book vouches for.",
        },
        "records": merged,
    }
    wanted = {item for types in USAGE_TYPES.values() for item, _, _ in types.values()}
    lacking = sorted(wanted - {record["item"] for record in merged})
    return Refreshed(document, len(merged) - len(before), tuple(lacking))
