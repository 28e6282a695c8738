"""Which model answers on a laptop: the simulator, or a real endpoint that two settings name.

The simulator speaks the protocol of PROVIDER (openai without one, responses, anthropic, bedrock, gemini), and is asked
as that provider is: Bedrock with the function's role for a key, the others with one from Secrets Manager.

WEIR_UPSTREAM_BASE_URL and WEIR_UPSTREAM_MODEL name an OpenAI-compatible endpoint, WEIR_UPSTREAM_KEY its key (the key
itself: it is put into the local Secrets Manager, and goes nowhere else).
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .simulator import Simulator

_PRICES = Path(__file__).with_name("prices.json")
# What PROVIDER names: the profile, where below the simulator its API begins, whether hanging up stops its meter.
_SIMULATED = {
    "openai": ("simulator", "/v1", True),
    "responses": ("openai-responses", "/v1", True),
    "anthropic": ("anthropic", "/v1", True),
    "bedrock": ("bedrock", "", False),
    "gemini": ("gemini", "/v1beta", False),
}


class UpstreamSettingsError(Exception):
    """The settings name no endpoint that could be asked."""


@dataclass(frozen=True, slots=True)
class ChosenUpstream:
    """What answers; `simulator` is None for a real endpoint, whose prices are those of the shipped book.

    `provider` names the endpoint's profile, empty for the one that its host tells; with `by_role` the function's role
    is the key. `price_overrides` is inline JSON for the template's PriceOverrides: made-up prices for the simulator's
    tokens. `stops_billing` says whether hanging up stops such a provider's meter.
    """

    base_url: str
    model: str
    key: str | None
    provider: str
    price_overrides: str
    simulator: Simulator | None
    by_role: bool = False
    stops_billing: bool = True

    @property
    def parameters(self) -> dict[str, str]:
        """The template's parameters that it asks for, beside address, model and key."""
        role = {"UpstreamKey": "role"} if self.by_role else {}
        return {"PriceOverrides": self.price_overrides, "UpstreamProvider": self.provider, **role}

    @property
    def name(self) -> str:
        """For people."""
        return f"{'the simulator, ' if self.simulator else ''}{self.base_url}, {self.model}"


@asynccontextmanager
async def chosen_upstream(environment: Mapping[str, str]) -> AsyncIterator[ChosenUpstream]:
    """The upstream that `environment` names; without one, a simulator that runs as long as the context.

    Raises:
        UpstreamSettingsError: a base URL without a model, a provider that is not simulated, or prices that cannot be
            read.
    """
    base_url, model = environment.get("WEIR_UPSTREAM_BASE_URL"), environment.get("WEIR_UPSTREAM_MODEL")
    overrides = price_overrides(environment.get("WEIR_PRICE_OVERRIDES", ""))
    if base_url:
        if not model:
            raise UpstreamSettingsError(
                "WEIR_UPSTREAM_BASE_URL is set: expected WEIR_UPSTREAM_MODEL, too, got nothing"
            )
        key, provider = environment.get("WEIR_UPSTREAM_KEY"), environment.get("WEIR_UPSTREAM_PROVIDER", "")
        yield ChosenUpstream(base_url, model, key, provider, overrides, None)
        return
    asked = environment.get("PROVIDER") or "openai"
    if asked not in _SIMULATED:
        raise UpstreamSettingsError(f"PROVIDER: expected one of {', '.join(_SIMULATED)}, got {asked!r}")
    profile, path, stops_billing = _SIMULATED[asked]
    # It demands a key that only Secrets Manager knows: what works here has read it from there.
    key = secrets.token_urlsafe(24)
    async with Simulator(api_key=key) as simulator:
        prices = overrides or _PRICES.read_text(encoding="utf-8")
        by_role = asked == "bedrock"
        base_url = simulator.origin + path
        yield ChosenUpstream(
            base_url,
            "sim-1",
            None if by_role else key,
            profile,
            prices,
            simulator,
            by_role=by_role,
            stops_billing=stops_billing,
        )


def price_overrides(given: str) -> str:
    """Contract prices as inline JSON, from JSON or from a file: functions do not see this machine's files."""
    if not given or given.lstrip().startswith("{"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except OSError as error:
        raise UpstreamSettingsError(
            f"WEIR_PRICE_OVERRIDES: expected JSON or the path of a file, got {error}"
        ) from error
