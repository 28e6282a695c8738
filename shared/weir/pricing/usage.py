"""The tokens that a provider counted, or that we had to estimate. Absent is unknown, never 0."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

type UsageSource = Literal["provider", "estimated", "none"]


ABSURD_TOKENS = 100_000_000  # in one request: no model takes or gives as much, so somebody miscounted


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt, or summed over a request; input includes the cached, output the reasoning tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    source: UsageSource = "none"

    @property
    def inconsistent(self) -> bool:
        """Whether the counts contradict each other: such usage is flagged, and not priced silently."""
        for count in (self.input_tokens, self.output_tokens, self.cached_input_tokens, self.total_tokens):
            if count is not None and not 0 <= count <= ABSURD_TOKENS:
                return True
        input_tokens, cached, total = self.input_tokens, self.cached_input_tokens, self.total_tokens
        if input_tokens is not None and cached is not None and cached > input_tokens:
            return True
        if input_tokens is None or self.output_tokens is None or total is None:
            return False
        return total != input_tokens + self.output_tokens

    def as_json(self) -> dict[str, Any]:
        """Field by field; unknown counts are null."""
        return asdict(self)

    @classmethod
    def total(cls, parts: list["Usage"]) -> "Usage":
        """The sum over attempts; a count that any attempt lacks is unknown, and any estimate makes an estimate."""
        if not parts:
            return cls()
        if len(parts) == 1:
            return parts[0]
        sources = {part.source for part in parts if part != NOTHING_BOUGHT} or {"none"}
        source: UsageSource = (
            "none" if "none" in sources else "estimated" if "estimated" in sources else "provider"
        )

        def add(name: str) -> int | None:
            counts = [getattr(part, name) for part in parts]
            return None if None in counts else sum(counts)

        return cls(
            add("input_tokens"),
            add("output_tokens"),
            add("cached_input_tokens"),
            add("reasoning_tokens"),
            add("total_tokens"),
            source,
        )


MAX_COUNT = 10**15  # beyond it no float is exact, and no metric is taken: such a number was never counted

NOTHING_BOUGHT = Usage(0, 0, 0, 0, 0)
"""The usage of a call that the provider never served: a known zero, which nobody had to count."""


def usage_from_chat_completions(usage: Mapping[str, Any]) -> Usage:
    """Read the `usage` object of Chat Completions; what is missing or not an integer is unknown.

    OpenAI and most others nest the cached count, DeepSeek puts it beside the total.
    """

    def count(value: object) -> int | None:
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_COUNT:
            return None
        return value

    def nested(name: str, key: str) -> int | None:
        details = usage.get(name)
        return count(details.get(key)) if isinstance(details, Mapping) else None

    cached = nested("prompt_tokens_details", "cached_tokens")
    return Usage(
        input_tokens=count(usage.get("prompt_tokens")),
        output_tokens=count(usage.get("completion_tokens")),
        cached_input_tokens=cached if cached is not None else count(usage.get("prompt_cache_hit_tokens")),
        reasoning_tokens=nested("completion_tokens_details", "reasoning_tokens"),
        total_tokens=count(usage.get("total_tokens")),
        source="provider",
    )


DEFAULT_CHARS_PER_TOKEN = 4.0


def estimate_usage(input_chars: int, input_chars_per_token: float, output_chars: int, deltas: int) -> Usage:
    """Usage of a stream that was stopped before the provider counted it, which it does last.

    Output: the deltas that came, which are one token each with most providers, but no fewer than its characters by
    four. Input: its characters by the ratio last seen for that model. Always labelled as an estimate.
    """
    input_tokens = round(input_chars / input_chars_per_token)
    output_tokens = max(deltas, int(output_chars / DEFAULT_CHARS_PER_TOKEN))
    return Usage(input_tokens, output_tokens, total_tokens=input_tokens + output_tokens, source="estimated")
