"""What the ledger has to say of a world: counted from what each line was meant to say, by other means than the join.

No record is read, no class of the ledger is used, and prices come straight out of the price files. Money is a whole
number of 1e-15 USD, rounded half-even from an exact fraction. None is unknown.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.fuzz.ledger_worlds import HOUR_MS, Line, World

_DATA = Path(__file__).parents[2] / "shared" / "weir" / "pricing" / "data"
_MIB = 1024**2
UNITS = 10**15


@dataclass(slots=True)
class Expected:
    """One request; amounts in 1e-15 USD by component."""

    records: int
    at: datetime
    join_status: str
    outcome: str | None
    billed_ms: int | None
    invocations: int
    streamed_bytes: int | None
    tokens: dict[str, int | None]
    amounts: dict[str, int | None]

    @property
    def total(self) -> int:
        """What is known of it."""
        return sum(amount for amount in self.amounts.values() if amount is not None)


class Prices:
    """First-tier list prices, USD."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str | None], Fraction] = {}
        self._models: dict[str, dict[str, Fraction]] = {}
        for path in (_DATA / "aws" / "us-east-1.json", _DATA / "tokens" / "openai.json"):
            document = json.loads(path.read_text())
            for record in document.get("records", ()):
                key = (record["item"], record["architecture"])
                self._items.setdefault(key, Fraction(record["tiers"][0]["price"]))
            for model in document.get("models", ()):
                standard = [
                    record
                    for record in model["records"]
                    if record.keys() == {"valid_from", "valid_to", "prices"}
                ]
                for record in standard[-1:]:
                    kinds = {
                        kind: Fraction(tiers if isinstance(tiers, str) else tiers[0]["price"])
                        for kind, tiers in record["prices"].items()
                    }
                    for name in model.get("equals", ()):
                        self._models[name] = kinds

    def charge(self, item: str, quantity: Fraction, architecture: str | None = None) -> int:
        """Quantity by price, rounded."""
        return round(quantity * self._items[item, architecture] * UNITS)

    def tokens(self, model: str, kind: str, count: int) -> int | None:
        """Tokens by price, rounded."""
        if count == 0:
            return 0
        prices = self._models.get(model)
        return None if prices is None else round(Fraction(count, 10**6) * prices[kind] * UNITS)


PRICES = Prices()


def expected(world: World, delivered: Iterable[Line]) -> dict[str, Expected]:
    """Every request of whose lines at least one has arrived."""
    seen = {line.id: line for line in delivered if line.request is not None and not line.poison}
    requests: dict[str, list[Line]] = {}
    for line in sorted(seen.values(), key=lambda line: (line.at_ms, line.id)):
        assert line.request is not None
        requests.setdefault(line.request, []).append(line)
    return {name: _one(world, own, list(seen.values())) for name, own in requests.items()}


def _one(world: World, own: list[Line], everything: list[Line]) -> Expected:
    def of(kind: str) -> list[Line]:
        return [line for line in own if line.kind == kind]

    reports, completions = of("platform.report"), of("request.completed")
    told = [line for line in own if line.kind.startswith("request.")]
    attempts = _attempts(completions, of("request.progress"))
    streamed = _streamed(completions, of("platform.runtimeDone"), len(reports))
    billed = sum(line.says["billed_ms"] for line in reports) if reports else None
    known = bool(told) or _has_neighbour(own[-1], everything)
    return Expected(
        records=len(own),
        at=datetime.fromtimestamp((reports or own)[-1].at_ms / 1000, UTC),
        join_status=_STATUS[bool(reports), bool(completions)],
        outcome=_outcome(completions, reports),
        billed_ms=billed,
        invocations=len(reports),
        streamed_bytes=streamed,
        tokens={name: _sum_of(attempts, name) for name in ("input_tokens", "output_tokens")},
        amounts={
            **_lambda(world, billed, len(reports), streamed, known),
            "api_gateway": _gateway(world, streamed) if told else None,
            "logs": PRICES.charge("logs_ingestion", Fraction(sum(line.bytes for line in own), 1024**3)),
            **_token_amounts(attempts),
        },
    )


_STATUS = {
    (True, True): "complete",
    (True, False): "bill_only",
    (False, True): "usage_only",
    (False, False): "started_only",
}


def _outcome(completions: list[Line], reports: list[Line]) -> str | None:
    if completions:
        return str(completions[-1].says["outcome"])
    return "killed" if {line.says["status"] for line in reports} - {"success"} else None


def _attempts(completions: list[Line], progress: list[Line]) -> list[tuple[str | None, dict[str, Any]]]:
    """(model, usage) of all attempts; of what was never counted one unknown."""
    if completions:
        return [attempt for line in completions for attempt in line.says["attempts"]]
    if progress:
        return list(progress[-1].says["attempts"])
    return [(None, {})]


def _streamed(completions: list[Line], done: list[Line], reports: int) -> int | None:
    if completions:
        counts = [line.says["streamed"] for line in completions]
    else:
        counts = [line.says["produced"] for line in done] if len(done) >= reports else []
    return sum(counts) if counts and None not in counts else None


def _sum_of(attempts: list[tuple[str | None, dict[str, Any]]], name: str) -> int | None:
    counts = [used.get(name) for _, used in attempts]
    return None if None in counts else sum(counts)


def _has_neighbour(last: Line, everything: list[Line]) -> bool:
    return any(
        other.stream == last.stream
        and other.kind in ("request.started", "request.progress")
        and abs(other.at_ms - last.at_ms) <= 6 * HOUR_MS
        for other in everything
    )


def _lambda(
    world: World, billed: int | None, reports: int, streamed: int | None, known: bool
) -> dict[str, int | None]:
    beyond = Fraction(max((streamed or 0) - 6 * _MIB, 0), 1024**3)
    gb_s = Fraction((billed or 0) * world.memory_mb, 1_024_000)
    storage = Fraction((billed or 0) * (world.storage_mb - 512), 1_024_000)
    stored = billed is not None or world.storage_mb == 512
    return {
        "lambda_duration": PRICES.charge("duration", gb_s, world.architecture) if reports and known else None,
        "lambda_request": PRICES.charge("request", Fraction(reports)) if reports else None,
        "lambda_streamed_bytes": None if streamed is None else PRICES.charge("streamed_bytes", beyond),
        "lambda_ephemeral_storage": PRICES.charge("ephemeral_storage", storage) if known and stored else None,
        "lambda_restore": 0 if reports or known else None,
    }


def _gateway(world: World, streamed: int | None) -> int | None:
    if world.front != "rest_api":
        return 0
    if streamed is None:
        return None
    return PRICES.charge("api_gateway_request", Fraction(max(-(-streamed // (10 * _MIB)), 1)))


def _token_amounts(attempts: list[tuple[str | None, dict[str, Any]]]) -> dict[str, int | None]:
    found: dict[str, list[int]] = {"input": [], "cached_input": [], "output": []}
    counts_input = counts_output = False
    for model, used in attempts:
        given, taken, cached = (used.get(f"{kind}_tokens") for kind in ("input", "output", "cached_input"))
        if None not in (given, taken) and used["total_tokens"] != given + taken:
            continue  # it contradicts itself
        counts_input, counts_output = counts_input or given is not None, counts_output or taken is not None
        counts = {
            "input": None if given is None else given - (cached or 0),
            "cached_input": cached,
            "output": taken,
        }
        for kind, count in counts.items():
            amount = None if count is None else PRICES.tokens(model or "", kind, count)
            if amount is not None:
                found[kind].append(amount)
    nothing = None if attempts else 0
    # A world has no other kinds: who counts its input, or its output, bought none of them.
    others = {
        f"{kind}_tokens": 0 if counted else nothing
        for kind, counted in (
            ("cache_write", counts_input),
            ("audio_input", counts_input),
            ("audio_output", counts_output),
        )
    }
    return {
        **{f"{kind}_tokens": sum(amounts) if amounts else nothing for kind, amounts in found.items()},
        **others,
    }
