"""`python -m infra.deploy deploy|diff|smoke STAGE`: what `make deploy`, `make diff` and `make smoke` run."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from weir.pricing.price_book import PriceBook

from .aws import Aws, AwsRefused, Output
from .diff import changes, parameter_changes
from .mistakes import mistakes
from .models import keys_of, models_path, refused_by_generate, routes_of, with_permissions
from .revision import revision
from .settings import ROOT, Settings, SettingsMistake, template_parameters

BUILT = ROOT / ".aws-sam/build"
SAM = ROOT / ".venv-sam/bin/sam"
NESTED = {"LedgerStack": "ledger", "ObservabilityStack": "observability", "ReportsStack": "reports"}


class CannotGoOn(Exception):
    """What is missing, a line each, before anything was created."""


def main(argv: list[str]) -> int:
    """0 if it was done, 1 if the stack is not as believed, 2 if it could not begin."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("command", choices=("deploy", "diff", "smoke"))
    parser.add_argument("stage", help="a stage of samconfig.toml; smoke knows `local`, too")
    parser.add_argument(
        "--parameters", default="", help="KEY=VALUE ... over the stage's, quoted as for a shell"
    )
    given = parser.parse_args(argv)
    try:
        if given.command == "smoke":
            from .smoke import smoke  # takes the whole local stack along

            return smoke(given.stage)
        settings = checked(given.stage, given.parameters)
        return deploy(settings) if given.command == "deploy" else diff(settings)
    except (SettingsMistake, CannotGoOn, AwsRefused) as error:
        print(error, file=sys.stderr)
        return 2


def checked(stage: str, overrides: str) -> Settings:
    """The stage's settings, if nothing is missing. Raises CannotGoOn with everything that is, SettingsMistake."""
    settings = Settings.load(ROOT, stage, overrides)
    declared = template_parameters(ROOT)
    found = mistakes(settings, declared, PriceBook.load().regions)
    mistaken = {line.partition(":")[0] for line in found}
    refused = refused_by_generate(ROOT, settings, declared)
    found += [line for line in refused if line.partition(":")[0] not in mistaken]
    aws = Aws(settings.region)
    if not found:  # AWS is asked only about settings that can be right
        routes = routes_of(ROOT, settings)
        found = aws.missing(settings, keys_of(routes) if routes else ())
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise CannotGoOn(f"{stage}: nothing was created, because of\n{lines}")
    return settings if routes is None else with_permissions(settings, routes, *aws.account())


def deploy(settings: Settings) -> int:
    """Build what the stage runs on, deploy it, and say where it is."""
    build(settings)
    parameters = with_revision(settings)
    done = run([SAM, "deploy", *deploy_options(settings, parameters, BUILT.parent / "parameters.yaml")])
    if done:
        return done
    print("\n".join(farewell(settings, Aws(settings.region).stack(settings.stack))))
    return 0


def diff(settings: Settings) -> int:
    """Print what `deploy` would change, and create nothing."""
    build(settings)
    parameters = with_revision(settings)
    aws = Aws(settings.region)
    try:
        running = aws.stack(settings.stack)
    except AwsRefused as error:
        print(f"{error}\nEverything would be created.")
        return 0
    client = aws.client("cloudformation")

    def template_of(stack: str) -> dict[str, Any]:
        answer = client.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
        parsed: dict[str, Any] = json.loads(answer) if isinstance(answer, str) else answer
        return parsed

    found = list(parameter_changes(running.parameters, parameters))
    found += changes(template_of(settings.stack), translated(parameters))
    for name, file in NESTED.items():
        detail = client.describe_stack_resource(StackName=settings.stack, LogicalResourceId=name)
        stack = detail["StackResourceDetail"]["PhysicalResourceId"]
        found += changes(template_of(stack), nested_template(file), name)
    print("\n".join(found) or "Nothing would change.")
    return 0


def build(settings: Settings) -> None:
    """`make build` for the processor that the stage says."""
    models = models_path(settings)
    asked = [f"ARCHITECTURE={settings.architecture}", *([f"MODELS={models}"] if models else [])]
    if run(["make", "-C", ROOT, "build", *asked]):
        raise CannotGoOn("the build failed, see above; nothing was created")


def with_revision(settings: Settings) -> dict[str, str]:
    """The parameters, with the digest of what was built and of themselves."""
    artifacts = [BUILT / "GenerateFunction", BUILT / "SharedLayer"]
    return {**settings.parameters, "Revision": revision(artifacts, settings.parameters)}


def deploy_options(settings: Settings, parameters: dict[str, str], file: Path) -> list[str]:
    """`sam deploy`'s; every parameter is given, since sam would keep a value that no file shows."""
    file.write_text(json.dumps({name: escaped(escaped(value)) for name, value in sorted(parameters.items())}))
    config = ["--config-file", str(ROOT / "samconfig.toml"), "--config-env", settings.stage]
    return [*config, "--parameter-overrides", f"file://{file}"]


def escaped(value: str) -> str:
    """What sam reads as `value`: it takes a backslash away before a quotation mark and a space, from a file twice."""
    return re.sub(r"[ '\"]", r"\\\g<0>", value)


def translated(parameters: dict[str, str]) -> dict[str, Any]:
    """template.yaml after SAM's translator, which lives in SAM's environment."""
    done = subprocess.run(
        [ROOT / ".venv-sam/bin/python", ROOT / "infra/build/translate.py", ROOT / "template.yaml", "--json"],
        input=json.dumps([parameters]),
        capture_output=True,
        text=True,
        check=True,
    )
    documents: list[dict[str, Any]] = json.loads(done.stdout)
    return documents[0]


def nested_template(name: str) -> dict[str, Any]:
    """A nested stack's template, in CloudFormation's long form."""
    from infra.local.sam.cloudformation import CloudFormation

    return CloudFormation(ROOT / f"infra/{name}.yaml", region="").document


def farewell(settings: Settings, stack: Output) -> list[str]:
    """Where it is, how to call it, and what to do next."""
    url = stack.values["GenerateUrl"]
    signed = (
        f'--aws-sigv4 "aws:amz:{settings.region}:lambda" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
        '-H "x-amz-security-token: $AWS_SESSION_TOKEN"'
    )
    body = '{"prompt": "Write about repairing old bicycles.", "schema": "blog_post"}'
    return [
        "",
        f"{settings.stack} is deployed in {settings.region}.",
        f"  generate   {url}v1/generations",
        f"  finance    {stack.values['FinanceUrl']}",
        f"  ledger     s3://{stack.values['LedgerBucket']}",
        "",
        "Call it (whoever does needs lambda:InvokeFunctionUrl and lambda:InvokeFunction):",
        f"  curl -N {url}v1/generations {signed} \\",
        f"    -H 'content-type: application/json' -d '{body}'",
        "Next:",
        f"  make smoke STAGE={settings.stage}      does it stream, validate and account?",
        f"  infra/costs/costs dashboard --stack {settings.stack}      what it costs, in a browser",
        "  infra/README.md has a page for each alarm",
    ]


def run(command: list[str | Path]) -> int:
    """Run in the foreground; the exit code."""
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
