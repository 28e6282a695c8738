"""What a stage's settings say.

samconfig.toml names stack, Region and parameters of a stage; PARAMETERS on make's command line goes over them. Every
parameter of the template is given a value here, its default where nobody says otherwise: sam would keep the value of
the deployment before, which no file shows.
"""

import shlex
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from infra.local.sam.cloudformation import CloudFormation

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Settings:
    """One stage: `parameters` holds a value for each parameter of the template, `given` the names that somebody set."""

    stage: str
    stack: str
    region: str
    parameters: Mapping[str, str]
    given: frozenset[str]

    @classmethod
    def load(cls, root: Path, stage: str, overrides: str = "") -> Self:
        """A stage of `root`/samconfig.toml, with `overrides` (KEY=VALUE ..., quoted as for a shell) over it.

        Raises:
            SettingsMistake: there is no such stage, it lacks a name, or a setting is no KEY=VALUE, or is there twice.
        """
        try:
            config = tomllib.loads((root / "samconfig.toml").read_text())
        except tomllib.TOMLDecodeError as error:
            raise SettingsMistake(f"samconfig.toml: expected TOML: {error}") from None
        stages = [name for name in config if isinstance(config[name], dict) and name != "default"]
        if stage not in stages:
            raise SettingsMistake(
                f"STAGE: expected one of {', '.join(stages)}, got {stage!r}{nearest(stage, stages)}"
            )
        of_all, of_deploy = (
            config[stage].get(command, {}).get("parameters", {}) for command in ("global", "deploy")
        )
        try:
            of_stage = of_deploy.get("parameter_overrides", ())
            # sam takes a list as well as one text.
            given = _pairs(shlex.split(of_stage) if isinstance(of_stage, str) else of_stage, "samconfig.toml")
            given |= _pairs(shlex.split(overrides), "PARAMETERS")
        except ValueError as error:
            raise SettingsMistake(
                f"PARAMETERS: expected KEY=VALUE ... quoted as for a shell: {error}"
            ) from None

        def named(name: str) -> str:
            found = of_deploy.get(name, of_all.get(name))
            if not isinstance(found, str):
                raise SettingsMistake(
                    f"samconfig.toml: expected {name} of {stage} in [{stage}.global.parameters], got "
                    f"{'nothing' if found is None else repr(found)}"
                )
            return found

        defaults = {
            name: str(parameter.get("Default", "")) for name, parameter in template_parameters(root).items()
        }
        return cls(
            stage,
            named("stack_name"),
            named("region"),
            defaults | given,
            frozenset(given),
        )

    @property
    def architecture(self) -> str:
        """What has to be built for it."""
        return self.parameters["Architecture"]


class SettingsMistake(Exception):
    """Settings that cannot be read at all; says what was expected and what came."""


def template_parameters(root: Path) -> dict[str, dict[str, Any]]:
    """The parameters that template.yaml declares."""
    document = CloudFormation(root / "template.yaml", region="").document
    parameters: dict[str, dict[str, Any]] = document["Parameters"]
    return parameters


def _pairs(texts: Iterable[str], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isalnum():
            raise SettingsMistake(f"{where}: expected KEY=VALUE, got {text[:40]!r}")
        if name in found:
            raise SettingsMistake(
                f"{where}: expected {name} once, got {found[name][:40]!r} and {value[:40]!r}"
            )
        found[name] = value
    return found


def nearest(given: str, known: Iterable[str]) -> str:
    """`: did you mean 'x'?`, where something known is near."""
    by_small = {one.lower(): one for one in known}
    near = get_close_matches(given.lower(), by_small, n=1, cutoff=0.6)
    return f": did you mean {by_small[near[0]]!r}?" if near else ""
