"""The `usage` object of Chat Completions, from OpenAI and from those who imitate it.

OpenAI's `prompt_tokens` include what was read from and written to a cache, and `completion_tokens` the reasoning.
Others leave one or the other out: then their own total says so, and what it says is believed.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from weir.pricing.usage import Usage, read_cost, read_count

_CACHED = (("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",),
           ("cache_read_input_tokens",), ("cached_prompt_text_tokens",))  # fmt: skip
_WRITTEN = (("prompt_tokens_details", "cache_write_tokens"), ("cache_creation_input_tokens",))
_PROMPT = (("prompt_tokens",), ("input_tokens",), ("prompt_n",))  # the last is llama.cpp's
_COMPLETION = (("completion_tokens",), ("output_tokens",), ("predicted_n",))
_TICKS_PER_USD = Decimal(10) ** 10  # xAI's unit of cost


def read_chat_usage(usage: Mapping[str, Any]) -> Usage:
    """Read one report; what is missing or no count is unknown. Whether it is the last one is the decoder's to say."""
    prompt, completion = _first(usage, *_PROMPT), _first(usage, *_COMPLETION)
    total = _first(usage, ("total_tokens",))
    cached, written = _first(usage, *_CACHED), _first(usage, *_WRITTEN)
    reasoning = _first(usage, ("completion_tokens_details", "reasoning_tokens"), ("reasoning_tokens",))
    input_tokens, output_tokens = _whole(prompt, completion, total, (cached or 0) + (written or 0), reasoning)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_input_tokens=cached,
        reasoning_tokens=reasoning,
        total_tokens=total,
        source="provider",
        cache_write_tokens=written,
        cache_write_30m_tokens=_first(
            usage, ("prompt_tokens_details", "cache_write_tokens_details", "ttl_30m_tokens")
        ),
        cache_write_12h_tokens=_first(
            usage, ("prompt_tokens_details", "cache_write_tokens_details", "ttl_12h_tokens")
        ),
        audio_input_tokens=_first(usage, ("prompt_tokens_details", "audio_tokens")),
        audio_output_tokens=_first(usage, ("completion_tokens_details", "audio_tokens")),
        provider_cost_usd=_cost(usage),
        complete=False,
    )


def _whole(
    prompt: int | None, completion: int | None, total: int | None, in_cache: int, reasoning: int | None
) -> tuple[int | None, int | None]:
    """All input and all output: what the total has beside prompt and completion was counted outside of them."""
    if prompt is None or completion is None or total is None:
        return prompt, completion
    outside = total - prompt - completion
    if outside <= 0 or min(prompt, completion) < 0:
        return prompt, completion
    if in_cache and outside == in_cache:
        return prompt + outside, completion
    if in_cache and reasoning and outside == in_cache + reasoning:
        return prompt + in_cache, completion + reasoning
    if not reasoning or outside == reasoning:
        return prompt, completion + outside  # xAI; and Gemini's imitation, which does not say what it is
    return prompt, completion  # nothing that was reported explains the total: the record contradicts itself


def _cost(usage: Mapping[str, Any]) -> Decimal | None:
    """OpenRouter's and LiteLLM's `cost` in dollars, xAI's in ticks."""
    if (cost := read_cost(usage.get("cost"))) is not None:
        return cost
    ticks = read_count(usage.get("cost_in_usd_ticks"))
    return None if ticks is None or ticks < 0 else ticks / _TICKS_PER_USD


def _first(usage: Mapping[str, Any], *paths: tuple[str, ...]) -> int | None:
    """The first count among the places where servers put it."""
    for path in paths:
        value: object = usage
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if (count := read_count(value)) is not None:
            return count
    return None
