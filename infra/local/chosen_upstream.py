"""Which model answers on a laptop: the simulator, or a real endpoint that two settings name.

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


class UpstreamSettingsError(Exception):
    """The settings name no endpoint that could be asked."""


@dataclass(frozen=True, slots=True)
class ChosenUpstream:
    """What answers; `simulator` is None for a real endpoint, whose prices are those of the shipped book.

    `provider` names the endpoint's profile, empty for the one that its host tells. `price_overrides` is inline JSON
    for the template's PriceOverrides: made-up prices for the simulator's tokens.
    """

    base_url: str
    model: str
    key: str | None
    provider: str
    price_overrides: str
    simulator: Simulator | None

    @property
    def name(self) -> str:
        """For people."""
        return f"{'the simulator, ' if self.simulator else ''}{self.base_url}, {self.model}"


@asynccontextmanager
async def chosen_upstream(environment: Mapping[str, str]) -> AsyncIterator[ChosenUpstream]:
    """The upstream that `environment` names; without one, a simulator that runs as long as the context.

    Raises:
        UpstreamSettingsError: a base URL without a model, or prices that cannot be read.
    """
    base_url, model = environment.get("WEIR_UPSTREAM_BASE_URL"), environment.get("WEIR_UPSTREAM_MODEL")
    overrides = _overrides(environment.get("WEIR_PRICE_OVERRIDES", ""))
    if base_url:
        if not model:
            raise UpstreamSettingsError(
                "WEIR_UPSTREAM_BASE_URL is set: expected WEIR_UPSTREAM_MODEL, too, got nothing"
            )
        key, provider = environment.get("WEIR_UPSTREAM_KEY"), environment.get("WEIR_UPSTREAM_PROVIDER", "")
        yield ChosenUpstream(base_url, model, key, provider, overrides, None)
        return
    # It demands a key that only Secrets Manager knows: what works here has read it from there.
    key = secrets.token_urlsafe(24)
    async with Simulator(api_key=key) as simulator:
        prices = overrides or _PRICES.read_text(encoding="utf-8")
        yield ChosenUpstream(simulator.base_url, "sim-1", key, "simulator", prices, simulator)


def _overrides(given: str) -> str:
    """Contract prices as inline JSON, from JSON or from a file: functions do not see this machine's files."""
    if not given or given.lstrip().startswith("{"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except OSError as error:
        raise UpstreamSettingsError(
            f"WEIR_PRICE_OVERRIDES: expected JSON or the path of a file, got {error}"
        ) from error
