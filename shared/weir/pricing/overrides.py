"""A contract's prices over the price book, as they are configured: a JSON object, or where one lies.

That is a file, an object in S3 (`s3://BUCKET/KEY`) or a parameter of Systems Manager (`ssm:/NAME`). What lies somewhere
is read again after five minutes, so that new prices need no deployment; while its store is down the last one known
goes on being used. Prices that can't be trusted are refused, whatever was known before.
"""

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from weir.pricing.price_book import PriceBook, PriceBookError
from weir.pricing.price_records import read_document

MAX_AGE_S = 300.0
MAX_BYTES = 4 * 1024**2
_ON_AWS = ("s3://", "ssm:")
# By address: until when it holds, and the text. The epoch's clock goes on while the process is frozen.
_known: dict[str, tuple[float, str]] = {}


class OverridesUnreadable(PriceBookError):
    """Where a contract's prices should lie there are none, or nobody may read them."""


def load_price_book(overrides: str, fresher: str = "") -> PriceBook:
    """The price book, with the contract's prices over it. May wait for S3 or Systems Manager.

    `fresher` is a Region's file of AWS's prices that was refreshed since the book was made, as it is kept.

    Raises:
        OverridesUnreadable: nothing can be read there.
        PriceBookError: the overrides, or the book itself, can't be trusted.
    """
    if not overrides:
        return parse_overrides("{}", fresher=fresher)
    return parse_overrides(_text(overrides), _place(overrides), fresher)


@lru_cache(maxsize=8)
def parse_overrides(text: str, place: str = "", fresher: str = "") -> PriceBook:
    """The price book, with a contract's prices as JSON over it; `place` says where they lie. Raises PriceBookError."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise PriceBookError(f"WEIR_PRICE_OVERRIDES: expected a JSON object{place}: {error}") from error
    if not isinstance(parsed, dict):
        raise PriceBookError(
            f"WEIR_PRICE_OVERRIDES: expected a JSON object{place}, got {type(parsed).__name__}"
        )
    return PriceBook.load(parsed, fresher=_by_region(fresher))


def _by_region(fresher: str) -> dict[str, Mapping[str, Any]]:
    document = read_document("refreshed prices", fresher.encode()) if fresher else {}
    return {str(document["region"]): document} if document else {}


def _is_inline(overrides: str) -> bool:
    return overrides.lstrip().startswith(("{", "["))


def _place(overrides: str) -> str:
    return "" if _is_inline(overrides) else f" at {overrides}"


def _text(overrides: str) -> str:
    if _is_inline(overrides):
        return overrides
    due_s, text = _known.get(overrides, (0.0, None))
    if text is None or time.time() >= due_s:
        try:
            text = _read(overrides)
        except OverridesUnreadable:
            if text is None:
                raise
        _known[overrides] = (time.time() + MAX_AGE_S, text)
    return text


def _read(address: str) -> str:
    try:
        if not address.startswith(_ON_AWS):
            return Path(address).read_text(encoding="utf-8")
        return _read_on_aws(address)
    except (OSError, ValueError) as error:
        raise _unreadable(address, str(error)) from error


def _read_on_aws(address: str) -> str:
    import boto3  # heavy, and only where prices lie there
    from botocore.exceptions import BotoCoreError, ClientError

    store, _, name = address.partition(":")
    try:
        if store == "ssm":
            found = boto3.client(store).get_parameter(Name=name, WithDecryption=True)
            return str(found["Parameter"]["Value"])
        bucket, _, key = name.removeprefix("//").partition("/")
        body: bytes = boto3.client(store).get_object(Bucket=bucket, Key=key)["Body"].read(MAX_BYTES + 1)
    except ClientError as error:
        # S3 says AccessDenied of an object that isn't there to whoever may not list.
        raise _unreadable(address, error.response["Error"]["Code"]) from error
    except BotoCoreError as error:
        raise _unreadable(address, type(error).__name__) from error
    if len(body) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return body.decode()


def _unreadable(address: str, got: str) -> OverridesUnreadable:
    return OverridesUnreadable(
        f"WEIR_PRICE_OVERRIDES: expected a JSON object, or where one lies (a file's path, s3://BUCKET/KEY or "
        f"ssm:/NAME), got {address[:200]!r}: {got}"
    )
