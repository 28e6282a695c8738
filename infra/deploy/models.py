"""What generate would refuse of a stage's settings, its models' file above all, and which keys it must be able to read.

The parameter Models is JSON, or the path of a file below the checkout's root, which the build copies into generate's
artifact under that path. IAM cannot read the file: the ARNs of its keys become the parameter ModelKeyArns.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from infra.local.sam.cloudformation import CloudFormation
from weir.errors import ConfigurationError
from weir.generate.checks import problems, unknown_caps
from weir.generate.settings import GenerateSettings, read_models
from weir.providers.routes import Routes, RoutesError, parse_routes

from .settings import Settings


def models_path(settings: Settings) -> str:
    """The file that the build has to copy, relative to the checkout's root; empty without one."""
    models = settings.parameters["Models"]
    return "" if models.lstrip().startswith("{") else models


def routes_of(root: Path, settings: Settings) -> Routes | None:
    """The models; None where the stage has one endpoint instead. Raises RoutesError."""
    models = settings.parameters["Models"]
    if not models:
        return None
    path = models_path(settings)
    if not path:
        return parse_routes(read_models(models))
    if path.startswith("/") or ".." in Path(path).parts or any(sign in path for sign in " \t\n:$'\""):
        raise RoutesError(f"Models: expected JSON, or a path below the checkout's root, got {path[:80]!r}")
    return parse_routes(read_models(str(root / path)))


def refused_by_generate(root: Path, settings: Settings, declared: Collection[str]) -> Iterator[str]:
    """What generate refuses at its start, or its build, a line each: the same checks, before there is anything.

    `declared` are the template's parameters.
    """
    known = {name: value for name, value in settings.parameters.items() if name in declared}
    template = CloudFormation(root / "template.yaml", known, region=settings.region, stack=settings.stack)
    variables = template.resources_of("AWS::Serverless::Function")["GenerateFunction"]["Environment"][
        "Variables"
    ]
    environment = {name: str(template.resolve(value)) for name, value in variables.items()}
    try:
        if routes_of(root, settings) is not None and (path := models_path(settings)):
            environment["WEIR_MODELS"] = str(root / path)
        routes = GenerateSettings.from_environment(environment, "x86_64").routes
    except ConfigurationError as error:
        said = str(error)
        for name, value in variables.items():
            if isinstance(value, dict) and value.get("Ref") in declared:
                said = said.replace(name, value["Ref"])
        yield said
        return
    yield from problems(routes.routes.values())
    yield from unknown_caps(routes)


def keys_of(routes: Routes) -> list[str]:
    """Where the keys lie, each once, without the member of a secret."""
    keys = {route.key.partition("#")[0] for route in routes.routes.values()}
    return sorted(keys - {"", "role"})


def with_permissions(settings: Settings, routes: Routes, account: str, partition: str) -> Settings:
    """The settings by which generate may read those keys, and call Bedrock where a model asks as the role."""
    arns = [_arn(key, settings.region, account, partition) for key in keys_of(routes)]
    parameters = {**settings.parameters, "ModelKeyArns": ",".join(arns)}
    if any(route.key == "role" for route in routes.routes.values()):
        parameters["UpstreamKey"] = (
            "role"  # of the one endpoint, which such a stage has not: it grants Bedrock
        )
    return replace(settings, parameters=parameters)


def _arn(key: str, region: str, account: str, partition: str) -> str:
    store, _, name = key.partition(":")
    if name.startswith("arn:"):
        return name
    if store == "ssm":
        return f"arn:{partition}:ssm:{region}:{account}:parameter/{name.removeprefix('/')}"
    # Secrets Manager adds a dash and six random characters to the name.
    return f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-??????"
