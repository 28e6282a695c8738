"""The `usage` object of OpenAI's two protocols, from OpenAI and from those who imitate it.

OpenAI's input includes what was read from and written to a cache, and its output the reasoning. Others leave one or
the other out: then their own total says so, and what it says is believed.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from weir.pricing.usage import Usage, read_cost, read_count

# Where servers put each count; the first that is one stands.
_INPUT = (("prompt_tokens",), ("input_tokens",), ("prompt_n",))  # the last is llama.cpp's
_OUTPUT = (("completion_tokens",), ("output_tokens",), ("predicted_n",))
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_CACHED = (
    *((name, "cached_tokens") for name in _INPUT_DETAILS),
    ("prompt_cache_hit_tokens",), ("cached_tokens",), ("cache_read_input_tokens",), ("cached_prompt_text_tokens",),
)  # fmt: skip
_WRITTEN = (*((name, "cache_write_tokens") for name in _INPUT_DETAILS), ("cache_creation_input_tokens",))
_WRITTEN_30M = tuple((name, "cache_write_tokens_details", "ttl_30m_tokens") for name in _INPUT_DETAILS)
_WRITTEN_12H = tuple((name, "cache_write_tokens_details", "ttl_12h_tokens") for name in _INPUT_DETAILS)
_REASONING = (*((name, "reasoning_tokens") for name in _OUTPUT_DETAILS), ("reasoning_tokens",))
_AUDIO_IN = tuple((name, "audio_tokens") for name in _INPUT_DETAILS)
_AUDIO_OUT = tuple((name, "audio_tokens") for name in _OUTPUT_DETAILS)
_TICKS_PER_USD = Decimal(10) ** 10  # xAI's unit of cost


def read_openai_usage(usage: Mapping[str, Any]) -> Usage:
    """Read one report; what is missing or no count is unknown. Whether it is the last one is the decoder's to say."""
    total = _first(usage, (("total_tokens",),))
    cached, written, reasoning = _first(usage, _CACHED), _first(usage, _WRITTEN), _first(usage, _REASONING)
    input_tokens, output_tokens = _all_of_it(
        _first(usage, _INPUT), _first(usage, _OUTPUT), total, (cached or 0) + (written or 0), reasoning
    )
    if "market_cost" in usage and output_tokens is not None:
        # Vercel's gateway counts, and does not charge, as if there had been no thoughts: its `cost` has them.
        output_tokens, total = output_tokens + (reasoning or 0), None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_input_tokens=cached,
        reasoning_tokens=reasoning,
        total_tokens=total,
        source="provider",
        cache_write_tokens=written,
        cache_write_30m_tokens=_first(usage, _WRITTEN_30M),
        cache_write_12h_tokens=_first(usage, _WRITTEN_12H),
        audio_input_tokens=_first(usage, _AUDIO_IN),
        audio_output_tokens=_first(usage, _AUDIO_OUT),
        provider_cost_usd=_cost(usage),
        complete=False,
    )


def _all_of_it(
    given: int | None, taken: int | None, total: int | None, in_cache: int, reasoning: int | None
) -> tuple[int | None, int | None]:
    """All input and all output: what the total has beside the two was counted outside of them."""
    if given is None or taken is None or total is None:
        return given, taken
    outside = total - given - taken
    if outside <= 0 or min(given, taken) < 0:
        return given, taken
    if in_cache and outside == in_cache:
        return given + outside, taken
    if in_cache and reasoning and outside == in_cache + reasoning:
        return given + in_cache, taken + reasoning
    if not reasoning or outside == reasoning:
        return given, taken + outside  # xAI; and Gemini's imitation, which does not say what it is
    return given, taken  # nothing that was reported explains the total: the record contradicts itself


def _cost(usage: Mapping[str, Any]) -> Decimal | None:
    """OpenRouter's and LiteLLM's `cost` in dollars, xAI's in ticks."""
    if (cost := read_cost(usage.get("cost"))) is not None:
        return cost
    ticks = read_count(usage.get("cost_in_usd_ticks"))
    return None if ticks is None or ticks < 0 else ticks / _TICKS_PER_USD


def _first(usage: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> int | None:
    """The first count among the places where servers put it."""
    for path in paths:
        value = usage.get(path[0])
        for name in path[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and (count := read_count(value)) is not None:
            return count
    return None
