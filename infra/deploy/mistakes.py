"""What of a stage's settings cannot be right, with the nearest right value: decided without asking anybody.

CloudFormation looks at a parameter's type and pattern, and finds the rest out in the middle of a deployment, or never:
a topic of another Region, an origin that no browser sends, a clock that generate refuses at its start.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from weir.pricing.overrides import parse_overrides
from weir.pricing.price_book import PriceBookError

from .settings import Settings, nearest

MAX_PARAMETER_CHARACTERS = 4096  # CloudFormation's
# What `make deploy` works out itself.
COMPUTED = ("Revision", "ModelKeyArns")
# The longest name that is made of the stack's: the ledger's bucket and role names get it in front.
_STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,38}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_KEY = re.compile(r"secretsmanager:[A-Za-z0-9/_+=.@-]+|ssm:/[A-Za-z0-9/_.-]+|role")
_SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[^:]*:\d*:secret:(.+?)(-[A-Za-z0-9]{6})?")
_PARAMETER_ARN = re.compile(r"arn:aws[a-z-]*:ssm:[^:]*:\d*:parameter/?(.+)")
_ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:([a-z0-9-]+):\d{12}:.+")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|\*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# What a provider's documentation shows behind its base URL.
_OPERATIONS = ("/chat/completions", "/responses", "/messages")


def mistakes(
    settings: Settings, declared: Mapping[str, Mapping[str, Any]], priced: Collection[str]
) -> list[str]:
    """All that is wrong with them, a line each; `declared` is the template's, `priced` are Regions with prices."""
    found = [*_mistaken_names(settings, priced)]
    for name, value in settings.parameters.items():
        if name not in declared:
            found.append(
                f"{name}: expected a parameter of template.yaml, got an unknown one{nearest(name, declared)}"
            )
        elif name in COMPUTED and name in settings.given:
            found.append(f"{name}: expected nothing, since it is computed here, got {value[:60]!r}")
        elif name == "UpstreamKey":
            found += _mistaken_key(settings, value)
        elif name == "PriceOverrides":
            found += _mistaken_prices(value, declared[name])
        elif name == "CorsOrigins":
            found += _mistaken_origins(value)
        else:
            found += _mistaken_value(name, value, declared[name], settings.region)
    return [*found, *_mistaken_together(settings.parameters)]


def _mistaken_names(settings: Settings, priced: Collection[str]) -> Iterator[str]:
    if not _STACK_NAME.fullmatch(settings.stack):
        right = re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9-]", "-", settings.stack.lower()))[:39] or "weir"
        yield (
            f"stack_name: expected small letters, digits and hyphens, at most 39 (Glue and S3 know no capitals), "
            f"got {settings.stack!r}: {right!r} would do"
        )
    near = nearest(settings.region, priced)
    if not _REGION.fullmatch(settings.region):
        yield f"region: expected a Region such as eu-central-1, got {settings.region!r}{near}"
    elif settings.region not in priced and not settings.parameters.get("PriceOverrides"):
        yield (
            f"region: expected one whose prices are known, got {settings.region!r}{near}; its requests would cost an "
            f"unknown amount. `make prices REGION={settings.region}` fetches prices, PriceOverrides states them"
        )


def _mistaken_together(parameters: Mapping[str, str]) -> Iterator[str]:
    opened, table = (parameters.get(name) for name in ("GenerateUrlAuth", "EnableAccessTable"))
    if opened == "NONE" and table != "true":
        yield (
            f"GenerateUrlAuth: expected AWS_IAM without own keys (EnableAccessTable=true), got NONE with {table!r}: "
            f"anybody on the Internet could have the model answer, on your bill"
        )
    if parameters.get("ResponseCacheSeconds", "0") != "0" and table != "true":
        yield (
            "ResponseCacheSeconds: expected EnableAccessTable=true beside it, whose tables keep the documents, "
            f"got {table!r}: no document would be given again"
        )
    least, most = (parameters.get(f"Managed{name}Environments", "") for name in ("Min", "Max"))
    if least.isdecimal() and most.isdecimal() and int(least) > int(most):
        yield f"ManagedMinEnvironments: expected at most ManagedMaxEnvironments, {most}, got {least}"


def _mistaken_value(name: str, value: str, declared: Mapping[str, Any], region: str) -> Iterator[str]:
    allowed = [str(one) for one in declared.get("AllowedValues", ())]
    pattern = declared.get("AllowedPattern")
    if allowed:
        if value not in allowed:
            yield f"{name}: expected one of {', '.join(allowed)}, got {value!r}{_near(value, allowed)}"
    elif declared["Type"] == "Number":
        yield from _mistaken_number(name, value, declared)
    elif pattern and not re.fullmatch(pattern, value):
        meant = " ".join(declared["Description"].split())
        yield f"{name}: expected what matches {pattern}, got {value[:60]!r}. {meant}"
    elif (arn := _ARN.fullmatch(value)) and arn[1] != region:
        yield f"{name}: expected something of {region}, where the stack is, got one of {arn[1]}"
    elif name == "UpstreamBaseUrl":
        base = value.rstrip("/")
        for operation in filter(base.endswith, _OPERATIONS):
            right = base.removesuffix(operation)
            yield f"{name}: expected it without {operation}, got {value[:100]!r}: {right} would do"
    if len(value) > MAX_PARAMETER_CHARACTERS:
        yield (
            f"{name}: expected at most {MAX_PARAMETER_CHARACTERS} characters, which is all that CloudFormation takes, "
            f"got {len(value)}"
        )


def _mistaken_number(name: str, value: str, declared: Mapping[str, Any]) -> Iterator[str]:
    # CloudFormation knows no whole numbers; of these only money has places.
    whole = not name.endswith("Usd")
    kind = "a whole number" if whole else "a number"
    if not _NUMBER.fullmatch(value) or (whole and not float(value).is_integer()):
        right = re.sub(r"[,_' ]", "", value)
        said = f": {right} would do" if right != value and _NUMBER.fullmatch(right) else ""
        yield f"{name}: expected {kind}, got {value[:60]!r}{said}"
        return
    least, most = declared.get("MinValue"), declared.get("MaxValue")
    if (least is not None and float(value) < least) or (most is not None and float(value) > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        yield f"{name}: expected {kind} {bounds}, got {value}"


def _mistaken_origins(value: str) -> Iterator[str]:
    for origin in filter(None, (one.strip() for one in value.split(","))):
        if not _ORIGIN.fullmatch(origin):
            url = urlsplit(origin if "://" in origin else f"https://{origin}")
            right = f"{url.scheme}://{url.netloc}".lower()
            said = f": {right} would do" if _ORIGIN.fullmatch(right) else ""
            yield (
                f"CorsOrigins: expected origins as browsers send them, such as https://app.example.com, "
                f"got {origin[:60]!r}{said}"
            )


def _mistaken_prices(value: str, declared: Mapping[str, Any]) -> Iterator[str]:
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


def _mistaken_key(settings: Settings, value: str) -> Iterator[str]:
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


def _near(given: str, known: Iterable[str]) -> str:
    """The nearest number, where they are numbers; else the nearest word."""
    numbers = [int(one) for one in known if one.isdecimal()]
    if numbers and _NUMBER.fullmatch(given):
        return f": did you mean {min(numbers, key=lambda one: abs(one - float(given)))}?"
    return nearest(given, known)
