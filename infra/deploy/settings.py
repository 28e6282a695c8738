"""What a stage's settings say, and what of it cannot be right: decided without asking anybody.

samconfig.toml names stack, Region and parameters of a stage; PARAMETERS on make's command line goes over them. Every
parameter of the template is given a value here, its default where nobody says otherwise: sam would keep the value of
the deployment before, which no file shows.
"""

import re
import shlex
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from infra.local.sam.cloudformation import CloudFormation
from weir.pricing.overrides import parse_overrides
from weir.pricing.price_book import PriceBookError

ROOT = Path(__file__).resolve().parents[2]
MAX_PARAMETER_CHARACTERS = 4096  # CloudFormation's
# The longest name that is made of the stack's: the ledger's bucket and role names get it in front.
_STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,38}")
_KEY = re.compile(r"secretsmanager:[A-Za-z0-9/_+=.@-]+|ssm:/[A-Za-z0-9/_.-]+|role")
_SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[^:]*:\d*:secret:(.+?)(-[A-Za-z0-9]{6})?")
_PARAMETER_ARN = re.compile(r"arn:aws[a-z-]*:ssm:[^:]*:\d*:parameter/?(.+)")


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
            SettingsMistake: there is no such stage, or a setting that is no KEY=VALUE.
        """
        config = tomllib.loads((root / "samconfig.toml").read_text())
        stages = [name for name in config if isinstance(config[name], dict) and name != "default"]
        if stage not in stages:
            raise SettingsMistake(
                f"STAGE: expected one of {', '.join(stages)}, got {stage!r}{_nearest(stage, stages)}"
            )
        of_all, of_deploy = config[stage]["global"]["parameters"], config[stage]["deploy"]["parameters"]
        given = _pairs(of_deploy.get("parameter_overrides", ()), "samconfig.toml")
        try:
            given |= _pairs(shlex.split(overrides), "PARAMETERS")
        except ValueError as error:
            raise SettingsMistake(
                f"PARAMETERS: expected KEY=VALUE ... quoted as for a shell: {error}"
            ) from None
        defaults = {
            name: str(parameter.get("Default", "")) for name, parameter in template_parameters(root).items()
        }
        return cls(
            stage,
            of_deploy.get("stack_name", of_all["stack_name"]),
            of_deploy.get("region", of_all["region"]),
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


def mistakes(
    settings: Settings, declared: Mapping[str, Mapping[str, Any]], priced: Collection[str]
) -> list[str]:
    """All that is wrong with them, a line each, with the nearest right value; `priced` are Regions with prices."""
    found = []
    if not _STACK_NAME.fullmatch(settings.stack):
        right = re.sub(r"[^a-z0-9-]", "-", settings.stack.lower())[:39]
        found.append(
            f"stack_name: expected small letters, digits and hyphens, at most 39 (Glue and S3 know no capitals), "
            f"got {settings.stack!r}: {right!r} would do"
        )
    if settings.region not in priced and not settings.parameters.get("PriceOverrides"):
        near = _nearest(settings.region, priced)
        found.append(
            f"region: expected one whose prices are known, got {settings.region!r}{near}; its requests would cost an "
            f"unknown amount. `make prices REGION={settings.region}` fetches prices, PriceOverrides states them"
        )
    for name, value in settings.parameters.items():
        if name not in declared:
            found.append(
                f"{name}: expected a parameter of template.yaml, got an unknown one{_nearest(name, declared)}"
            )
        elif name == "UpstreamKey":
            found += _mistaken_key(settings, value)
        elif name == "PriceOverrides":
            found += _mistaken_prices(value, declared[name])
        else:
            found += _mistaken_value(name, value, declared[name])
    opened, table = (settings.parameters.get(name) for name in ("GenerateUrlAuth", "EnableAccessTable"))
    if opened == "NONE" and table != "true":
        found.append(
            f"GenerateUrlAuth: expected AWS_IAM without own keys (EnableAccessTable=true), got NONE with {table!r}: "
            f"anybody on the Internet could have the model answer, on your bill"
        )
    return found


def _mistaken_value(name: str, value: str, declared: Mapping[str, Any]) -> Iterable[str]:
    allowed = [str(one) for one in declared.get("AllowedValues", ())]
    if allowed and value not in allowed:
        yield f"{name}: expected one of {', '.join(allowed)}, got {value!r}{_nearest(value, allowed)}"
    pattern = declared.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        yield f"{name}: expected what matches {pattern}, got {value!r}"
    if declared["Type"] == "Number":
        least, most = declared.get("MinValue"), declared.get("MaxValue")
        try:
            number = float(value)
        except ValueError:
            yield f"{name}: expected a number, got {value!r}"
        else:
            if (least is not None and number < least) or (most is not None and number > most):
                yield f"{name}: expected a number from {least} to {most or 'any'}, got {value}"
    if len(value) > MAX_PARAMETER_CHARACTERS:
        yield (
            f"{name}: expected at most {MAX_PARAMETER_CHARACTERS} characters, which is all that CloudFormation takes, "
            f"got {len(value)}"
        )


def _mistaken_prices(value: str, declared: Mapping[str, Any]) -> Iterable[str]:
    if not value.lstrip().startswith(("{", "[")):
        if not re.fullmatch(declared["AllowedPattern"], value):
            store, _, name = value.removeprefix("arn:aws:").partition(":")
            right = {"s3": "s3://", "ssm": "ssm:/"}.get(store, "") + name.lstrip(":/")
            fits = re.fullmatch(declared["AllowedPattern"], right)
            yield (
                f"PriceOverrides: expected JSON, s3://BUCKET/KEY or ssm:/NAME, got {value[:60]!r}"
                + (f": {right} would do" if fits else "")
            )
        return
    if len(value) > MAX_PARAMETER_CHARACTERS:
        yield (
            f"PriceOverrides: expected at most {MAX_PARAMETER_CHARACTERS} characters, which is all that CloudFormation "
            f"takes, got {len(value)}: put them into S3 or Systems Manager, and say s3://BUCKET/KEY or ssm:/NAME"
        )
        return
    try:
        parse_overrides(value)
    except PriceBookError as error:
        yield f"PriceOverrides: expected prices as JSON: {error}"


def _mistaken_key(settings: Settings, value: str) -> Iterable[str]:
    if _KEY.fullmatch(value):
        return
    host = urlsplit(settings.parameters["UpstreamBaseUrl"]).hostname
    if not value:
        # Whoever says UpstreamKey= means it.
        if "UpstreamKey" not in settings.given and not settings.parameters["Models"]:
            yield (
                f"UpstreamKey: expected secretsmanager:NAME or ssm:/NAME, got nothing: {host} would be called without "
                f'a key. PARAMETERS="UpstreamKey=secretsmanager:weir/upstream" names one, "UpstreamKey=" wants none'
            )
        return
    right = ""
    if secret := _SECRET_ARN.fullmatch(value):
        right = f"secretsmanager:{secret[1]}"
    elif parameter := _PARAMETER_ARN.fullmatch(value):
        right = f"ssm:/{parameter[1]}"
    elif value.startswith("ssm:"):
        right = f"ssm:/{value.removeprefix('ssm:').lstrip('/')}"
    said = f": {right} would do" if right and _KEY.fullmatch(right) else ""
    # It may be the key itself, which no terminal and no log should hold.
    yield (
        f"UpstreamKey: expected where the key lies, secretsmanager:NAME or ssm:/NAME, got {len(value)} characters of "
        f"another form (not shown, it may be the key itself){said}"
    )


def _pairs(texts: Iterable[str], where: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isalnum():
            raise SettingsMistake(f"{where}: expected KEY=VALUE, got {text[:40]!r}")
        found[name] = value
    return found


def _nearest(given: str, known: Iterable[str]) -> str:
    """`: did you mean 'x'?`, where something known is near."""
    by_small = {one.lower(): one for one in known}
    near = get_close_matches(given.lower(), by_small, n=1, cutoff=0.6)
    return f": did you mean {by_small[near[0]]!r}?" if near else ""
