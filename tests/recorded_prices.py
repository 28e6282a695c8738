"""What the recorded streams cost: how many of them the price book prices, and why it does not price the rest.

    make prices-recorded                         # CORPORA names the folder of the recordings (README, 'Corpora')

A stream is priced as a request is: by who sells at its address, the model that answered (where none says so, as on
Bedrock, the one that was asked for) and its usage, estimated where the provider counted nothing. Where the provider
says what it charged, the price book's sum is held against that.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from tests.recordings import DECODERS, Recording, read, recordings
from weir.pricing.price_book import PriceBook
from weir.pricing.quantities import TokensBought
from weir.pricing.token_charges import token_charges
from weir.pricing.usage import Usage, estimate_usage
from weir.providers.events import Reasoning, Text, ToolCall

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
# What was asked for, as the recordings' sources have it: Bedrock's answers name no model.
_ASKED = {
    f"bedrock_{name}.eventstream": model
    for model, names in {
        "amazon.nova-lite-v1:0": "converse-77ac65b148 invoke-bb275d29a0",
        "amazon.nova-micro-v1:0": "converse-028cb4b456 converse-115ee817fb converse-2acb9e02e9 "
        "converse-79cb472c39 invoke-121e6631f1 invoke-24521e404a",
        "amazon.titan-text-express-v1": "converse-5ede3e379c invoke-30c8be298b",
        "amazon.titan-text-lite-v1": "converse-4e75edf128 converse-55a488d8fe invoke-176ff38d63",
        "anthropic.claude-3-sonnet-20240229-v1:0": "converse-3c890e12e1",
        "anthropic.claude-v2": "converse-5c719649d3",
        "meta.llama3-2-1b-instruct-v1:0": "converse-ff87fe5015",
        "openai.gpt-oss-120b-1:0": "converse-581c85ec05",
        "us.amazon.nova-2-lite-v1:0": "converse-183f904e1d converse-5bcc5fdff6 converse-5dd98e119d "
        "converse-645c2eacfe converse-6e22a01d95 converse-f109eb6357",
        "us.amazon.nova-micro-v1:0": "converse-080bfc61d9 converse-1ff665b413 converse-a703d5191d "
        "converse-cf62946bd0",
        "us.anthropic.claude-3-7-sonnet-20250219-v1:0": "converse-04b6e7160b",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0": "converse-30f6742cdf",
        "us.anthropic.claude-sonnet-4-20250514-v1:0": "converse-f7bdeb8b23",
    }.items()
    for name in names.split()
}
# Base URLs that say more than their host: which seller Hugging Face's router passed a request on to.
_BASE_URLS = {
    "chat_completions-64170dcda8.sse": "https://router.huggingface.co/novita/v3/openai",
    "chat_completions-2366558815.sse": "https://router.huggingface.co/groq/openai/v1",
}


@dataclass(frozen=True)
class Priced:
    """One recording: its cost, as far as it is known, why it is not all of it, and what the provider charged."""

    name: str
    base_url: str
    bought: TokensBought
    cost_usd: Decimal
    unpriced: tuple[str, ...]

    @property
    def model(self) -> str | None:
        """The model that is priced."""
        return self.bought.model

    @property
    def estimated(self) -> bool:
        """Whether the provider counted nothing."""
        return self.bought.usage.source == "estimated"

    @property
    def charged_usd(self) -> Decimal | None:
        """What the provider itself says that it charged."""
        return self.bought.usage.provider_cost_usd

    @property
    def as_charged(self) -> bool:
        """Whether that is our sum, to the millionth of a dollar."""
        return abs(self.cost_usd - (self.charged_usd or 0)) < Decimal("5e-7")


def priced(book: PriceBook) -> Iterator[Priced]:
    """Each recorded stream with its cost."""
    for api in DECODERS:
        for recording in recordings(api):
            yield _price(api, recording, book)


def _price(api: str, recording: Recording, book: PriceBook) -> Priced:
    reading = read(api, recording.body)
    usage = reading.usage or Usage()
    if usage.source == "none":
        parts = [event for event in reading.events if isinstance(event, Text | Reasoning | ToolCall)]
        chars = sum(len(event.arguments if isinstance(event, ToolCall) else event.text) for event in parts)
        usage = estimate_usage(usage, 0, 4.0, chars, len(parts))
    base_url = _BASE_URLS.get(recording.name) or "https://" + recording.host.replace(
        "<AWS_REGION>", "us-east-1"
    )
    bought = TokensBought(
        reading.model or _ASKED.get(recording.name), usage, book.seller_of(base_url.removesuffix("/") + "/")
    )
    reasons: list[str] = []
    charges = token_charges([bought], AT, book, reasons)
    known = [amount for amount in charges if amount is not None]
    if usage.source == "estimated":
        reasons = [reason for reason in reasons if reason != "usage_lower_bound"]
    return Priced(recording.name, base_url, bought, sum(known, Decimal(0)), tuple(dict.fromkeys(reasons)))


def main() -> int:
    """Print the share, the rest with reasons, and what differs from the providers' own figures."""
    found = list(priced(PriceBook.load()))
    rest = [stream for stream in found if stream.unpriced]
    estimated = sum(stream.estimated for stream in found if not stream.unpriced)
    share = 100 * (len(found) - len(rest)) / len(found)
    print(f"{len(found) - len(rest)} of {len(found)} recorded streams are priced: {share:.1f} %")
    print(f"{estimated} of them by an estimate, a lower bound: their provider counted nothing")
    for stream in sorted(rest, key=lambda stream: (stream.unpriced, stream.name)):
        print(f"  {stream.name}  {stream.base_url}  {stream.model}: {', '.join(stream.unpriced)}")
    charged = [stream for stream in found if stream.charged_usd and not stream.unpriced]
    others = [stream for stream in charged if not stream.as_charged]
    print(f"{len(charged)} say what was charged: {len(charged) - len(others)} equal, {len(others)} different")
    for stream in others:
        print(
            f"  {stream.name}  {stream.model}: {stream.cost_usd.normalize():f} USD, charged {stream.charged_usd:f}"
        )
    return 0 if share >= 95 else 1


if __name__ == "__main__":
    sys.exit(main())
