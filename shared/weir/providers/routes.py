"""The models' file: the names that callers may use, and where each of them leads.

    default = "fast"

    [models.fast]
    provider = "openai"              # a profile: protocol, key's header, name of the cap, ...
    model = "gpt-5.6-mini"
    key = "secretsmanager:openai"    # where the key is kept, never the key; or "role"
    fallbacks = ["careful"]

    [models.careful]
    provider = "bedrock"
    region = "eu-central-1"
    model = "eu.anthropic.claude-sonnet-5-v1:0"
    key = "role"

    [schemas.blog_post]
    max_output_tokens = 6000

    [clocks]
    between_tokens_s = 30

It is the allow-list, too: a name that is not in it is refused with the names that are. TOML or JSON; without a file two
settings, a base URL and a model, make the one route. Pure: who reads the file hands its content over.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from weir.errors import ConfigurationError
from weir.light_tuples import LightTuple
from weir.providers.profiles import PROFILES, Cancel, KeyHeader, Profile, profile_of_host

type Mode = Literal["auto", "native", "tool", "json"]

DEFAULT_MAX_OUTPUT_TOKENS = 16_000
MAX_OUTPUT_TOKENS = 1_000_000
MAX_FALLBACKS = 4
CLOCKS = ("connect_s", "headers_s", "first_token_s", "between_tokens_s", "total_s")
_STORES = ("secretsmanager", "ssm")
_NAME = r"[A-Za-z0-9._:/@-]{1,200}"
_REGION = r"[a-z]{2}(-[a-z]+)+-\d"


class RoutesError(ConfigurationError):
    """The models' file cannot be used; the message names the member, what was expected and what came."""


class Route(LightTuple):
    """Where one name leads. `key` names where the key is kept, `role` for the function's own, empty for none.

    `price_key` replaces the served model in the price book's key where the two differ (a fine-tuned name, a profile's
    ARN). `max_output_tokens` is what the model can give at most; `context_tokens` what it can take. `hedge_s` is how
    long a first token may take before the call is made once more beside itself; None is never.
    """

    name: str
    profile: Profile
    base_url: str
    model: str
    key: str = ""
    region: str | None = None
    structured_output: Mode = "auto"
    price_key: str | None = None
    max_output_tokens: int | None = None
    context_tokens: int | None = None
    fallbacks: tuple[str, ...] = ()
    extra_body: Mapping[str, Any] = {}
    hedge_s: float | None = None

    @property
    def seller(self) -> str | None:
        """Who sells its tokens, by the price book's name; with the Region where prices go by it."""
        by_region = self.profile.seller == "aws" and self.region
        return f"{self.profile.seller}/{self.region}" if by_region else self.profile.seller

    @property
    def stops_billing(self) -> bool:
        """Whether hanging up stops the provider's meter; unknown counts as no."""
        return self.profile.cancel == "stops"


class Routes(LightTuple):
    """The names and their routes. With `open` any model may be asked of the one endpoint, as two settings allow."""

    routes: Mapping[str, Route]
    default: str
    schema_caps: Mapping[str, int] = {}
    clocks: Mapping[str, float] = {}
    open: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What callers may ask for."""
        return tuple(self.routes)

    def find(self, name: str | None) -> Route | None:
        """The route of a name, the default's without one; None where the name is not in the file."""
        if name is None:
            return self.routes[self.default]
        found = self.routes.get(name)
        if found is None and self.open:
            return self.routes[self.default]._replace(name=name, model=name)
        return found

    def chain(self, first: Route) -> tuple[Route, ...]:
        """A route and those that may stand in for it, in order, each once."""
        names = [first.name, *first.fallbacks]
        return (first, *(self.routes[name] for name in dict.fromkeys(names) if name != first.name))

    def cap_for(self, route: Route, schema: str | None, wanted: int | None) -> int:
        """The most output tokens of one attempt: the caller's wish, else the schema's or the usual cap, and never more
        than the route's model can give."""
        usual = self.schema_caps.get(schema or "", DEFAULT_MAX_OUTPUT_TOKENS)
        return min(usual if wanted is None else wanted, route.max_output_tokens or MAX_OUTPUT_TOKENS)


def single_route(base_url: str, model: str, key: str, provider: str = "") -> Routes:
    """The routes of two settings: any model's name goes to that one endpoint. Raises RoutesError."""
    if provider and provider not in PROFILES:
        known = ", ".join(PROFILES)
        raise RoutesError(f"WEIR_UPSTREAM_PROVIDER: expected one of {known}, got {provider!r:.80}")
    host = urlsplit(base_url).hostname or ""
    profile = PROFILES[provider] if provider else profile_of_host(host)
    if not _names_a_key(key):
        raise RoutesError(
            "WEIR_UPSTREAM_KEY: expected secretsmanager:NAME, ssm:NAME or role, got another form"
        )
    if key == "role" and not profile.role:
        raise RoutesError(
            f"WEIR_UPSTREAM_KEY: expected secretsmanager:NAME or ssm:NAME; {profile.name} knows no role"
        )
    region = next((part for part in host.split(".") if "-" in part and re.fullmatch(_REGION, part)), None)
    return Routes({model: Route(model, profile, base_url, model, key, region)}, model, open=True)


def parse_routes(content: Mapping[str, Any]) -> Routes:
    """Read the content of a models' file.

    Raises:
        RoutesError: names the member, what was expected and what came.
    """
    _members(content, "models' file", {"default", "models", "schemas", "clocks"})
    models = _table(content.get("models"), "models")
    if not models:
        raise RoutesError("models: expected at least one model, got none")
    routes = {name: _route(name, value) for name, value in models.items()}
    default = content.get("default", next(iter(routes)))
    if default not in routes:
        raise RoutesError(f"default: expected one of {', '.join(routes)}, got {default!r:.80}")
    for route in routes.values():
        for fallback in route.fallbacks:
            if fallback not in routes or fallback == route.name:
                raise RoutesError(
                    f"models.{route.name}.fallbacks: expected names of other models, got {fallback!r:.80}"
                )
    caps = {}
    for schema, value in _table(content.get("schemas", {}), "schemas").items():
        where = f"schemas.{schema}"
        _members(_table(value, where), where, {"max_output_tokens"})
        if (cap := _count(value, "max_output_tokens", where, MAX_OUTPUT_TOKENS)) is not None:
            caps[schema] = cap
    clocks = _table(content.get("clocks", {}), "clocks")
    _members(clocks, "clocks", set(CLOCKS))
    for name, seconds in clocks.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 86_400:
            raise RoutesError(f"clocks.{name}: expected seconds, more than 0, got {seconds!r:.80}")
    return Routes(routes, default, caps, {name: float(seconds) for name, seconds in clocks.items()})


_MEMBERS = {
    "provider", "base_url", "region", "model", "key", "structured_output", "cap", "cancel", "key_header", "price_key",
    "seller", "max_output_tokens", "context_tokens", "fallbacks", "extra_body", "hedge_s",
}  # fmt: skip


def _route(name: str, value: Any) -> Route:
    where = f"models.{name}"
    if not re.fullmatch(_NAME, name):
        raise RoutesError(f"{where}: expected a name of letters, digits and ._:/@-, at most 200")
    table = _table(value, where)
    _members(table, where, _MEMBERS)
    provider = _text(table, "provider", where) or ""
    base_url = (_text(table, "base_url", where) or "").rstrip("/")
    if provider and provider not in PROFILES:
        raise RoutesError(f"{where}.provider: expected one of {', '.join(PROFILES)}, got {provider!r:.80}")
    profile = PROFILES[provider] if provider else profile_of_host(urlsplit(base_url).hostname or "")
    region = _text(table, "region", where)
    if region is not None and not re.fullmatch(_REGION, region):
        raise RoutesError(f"{where}.region: expected a Region such as eu-central-1, got {region!r:.80}")
    base_url = base_url or profile.base_url
    if not base_url:
        raise RoutesError(f"{where}.base_url: expected an http(s) URL such as https://host/v1, got nothing")
    if "{region}" in base_url:
        if region is None:
            raise RoutesError(f"{where}.region: expected a Region such as eu-central-1, got nothing")
        base_url = base_url.replace("{region}", region)
    check_base_url(base_url, f"{where}.base_url")
    model = _text(table, "model", where)
    if not model:
        raise RoutesError(f"{where}.model: expected the provider's name of a model, got nothing")
    key = _text(table, "key", where) or ""
    if not _names_a_key(key):  # it may be a key itself: never shown
        raise RoutesError(f"{where}.key: expected secretsmanager:NAME, ssm:NAME or role, got another form")
    if key == "role" and not profile.role:
        raise RoutesError(
            f"{where}.key: expected secretsmanager:NAME or ssm:NAME; {profile.name} knows no role"
        )
    profile = profile._replace(
        cap=_text(table, "cap", where) or profile.cap,
        cancel=_choice(table, "cancel", where, get_args(Cancel.__value__)) or profile.cancel,
        key_header=_choice(table, "key_header", where, get_args(KeyHeader.__value__)) or profile.key_header,
        seller=_text(table, "seller", where) or profile.seller,
    )
    fallbacks = table.get("fallbacks", [])
    if not isinstance(fallbacks, list) or len(fallbacks) > MAX_FALLBACKS:
        raise RoutesError(f"{where}.fallbacks: expected at most {MAX_FALLBACKS} names, got {fallbacks!r:.80}")
    return Route(
        name,
        profile,
        base_url,
        model,
        key,
        region,
        _choice(table, "structured_output", where, get_args(Mode.__value__)) or "auto",
        _text(table, "price_key", where),
        _count(table, "max_output_tokens", where, MAX_OUTPUT_TOKENS),
        _count(table, "context_tokens", where, 100_000_000),
        tuple(map(str, fallbacks)),
        _table(table.get("extra_body", {}), f"{where}.extra_body"),
        _hedge_s(table, where, profile),
    )


def _names_a_key(key: str) -> bool:
    store, _, name = key.partition(":")
    return key in ("", "role") or (store in _STORES and bool(name) and "\n" not in name)


def _hedge_s(table: Mapping[str, Any], where: str, profile: Profile) -> float | None:
    """How long to wait before a call is hedged; only where hanging up on the other one stops the provider's meter."""
    seconds = table.get("hedge_s")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 600:
        raise RoutesError(
            f"{where}.hedge_s: expected seconds, more than 0 and at most 600, got {seconds!r:.80}"
        )
    if profile.cancel != "stops":
        raise RoutesError(
            f'{where}.hedge_s: expected cancel = "stops", where hanging up stops the provider\'s meter, got '
            f"{profile.cancel!r} of {profile.name}: each hedge would be a second answer, paid in full"
        )
    return float(seconds)


def check_base_url(base_url: str, where: str) -> None:
    """Raise RoutesError unless a URL can be an endpoint's."""
    try:
        url = urlsplit(base_url)
        url.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise RoutesError(f"{where}: expected an http(s) URL such as https://host/v1, got no URL") from None
    if url.username or url.password or url.query or url.fragment:
        raise RoutesError(f"{where}: expected no credentials and no query in it")
    if url.scheme not in ("http", "https") or not url.hostname:
        raise RoutesError(f"{where}: expected an http(s) URL such as https://host/v1, got {base_url!r:.200}")


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RoutesError(f"{where}: expected a table, got {type(value).__name__}")
    return value


def _members(table: Mapping[str, Any], where: str, known: set[str]) -> None:
    if unknown := set(table) - known:
        raise RoutesError(f"{where}: expected {', '.join(sorted(known))}, got {sorted(unknown)[0]!r:.80}")


def _text(table: Mapping[str, Any], name: str, where: str) -> str | None:
    value = table.get(name)
    if value is not None and (not isinstance(value, str) or not value.isprintable() or len(value) > 2_000):
        raise RoutesError(f"{where}.{name}: expected text, got {type(value).__name__}")
    return value


def _choice[T: str](table: Mapping[str, Any], name: str, where: str, known: tuple[T, ...]) -> T | None:
    value = _text(table, name, where)
    if value is not None and value not in known:
        raise RoutesError(f"{where}.{name}: expected one of {', '.join(known)}, got {value!r:.80}")
    return value


def _count(table: Mapping[str, Any], name: str, where: str, most: int) -> int | None:
    value = table.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most):
        raise RoutesError(f"{where}.{name}: expected a whole number from 1 to {most}, got {value!r:.80}")
    return value
