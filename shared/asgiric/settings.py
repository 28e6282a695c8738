"""What the environment says, read once and in one place.

Variables of Lambda: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html. Our own begin
with ASGIRIC_ and are listed in the README.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asgiric.errors import AsgiricError

if TYPE_CHECKING:
    from collections.abc import Mapping


class SettingsError(AsgiricError):
    """The environment says what cannot be meant; the message names the variable."""


class Settings(NamedTuple):
    """How this process is to run."""

    runtime_api: str  # host:port
    handler: str  # module.attribute
    max_concurrency: int = 1
    deadline_margin_ms: int = 2000
    direct_path: str = "/"
    buffered: bool = False
    snap_start: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Raises SettingsError, with the variable's name, on a value that cannot be meant."""
        for name in ("AWS_LAMBDA_RUNTIME_API", "_HANDLER"):
            if not environ.get(name):
                raise SettingsError(f"expected {name} in the environment: this process is started by Lambda")
        host, _, port = environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
        if not host or not _is_number(port):
            raise SettingsError(
                f"expected AWS_LAMBDA_RUNTIME_API as host:port, got {environ['AWS_LAMBDA_RUNTIME_API']!r}"
            )
        direct_path = environ.get("ASGIRIC_DIRECT_PATH") or "/"
        if not direct_path.startswith("/"):
            raise SettingsError(f"expected ASGIRIC_DIRECT_PATH to start with /, got {direct_path!r}")
        mode = environ.get("ASGIRIC_RESPONSE_MODE") or "streaming"
        if mode not in ("streaming", "buffered"):
            raise SettingsError(f"expected ASGIRIC_RESPONSE_MODE to be streaming or buffered, got {mode!r}")
        return cls(
            runtime_api=environ["AWS_LAMBDA_RUNTIME_API"],
            handler=environ["_HANDLER"],
            max_concurrency=_number(environ, "AWS_LAMBDA_MAX_CONCURRENCY", 1, at_least=1),
            deadline_margin_ms=_number(environ, "ASGIRIC_DEADLINE_MARGIN_MS", 2000, at_least=0),
            direct_path=direct_path,
            # sam local neither streams nor takes a prelude off.
            buffered=mode == "buffered" or environ.get("AWS_SAM_LOCAL") == "true",
            snap_start=environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start",
        )


def _number(environ: Mapping[str, str], name: str, default: int, at_least: int) -> int:
    text = environ.get(name) or str(default)
    if not _is_number(text) or int(text) < at_least:
        raise SettingsError(f"expected {name} to be a whole number from {at_least}, got {text!r}")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 10
