"""What the environment says to generate, read once by its entry module and handed on as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from weir.errors import ConfigurationError
from weir.ledger.facts import Function


class SettingsError(ConfigurationError):
    """A setting is missing or wrong; the message names it."""


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """The settings of the generate function.

    `upstream_key` names where the key is kept, `secretsmanager:NAME` or `ssm:NAME`, and is never the key itself;
    empty means that requests carry no Authorization header.
    """

    upstream_base_url: str
    upstream_model: str
    upstream_key: str
    price_overrides: str
    cors_origins: tuple[str, ...]
    function: Function

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], machine: str) -> Self:
        """Read them; `machine` is what the kernel calls the processor (`os.uname().machine`).

        Raises:
            SettingsError: names the variable, what was expected and what came.
        """
        base_url = environment.get("WEIR_UPSTREAM_BASE_URL", "").rstrip("/")
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise SettingsError(
                f"WEIR_UPSTREAM_BASE_URL: expected an http(s) URL such as https://host/v1, got {base_url!r}"
            )
        if url.username or url.password or url.query:
            raise SettingsError("WEIR_UPSTREAM_BASE_URL: expected no credentials and no query in it")
        model = environment.get("WEIR_UPSTREAM_MODEL", "")
        if not model:
            raise SettingsError("WEIR_UPSTREAM_MODEL: expected the name of a model, got nothing")
        key = environment.get("WEIR_UPSTREAM_KEY", "")
        if key and not key.startswith(("secretsmanager:", "ssm:")):
            raise SettingsError(
                "WEIR_UPSTREAM_KEY: expected secretsmanager:NAME or ssm:NAME, got another form"
            )
        origins = environment.get("WEIR_CORS_ORIGINS", "")
        return cls(
            base_url,
            model,
            key,
            environment.get("WEIR_PRICE_OVERRIDES", ""),
            tuple(origin.strip() for origin in origins.split(",") if origin.strip()),
            function_from_environment(environment, machine),
        )


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
