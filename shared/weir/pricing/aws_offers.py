"""AWS's bulk price list, fetched: one offer file of each service that is priced here."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from weir.errors import StorageError
from weir.pricing.aws_price_list import USAGE_TYPES

HOST = "https://pricing.us-east-1.amazonaws.com"
TIMEOUT_S = 60
# The largest of these offers are a few MB.
MAX_BYTES = 64 * 1024**2


class PriceListError(StorageError):
    """AWS's price list cannot be had, or is not JSON."""


def fetch_offers(region: str, host: str = HOST) -> Iterator[Mapping[str, Any]]:
    """The offers of a Region, one at a time. Raises PriceListError."""
    for code in USAGE_TYPES:
        url = f"{host}/offers/v1.0/aws/{code}/current/{region}/index.json"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                offer = json.loads(response.read(MAX_BYTES))
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is the response, and holds its connection
            raise PriceListError(f"expected AWS's price list at {url}, got {error}") from error
        if not isinstance(offer, dict):
            raise PriceListError(f"expected an offer at {url}, got {type(offer).__name__}")
        yield offer
