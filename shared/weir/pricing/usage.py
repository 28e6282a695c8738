"""The tokens that a provider counted, or that we had to estimate: one record for all protocols.

Input is all input: what was read from a cache and written to one is part of it, as are tool prompts. Output is all
that is billed as output, reasoning included. So a true total is input plus output, whatever the protocol adds up;
each protocol's own arithmetic is its decoder's. Absent is unknown, never 0, and a reported number is never rewritten.

Reports of one answer are merged member by member, and no counter falls: a later report may leave members out, and
some servers end with zeros.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

type UsageSource = Literal["provider", "estimated", "none"]

ABSURD_TOKENS = 100_000_000  # in one request: no model takes or gives as much, so somebody miscounted
MAX_COUNT = 10**15  # beyond it no float is exact, and no metric is taken: such a number was never counted


class Usage(NamedTuple):
    """Tokens of one attempt, or summed over a request.

    Parts of the input: `cached_input_tokens` (read from a cache), `cache_write_tokens` (written to one; what the
    four durations leave of it was written for a time that nobody named), `audio_input_tokens`, `tool_prompt_tokens`.
    Parts of the output: `reasoning_tokens`, `audio_output_tokens`. `total_tokens` is what the provider says.
    `service_tier` is the one that served, `provider_cost_usd` what the provider itself says that it charged.
    `complete` is false where the counts are a lower bound: more may have been bought, and nobody told us.
    `fell` says that a later report was smaller than an earlier one, which stands.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    source: UsageSource = "none"
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_30m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    cache_write_12h_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    tool_prompt_tokens: int | None = None
    service_tier: str | None = None
    provider_cost_usd: "Decimal | None" = None
    complete: bool = True
    fell: bool = False

    @property
    def inconsistent(self) -> bool:
        """Whether the counts contradict each other: such usage is flagged, and not priced silently."""
        for name in COUNTS:
            if (count := getattr(self, name)) is not None and not 0 <= count <= ABSURD_TOKENS:
                return True
        input_tokens, output_tokens, total = self.input_tokens, self.output_tokens, self.total_tokens
        if input_tokens is not None:
            parts = (self.cached_input_tokens or 0) + (self.cache_write_tokens or 0)
            if max(parts, self.audio_input_tokens or 0, self.tool_prompt_tokens or 0) > input_tokens:
                return True
        if sum(getattr(self, name) or 0 for name in CACHE_WRITES) > (self.cache_write_tokens or 0):
            return True
        if input_tokens is None or output_tokens is None or total is None or not self.complete:
            return False
        return total != input_tokens + output_tokens

    @property
    def nothing_bought(self) -> bool:
        """Whether this is the known zero of a call that the provider never served, which nobody had to count."""
        return self.source == "none" and self.input_tokens == 0 == self.output_tokens

    @property
    def cache_write_unnamed_tokens(self) -> int | None:
        """What was written to a cache for a time that no report names."""
        if self.cache_write_tokens is None:
            return None
        return max(0, self.cache_write_tokens - sum(getattr(self, name) or 0 for name in CACHE_WRITES))

    def merged(self, later: "Usage") -> "Usage":
        """This report and a later one of the same answer, as one; in which pairs reports are merged is all the same."""
        if self.source == "none" or later.source == "none":
            return later if self.source == "none" else self
        members: dict[str, Any] = {
            name: _larger(getattr(self, name), getattr(later, name))
            for name in (*COUNTS, "provider_cost_usd")
        }
        return Usage(
            **members,
            source="estimated" if "estimated" in (self.source, later.source) else "provider",
            service_tier=self.service_tier if later.service_tier is None else later.service_tier,
            complete=self.complete or later.complete,
            fell=self.fell or later.fell,
        )

    def falls_below(self, earlier: "Usage") -> bool:
        """Whether any counter of this report is smaller than it was in an earlier one of the same answer."""
        for name in COUNTS:
            before, now = getattr(earlier, name), getattr(self, name)
            if before is not None and now is not None and now < before:
                return True
        return False

    def as_json(self) -> dict[str, Any]:
        """What each answer may have, unknown counts as null; the rest only where it is known."""
        members: dict[str, Any] = {name: getattr(self, name) for name in _ALWAYS}
        for name in _WHERE_KNOWN:
            if (value := getattr(self, name)) is not None:
                members[name] = value
        if self.provider_cost_usd is not None:
            members["provider_cost_usd"] = format(self.provider_cost_usd, "f")
        if not self.complete:
            members["complete"] = False
        if self.fell:
            members["fell"] = True
        return members

    @classmethod
    def total(cls, parts: list["Usage"]) -> "Usage":
        """The sum over attempts; a count that any attempt lacks is unknown, and any estimate makes an estimate.

        An attempt that was never served bought nothing of any kind.
        """
        if len(parts) == 1:
            return parts[0]
        served = [part for part in parts if not part.nothing_bought]
        if not served:
            return parts[0] if parts else cls()
        if len(served) == 1:
            return served[0]
        sources = {part.source for part in served}
        tiers = {part.service_tier for part in served}
        costs = [part.provider_cost_usd for part in served]
        members: dict[str, Any] = {name: _sum([getattr(part, name) for part in served]) for name in COUNTS}
        return cls(
            **members,
            source="none" if "none" in sources else "estimated" if "estimated" in sources else "provider",
            service_tier=tiers.pop() if len(tiers) == 1 else None,
            provider_cost_usd=None if None in costs else _total(costs),
            complete=all(part.complete for part in served),
            fell=any(part.fell for part in served),
        )


COUNTS = tuple(name for name in Usage._fields if name.endswith("_tokens"))
"""The members that count tokens."""
CACHE_WRITES = tuple(
    name for name in COUNTS if name.startswith("cache_write_") and name != "cache_write_tokens"
)
"""The parts of `cache_write_tokens` by how long what was written is kept."""
_ALWAYS = (*COUNTS[:5], "source")
_WHERE_KNOWN = (*COUNTS[5:], "service_tier")

NOTHING_BOUGHT = Usage(0, 0, 0, 0, 0)
"""The usage of a call that the provider never served: a known zero, which nobody had to count."""

DEFAULT_CHARS_PER_TOKEN = 4.0


def read_count(value: object) -> int | None:
    """A count as JSON wrote it, 12.0 included; what is none is unknown. A negative one is kept, and contradicts."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_COUNT:
        return None
    return value


def usage_from_json(members: Mapping[str, Any]) -> Usage:
    """What `as_json` wrote, in this version or an earlier one; what is absent or is no count is unknown."""
    source, tier, cost = members.get("source"), members.get("service_tier"), members.get("provider_cost_usd")
    known_source: UsageSource = source if source in ("provider", "estimated") else "none"
    counts: dict[str, Any] = {
        name: read_count(value) for name in COUNTS if (value := members.get(name)) is not None
    }
    return Usage(
        **counts,
        source=known_source,
        service_tier=tier if isinstance(tier, str) else None,
        provider_cost_usd=read_cost(cost),
        complete=members.get("complete") is not False,
        fell=members.get("fell") is True,
    )


def read_cost(value: object) -> "Decimal | None":
    """An amount of money as JSON wrote it, as a number or a string; what is none is unknown."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    from decimal import Decimal

    try:
        amount = Decimal(str(value)[:64])
    except (ArithmeticError, ValueError):
        return None
    # Less than 10**-30 is no price of anything, and would be written out digit by digit.
    if not amount.is_finite() or not 0 <= amount <= MAX_COUNT or (amount and amount.adjusted() < -30):
        return None
    return amount


def estimate_usage(
    reported: Usage, input_chars: int, input_chars_per_token: float, output_chars: int, deltas: int
) -> Usage:
    """Usage of a stream that ended before the provider counted it, which it does last: a lower bound, and labelled.

    Output: what was reported so far, and no less than the deltas that came, which are one token each with most
    providers, and than its characters by four. Input: as reported, else its characters by the ratio last seen for
    that model.
    """
    counted = max(deltas, int(output_chars / DEFAULT_CHARS_PER_TOKEN), reported.output_tokens or 0)
    input_tokens = reported.input_tokens
    if input_tokens is None:
        input_tokens = round(input_chars / input_chars_per_token)
    return reported._replace(
        input_tokens=input_tokens,
        output_tokens=counted,
        total_tokens=input_tokens + counted,
        source="estimated",
        complete=False,
    )


def _larger[T: (int, "Decimal")](one: T | None, other: T | None) -> T | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _total(costs: "list[Decimal | None]") -> "Decimal":
    from decimal import Decimal

    return sum((cost for cost in costs if cost), Decimal(0))
