"""What the environment says to generate, read once by its entry module and handed on as values."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from weir.errors import ConfigurationError
from weir.ledger.facts import Function
from weir.light_tuples import LightTuple
from weir.providers.routes import CLOCKS, Routes, RoutesError, check_base_url, parse_routes, single_route
from weir.schemas import checked_models


class SettingsError(ConfigurationError):
    """A setting is missing or wrong; the message names it."""


class GenerateSettings(LightTuple):
    """The settings of the generate function: the models that may be asked, and how long to wait for them.

    The models are those of the file that WEIR_MODELS names (or holds, as JSON); without one, two settings are one
    endpoint: WEIR_UPSTREAM_BASE_URL and WEIR_UPSTREAM_MODEL. WEIR_UPSTREAM_KEY names where its key is kept,
    `secretsmanager:NAME`, `ssm:NAME` or `role`, and is never the key itself; WEIR_UPSTREAM_PROVIDER names its profile
    where the host does not tell it. WEIR_ACCESS_TABLE names the table of callers, limits and budgets; without one
    everybody whom AWS lets through may ask. WEIR_ANSWERS_TABLE names the table of answers that are given again, and
    WEIR_RESPONSE_CACHE_S how long a document is, 0 for never.
    """

    routes: Routes
    clocks: Mapping[str, float]
    price_overrides: str
    cors_origins: tuple[str, ...]
    function: Function
    access_table: str = ""
    answers_table: str = ""
    response_cache_s: int = 0

    @property
    def prices_on_aws(self) -> bool:
        """Whether a contract's prices have to be fetched, from S3 or Systems Manager."""
        return self.price_overrides.startswith(("s3://", "ssm:"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], machine: str) -> Self:
        """Read them; `machine` is what the kernel calls the processor (`os.uname().machine`).

        Raises:
            SettingsError: names the variable, what was expected and what came.
        """
        try:
            routes = routes_from_environment(environment)
        except RoutesError as error:
            raise SettingsError(str(error)) from None
        origins = environment.get("WEIR_CORS_ORIGINS", "")
        return cls(
            routes,
            {**routes.clocks, **_clocks(environment)},
            environment.get("WEIR_PRICE_OVERRIDES", ""),
            tuple(origin.strip() for origin in origins.split(",") if origin.strip()),
            function_from_environment(environment, machine),
            environment.get("WEIR_ACCESS_TABLE", ""),
            environment.get("WEIR_ANSWERS_TABLE", ""),
            _cache_s(environment.get("WEIR_RESPONSE_CACHE_S", "0") or "0"),
        )


def routes_from_environment(environment: Mapping[str, str]) -> Routes:
    """The models' file, or the one endpoint of two settings.

    Raises:
        RoutesError: names the member, or the variable, what was expected and what came.
    """
    if models := environment.get("WEIR_MODELS", ""):
        return parse_routes(read_models(models))
    base_url = environment.get("WEIR_UPSTREAM_BASE_URL", "").rstrip("/")
    check_base_url(base_url, "WEIR_UPSTREAM_BASE_URL")
    model = environment.get("WEIR_UPSTREAM_MODEL", "")
    if not model:
        raise RoutesError("WEIR_UPSTREAM_MODEL: expected the name of a model, got nothing")
    key = environment.get("WEIR_UPSTREAM_KEY", "")
    return single_route(base_url, model, key, environment.get("WEIR_UPSTREAM_PROVIDER", ""))


def read_models(models: str) -> Mapping[str, Any]:
    """The content of a models' file: JSON, or the path of a file of JSON or TOML."""
    try:
        if models.lstrip().startswith("{"):
            content = json.loads(models)
        elif models.endswith(".toml"):
            import tomllib

            content = tomllib.loads(Path(models).read_text(encoding="utf-8"))
        else:
            content = json.loads(Path(models).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RoutesError(
            f"WEIR_MODELS: expected JSON, or the path of a file of JSON or TOML, got {models[:60]!r}: {error}"[
                :500
            ]
        ) from error
    if not isinstance(content, dict):
        raise RoutesError(f"WEIR_MODELS: expected an object of models, got {type(content).__name__}")
    return content


def models_digest(content: Mapping[str, Any]) -> str:
    """A digest of a models' file, whatever its form."""
    return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def models_checked_at_build(environment: Mapping[str, str]) -> bool:
    """Whether the build has checked the schemas against these models, so that a start need not. Raises RoutesError."""
    models, checked = environment.get("WEIR_MODELS", ""), checked_models()
    return bool(models) and checked is not None and checked == models_digest(read_models(models))


def _cache_s(text: str) -> int:
    if not text.isdecimal() or int(text) > 86_400:
        raise SettingsError(f"WEIR_RESPONSE_CACHE_S: expected 0 to 86400 seconds, got {text[:40]!r}")
    return int(text)


def _clocks(environment: Mapping[str, str]) -> dict[str, float]:
    """The clocks that WEIR_CLOCKS sets, such as `between_tokens_s=30 total_s=600`."""
    clocks: dict[str, float] = {}
    for item in environment.get("WEIR_CLOCKS", "").replace(",", " ").split():
        name, _, text = item.partition("=")
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if name not in CLOCKS or not 0 < seconds <= 86_400:
            known = ", ".join(CLOCKS)
            raise SettingsError(
                f"WEIR_CLOCKS: expected seconds for {known}, as total_s=600, got {item[:40]!r}"
            )
        clocks[name] = seconds
    return clocks


def function_from_environment(environment: Mapping[str, str], machine: str) -> Function:
    """The Lambda function that this process serves; outside Lambda, as `local` without a size.

    Lambda does not say the architecture that it bills: the processor does. Nor does it say the size of /tmp, which is
    billed beyond 512 MB: the template does, in WEIR_EPHEMERAL_STORAGE_MB, and without it the size is unknown.
    """

    def whole(name: str) -> int | None:
        value = environment.get(name, "")
        return int(value) if value.isdecimal() else None

    return Function(
        name=environment.get("AWS_LAMBDA_FUNCTION_NAME", "local"),
        region=environment.get("AWS_REGION", "us-east-1"),
        memory_mb=whole("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
        architecture="arm64" if machine in ("aarch64", "arm64") else machine,
        initialization_type=environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ephemeral_storage_mb=whole("WEIR_EPHEMERAL_STORAGE_MB"),
        max_concurrency=whole("AWS_LAMBDA_MAX_CONCURRENCY") or 1,
    )
