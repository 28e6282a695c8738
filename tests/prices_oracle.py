"""The price book against genai-prices itself: every model found by every name, and usage priced to the last digit, drawn
and as the recorded streams have it.

make prices-oracle          # in genai-prices' own environment, which has nothing of ours beside this repository
"""

import argparse
import os
import random
import sys
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

from genai_prices import Usage as TheirUsage
from genai_prices.data import providers

from infra.prices.refresh import prices_of
from tests.recorded_prices import AT, priced
from weir.pricing.price_book import PriceBook
from weir.pricing.quantities import TokensBought
from weir.pricing.token_charges import token_charges
from weir.pricing.usage import Usage

BOOK = PriceBook.load()
# Each of up to eight amounts is rounded to 15 places; the source has some prices like 0.18000000000000002.
ROUNDING = 8 * Decimal("0.5e-15")
CONTEXTS = (
    (None, None),
    ("default", {"service_tier": "default"}),
    ("flex", {"service_tier": "flex"}),
    ("priority", {"service_tier": "priority"}),
    ("batch", {"processing": "batch"}),
)


def draw(random_: random.Random) -> Usage:
    """Usage whose parts fit into what contains them, with zeros, absent members and sizes on both sides of tiers."""
    total = random_.choice([0, 1, 999, 127_999, 128_001, 199_999, 200_000, 200_001, 272_001, 1_000_003])
    left, parts = total, {}
    for name in (
        "cached_input_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "audio_input_tokens",
    ):
        part = random_.choice([0, 0, random_.randint(0, left)])
        left -= part
        parts[name] = part
    written = parts["cache_write_5m_tokens"] + parts["cache_write_1h_tokens"]
    output = random_.choice([0, 1, 17, 4_096])
    return Usage(
        input_tokens=total,
        output_tokens=output,
        reasoning_tokens=random_.randint(0, output),
        cache_write_tokens=written,
        source="provider",
        **parts,
    )


def theirs(usage: Usage) -> TheirUsage:
    return TheirUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.audio_input_tokens,
        cache_audio_read_tokens=0,  # none of the protocols says how much of what was read from a cache was sound
        cache_audio_write_tokens=0,
        cache_audio_write_5m_tokens=0,
        cache_audio_write_1h_tokens=0,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )


def recorded(seen: Counter[str]) -> list[str]:
    """The recorded streams whose model genai-prices has: what it makes of them, and we of them, where that differs."""
    wrong = []
    for stream in priced(BOOK) if "CORPORA" in os.environ else ():
        usage, seller = stream.bought.usage, BOOK.seller_of(stream.base_url)
        provider = next((provider for provider in providers if provider.id == seller), None)
        model = (
            provider.find_model(stream.model, all_providers=providers) if provider and stream.model else None
        )
        if model is None or stream.unpriced:
            seen["recorded, not theirs"] += 1
            continue
        tier = {"priority": {"service_tier": "priority"}, "flex": {"service_tier": "flex"}}.get(
            usage.service_tier or ""
        )
        price = model.get_prices(AT, tier)
        expected = price.calc_price(theirs(usage))["total_price"] if prices_of(price) else Decimal(0)
        expected -= Decimal(price.__dict__.get("requests_kcount") or 0) / 1000
        seen["recorded"] += 1
        if abs(stream.cost_usd - expected) > ROUNDING:
            wrong.append(
                f"{stream.name} {seller} {stream.model}: expected {expected}, got {stream.cost_usd}; {usage}"
            )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=8, help="usages drawn for each model and tier")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random_ = random.Random(options.seed)
    seen: Counter[str] = Counter()
    wrong = recorded(seen)
    for provider in providers:
        for model in provider.models:
            found = provider.find_model(model.id, all_providers=providers)
            names = {model.id, model.id.upper()}
            for name in names if found else ():
                entry = BOOK._listed_entry(provider.id, name.lower())
                seen["names"] += 1
                if entry is None or entry.model != found.id:
                    wrong.append(f"{provider.id} {name}: expected {found.id}, got {entry and entry.model}")
            for tier, context in CONTEXTS if found and found is model else ():
                for _ in range(options.draws):
                    at = datetime(2026, 11, 28, random_.randrange(24), random_.randrange(60), tzinfo=UTC)
                    usage, reasons = draw(random_), []
                    price = found.get_prices(at, context)
                    if not prices_of(price):
                        seen["without a price"] += 1
                        continue
                    known = {
                        str(value)
                        for variant in found.price_variants or ()
                        for value in variant.when.values()
                    }
                    ours = token_charges(
                        [TokensBought(model.id, usage._replace(service_tier=tier), provider.id)],
                        at,
                        BOOK,
                        reasons,
                    )
                    if tier not in (None, "default") and tier not in known:
                        if not any("tier" in reason for reason in reasons) and usage.input_tokens:
                            wrong.append(
                                f"{provider.id} {model.id}: expected no price in tier {tier}, got {ours}"
                            )
                        continue
                    expected = price.calc_price(theirs(usage))["total_price"]
                    requests = price.__dict__.get("requests_kcount")
                    expected -= Decimal(requests or 0) / 1000
                    got = sum((amount for amount in ours if amount is not None), Decimal(0))
                    seen["priced"] += 1
                    if abs(got - expected) > ROUNDING:
                        wrong.append(
                            f"{provider.id} {model.id} {tier} {at:%H:%M}: expected {expected}, got {got}; {usage} {reasons}"
                        )
    print(f"{dict(seen)}; differences: {len(wrong)}")
    print("\n".join(wrong[:20]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
