"""Deploying: every mistake is told before anything is created, and what changed is published."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.deploy.__main__ import deploy_options, farewell
from infra.deploy.aws import Output
from infra.deploy.diff import changes, parameter_changes
from infra.deploy.mistakes import mistakes
from infra.deploy.models import keys_of, models_path, refused_by_generate, routes_of, with_permissions
from infra.deploy.revision import revision
from infra.deploy.settings import Settings, SettingsMistake, template_parameters
from tests.unit.cloudformation import ROOT, load, resources
from weir.pricing.price_book import PriceBook
from weir.providers.routes import RoutesError

DECLARED = template_parameters(ROOT)
REGIONS = PriceBook.load().regions
KEY = "UpstreamKey=secretsmanager:weir/upstream"


def told(overrides: str, stage: str = "dev") -> list[str]:
    return mistakes(Settings.load(ROOT, stage, overrides), DECLARED, REGIONS)


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_stages_need_a_key_and_nothing_else(stage: str) -> None:
    [line] = told("", stage)
    assert line.startswith("UpstreamKey: expected secretsmanager:NAME") and "api.openai.com" in line
    assert told(KEY, stage) == []
    assert told("UpstreamKey=", stage) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("UpstreamKye=x", "UpstreamKye: expected a parameter of template.yaml, got an unknown one: did you mean 'UpstreamKey'?"),
        ("upstreammodel=x", "did you mean 'UpstreamModel'?"),
        ("Architecture=arm", "Architecture: expected one of arm64, x86_64, got 'arm': did you mean 'arm64'?"),
        ("EnableRestApi=True", "EnableRestApi: expected one of true, false, got 'True': did you mean 'true'?"),
        ("GenerateMemoryMegabytes=64", "GenerateMemoryMegabytes: expected a whole number from 128 to 10240, got 64"),
        ("GenerateMemoryMegabytes=300.5", "GenerateMemoryMegabytes: expected a whole number, got '300.5'"),
        ("GenerateMemoryMegabytes=nan", "GenerateMemoryMegabytes: expected a whole number, got 'nan'"),
        ("MonthlyBudgetUsd=-1", "MonthlyBudgetUsd: expected a number of at least 0, got -1"),
        ("MonthlyBudgetUsd=1,000", "MonthlyBudgetUsd: expected a number, got '1,000': 1000 would do"),
        ("LogRetentionDays=10", "got '10': did you mean 7?"),
        ("CostAlarmUsd=cheap", "CostAlarmUsd: expected a number, got 'cheap'"),
        ("UpstreamBaseUrl=api.openai.com", "UpstreamBaseUrl: expected what matches"),
        ("UpstreamBaseUrl=https://h/v1/chat/completions/", "UpstreamBaseUrl: expected it without /chat/completions, got 'https://h/v1/chat/completions/': https://h/v1 would do"),
        ("CorsOrigins=app.example.com", "got 'app.example.com': https://app.example.com would do"),
        ("CorsOrigins=https://a.example,https://B.example/x", "got 'https://B.example/x': https://b.example would do"),
        ("AlarmTopicArn=alarms", "AlarmTopicArn: expected what matches ^(arn:aws[a-z-]*:sns:"),
        ("AlarmTopicArn=arn:aws:sns:us-east-1:123456789012:alarms", "AlarmTopicArn: expected something of eu-central-1, where the stack is, got one of us-east-1"),
        ("UpstreamKeyKmsKeyArn=alias/weir", "got 'alias/weir'. The customer-managed key that encrypts UpstreamKey."),
        ("CapacityProviderArn=shared", "CapacityProviderArn: expected what matches"),
        ("ManagedMinEnvironments=20", "ManagedMinEnvironments: expected at most ManagedMaxEnvironments, 12, got 20"),
        ("ResponseCacheSeconds=600", "ResponseCacheSeconds: expected EnableAccessTable=true beside it"),
        (f"Revision={'0' * 64}", "Revision: expected nothing, since it is computed here"),
        (
            "UpstreamKey=arn:aws:secretsmanager:eu-central-1:123456789012:secret:weir/upstream-AbC123",
            "secretsmanager:weir/upstream would do",
        ),
        ("UpstreamKey=ssm:weir/key", "ssm:/weir/key would do"),
        ("UpstreamKey=arn:aws:ssm:eu-central-1:123456789012:parameter/weir/key", "ssm:/weir/key would do"),
        (f"PriceOverrides={{{'x' * 4097}", "got 4098: put them into S3 or Systems Manager"),
        (f"UpstreamModel={'x' * 4097}", "UpstreamModel: expected at most 4096 characters"),
        ("PriceOverrides=s3:contracts/prices.json", "expected JSON, s3://BUCKET/KEY or ssm:/NAME, got 's3:contracts/prices.json': s3://contracts/prices.json would do"),
        ("PriceOverrides=s3://contracts", "expected JSON, s3://BUCKET/KEY or ssm:/NAME"),
        ("PriceOverrides='s3://contracts/*'", "expected JSON, s3://BUCKET/KEY or ssm:/NAME"),
        ("PriceOverrides=ssm:weir/prices", "ssm:/weir/prices would do"),
        ("PriceOverrides=ssm://weir/prices", "ssm:/weir/prices would do"),
        ("PriceOverrides=arn:aws:s3:::contracts/prices.json", "s3://contracts/prices.json would do"),
        ("PriceOverrides=prices.json", "expected JSON, s3://BUCKET/KEY or ssm:/NAME, got 'prices.json'"),
        ("PriceOverrides='{\"recrods\": []}'", "perhaps 'records'"),
        ("PriceOverrides='{\"models\": 7}'", "PriceOverrides: expected prices as JSON"),
        ("PriceOverrides={", "PriceOverrides: expected prices as JSON"),
        ("GenerateUrlAuth=NONE", "GenerateUrlAuth: expected AWS_IAM without own keys (EnableAccessTable=true)"),
        ("GenerateUrlAuth=none", "GenerateUrlAuth: expected one of AWS_IAM, NONE, got 'none': did you mean 'NONE'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_nearest_right_value(given: str, said: str) -> None:
    overrides = given if "UpstreamKey=" in given else f"{KEY} {given}"
    [line] = told(overrides)
    assert said in line


def test_a_url_may_be_open_where_own_keys_say_who_is_answered() -> None:
    assert told(f"{KEY} EnableAccessTable=true GenerateUrlAuth=NONE") == []


def test_what_may_be_the_key_itself_is_never_shown() -> None:
    [line] = told("UpstreamKey=sk-proj-4f9a0c")
    assert "sk-proj" not in line and "4f9a0c" not in line


def test_a_stack_with_capitals_and_a_region_without_prices_are_told(tmp_path: Path) -> None:
    config = (ROOT / "samconfig.toml").read_text()
    changed = config.replace('stack_name = "weir-dev"', 'stack_name = "Weir_Dev"')
    changed = changed.replace('region = "eu-central-1"', 'region = "eu-central1"')
    (tmp_path / "samconfig.toml").write_text(changed)
    shutil.copy(ROOT / "template.yaml", tmp_path)
    found = mistakes(Settings.load(tmp_path, "dev", KEY), DECLARED, REGIONS)
    assert len(found) == 2
    assert "got 'Weir_Dev': 'weir-dev' would do" in found[0]
    assert found[1] == (
        "region: expected a Region such as eu-central-1, got 'eu-central1': did you mean 'eu-central-1'?"
    )
    unpriced = replace(Settings.load(ROOT, "dev", KEY), region="xx-moon-1", stack="1st stack")
    name, region = mistakes(unpriced, DECLARED, REGIONS)
    assert name.endswith("got '1st stack': 'st-stack' would do")
    assert "expected one whose prices are known" in region and "make prices REGION=xx-moon-1" in region


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            ('stack_name = "weir-dev"', ""),
            "expected stack_name of dev in [dev.global.parameters], got nothing",
        ),
        (
            ('region = "eu-central-1"', "region = 1"),
            "expected region of dev in [dev.global.parameters], got 1",
        ),
        (("[dev.global.parameters]", "[dev.global"), "samconfig.toml: expected TOML: "),
    ],
)
def test_a_samconfig_that_cannot_be_read_is_told(tmp_path: Path, changed: tuple[str, str], said: str) -> None:
    shutil.copy(ROOT / "template.yaml", tmp_path)
    (tmp_path / "samconfig.toml").write_text((ROOT / "samconfig.toml").read_text().replace(*changed))
    with pytest.raises(SettingsMistake, match=re.escape(said)):
        Settings.load(tmp_path, "dev", KEY)


def test_overrides_of_a_stage_may_be_one_text(tmp_path: Path) -> None:
    shutil.copy(ROOT / "template.yaml", tmp_path)
    config = (ROOT / "samconfig.toml").read_text()
    listed = '["Architecture=arm64", "LogRetentionDays=7", "CorsOrigins=http://localhost:3000"]'
    (tmp_path / "samconfig.toml").write_text(
        config.replace(listed, "\"LogRetentionDays=3 UpstreamModel='a b'\"")
    )
    parameters = Settings.load(tmp_path, "dev", KEY).parameters
    assert (parameters["LogRetentionDays"], parameters["UpstreamModel"]) == ("3", "a b")


FAST: dict[str, Any] = {"provider": "openai", "model": "m"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("UpstreamProvider=opnai", "UpstreamProvider: expected one of generic, simulator, openai"),
        ("Clocks=total_s=soon", "Clocks: expected seconds for connect_s"),
        ("UpstreamKey=role", "UpstreamKey: expected secretsmanager:NAME or ssm:NAME; openai knows no role"),
        ("UpstreamBaseUrl=https://u:p@h/v1", "UpstreamBaseUrl: expected no credentials and no query in it"),
        ({"modls": {}}, "models' file: expected clocks, default, models, schemas, got 'modls'"),
        ({"models": {"fast": {**FAST, "provider": "opnai"}}}, "models.fast.provider: expected one of generic,"),
        ({"models": {"fast": {**FAST, "key": "sk-1"}}}, "models.fast.key: expected secretsmanager:NAME"),
        ({"models": {"fast": FAST}, "default": "slow"}, "default: expected one of fast, got 'slow'"),
        (
            {"models": {"fast": FAST}, "schemas": {"blog_pst": {"max_output_tokens": 9}}},
            "schemas.blog_pst: expected one of blog_post, got a schema that is not there",
        ),
        (
            {"models": {"fast": {**FAST, "provider": "deepseek", "structured_output": "native"}}},
            "schema blog_post, model fast: the root: deepseek takes no structured output of mode 'native'",
        ),
        ("Models={", "Models: expected JSON, or the path of a file of JSON or TOML, got '{': "),
    ],
)  # fmt: skip
def test_what_generate_would_refuse_is_told_before_anything_is_built(
    tmp_path: Path, given: str | dict[str, Any], said: str
) -> None:
    shutil.copy(ROOT / "template.yaml", tmp_path)
    (tmp_path / "models.json").write_text(json.dumps(given))
    forms = (
        [given]
        if isinstance(given, str)
        else ["Models=models.json", f"Models={shlex.quote(json.dumps(given))}"]
    )
    for form in forms:
        overrides = form if "UpstreamKey" in form else f"{KEY} {form}"
        [line] = refused_by_generate(tmp_path, Settings.load(ROOT, "dev", overrides), DECLARED)
        assert line.startswith(said)


def test_generate_refuses_nothing_of_the_stages() -> None:
    for stage in ("dev", "prod"):
        assert list(refused_by_generate(ROOT, Settings.load(ROOT, stage, KEY), DECLARED)) == []


def test_plain_sam_does_what_dev_says() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert config["default"] == config["dev"]


def test_overrides_go_over_the_stage_and_the_stage_over_the_template() -> None:
    settings = Settings.load(ROOT, "dev", f"{KEY} Architecture=x86_64")
    assert settings.architecture == "x86_64"
    assert settings.parameters["LogRetentionDays"] == "7"
    assert settings.parameters["UpstreamModel"] == DECLARED["UpstreamModel"]["Default"]
    assert settings.parameters.keys() == DECLARED.keys()


@pytest.mark.skipif(
    not (ROOT / ".venv-sam/bin/python").exists(), reason="no .venv-sam (`make validate` makes it)"
)
def test_sam_reads_every_value_as_it_was_meant(tmp_path: Path) -> None:
    prices = '{"models": [{"model": "a \\"b\\"", "x": "c\\\\d e=f", "y": "it\'s \\\\ "}]}'
    parameters = {
        "PriceOverrides": prices,
        "UpstreamKey": "",
        "CorsOrigins": "https://a.example,https://b.example",
    }
    parameters |= {"UpstreamModel": '"m"', "AlarmTopicArn": " a\\ b "}
    options = deploy_options(Settings.load(ROOT, "dev"), parameters, tmp_path / "parameters.yaml")
    given = options[options.index("--parameter-overrides") + 1 :]
    code = (
        "import json, sys; from samcli.cli.types import CfnParameterOverridesType as Type;"
        "print(json.dumps(Type().convert(tuple(sys.argv[1:]), None, None)))"
    )
    done = subprocess.run(
        [ROOT / ".venv-sam/bin/python", "-c", code, *given], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == parameters
    json.loads(prices)


@pytest.fixture
def built(tmp_path: Path) -> list[Path]:
    """What a build leaves, small."""
    for name in (
        "GenerateFunction/app.py",
        "GenerateFunction/bootstrap",
        "SharedLayer/python/weir/__init__.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return [tmp_path / "GenerateFunction", tmp_path / "SharedLayer"]


PARAMETERS = {"UpstreamModel": "m", "UpstreamKey": ""}


@pytest.mark.parametrize(
    "change",
    [
        lambda built: (built[1] / "python/weir/__init__.py").write_text("another layer"),
        lambda built: (built[0] / "app.py").write_text("another function"),
        lambda built: (built[0] / "bootstrap").chmod(0o755),
        lambda built: (built[0] / "app.py").rename(built[0] / "app2.py"),
        lambda built: (built[1] / "python/new.py").write_text(""),
    ],
)
def test_another_artifact_is_another_revision(
    built: list[Path], change: Callable[[list[Path]], object]
) -> None:
    before = revision(built, PARAMETERS)
    change(built)
    assert revision(built, PARAMETERS) != before


def test_another_parameter_is_another_revision_and_nothing_else_is(built: list[Path]) -> None:
    before = revision(built, PARAMETERS)
    assert revision(built, PARAMETERS | {"UpstreamModel": "n"}) != before
    assert revision(built, PARAMETERS | {"UpstreamKey": "ssm:/k"}) != before
    os.utime(built[0] / "app.py", (0, 0))
    reordered = dict(reversed(PARAMETERS.items())) | {"Revision": before}
    assert revision(built, reordered) == before
    with pytest.raises(FileNotFoundError, match="make build"):
        revision([built[0] / "nothing"], {})


def test_a_diff_names_what_is_added_removed_and_changed_and_no_place_of_an_upload() -> None:
    before = {
        "Resources": {
            "F": {"Type": "AWS::Lambda::Function", "Properties": {"Timeout": 60, "Code": {"S3Key": "a"}}},
            "Old": {"Type": "AWS::SQS::Queue", "Properties": {}},
        }
    }
    after = {
        "Resources": {
            "F": {"Type": "AWS::Lambda::Function", "Properties": {"Timeout": 90, "Code": {"S3Key": "b"}}},
            "New": {"Type": "AWS::S3::Bucket", "Properties": {}},
        }
    }
    assert list(changes(before, after, "LedgerStack")) == [
        "~ LedgerStack/F Properties.Timeout: 60 -> 90",
        "+ LedgerStack/New (AWS::S3::Bucket)",
        "- LedgerStack/Old (AWS::SQS::Queue)",
    ]
    assert list(changes(after, after)) == []
    assert list(parameter_changes({"A": "1", "B": "2"}, {"A": "1", "B": "3", "C": "4"})) == [
        "~ parameter B: 2 -> 3",
        "~ parameter C: nothing -> 4",
    ]


def test_a_deployment_ends_with_where_it_is_how_to_call_it_and_what_to_do() -> None:
    outputs = {
        "GenerateUrl": "https://g.example/",
        "FinanceUrl": "https://f.example/",
        "LedgerBucket": "ledger-1",
    }
    text = "\n".join(farewell(Settings.load(ROOT, "dev"), Output(outputs, {})))
    for wanted in ("https://g.example/v1/generations", "https://f.example/", "aws:amz:eu-central-1:lambda",
                   "lambda:InvokeFunctionUrl", "make smoke STAGE=dev"):  # fmt: skip
        assert wanted in text


def test_the_operators_page_has_every_alarm_and_every_setting() -> None:
    page = (ROOT / "infra/README.md").read_text()
    alarms = resources(load("infra/observability.yaml"), "AWS::CloudWatch::Alarm").keys()
    headings = [name for line in re.findall(r"^#### (.+)$", page, re.M) for name in line.split(", ")]
    assert sorted(headings) == sorted(alarms)
    for heading in page.split("#### ")[1:]:
        assert all(part in heading for part in ("*Means*", "*Look at*", "*Do*")), heading.splitlines()[0]
    settings = re.findall(
        r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page.split("### Settings")[1], re.M))
    )
    assert DECLARED.keys() <= set(settings)


MODELS = """
[models.fast]
provider = "openai"
model = "m"
key = "secretsmanager:keys#openai"
[models.careful]
provider = "bedrock"
region = "eu-central-1"
model = "m"
key = "role"
[models.other]
provider = "openai"
model = "m"
key = "ssm:/weir/other"
"""


def test_the_keys_of_a_models_file_and_no_others_may_be_read(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(MODELS)
    settings = Settings.load(ROOT, "dev", "Models=models.toml")
    assert mistakes(settings, DECLARED, REGIONS) == []  # the one endpoint's key is nobody's
    routes = routes_of(tmp_path, settings)
    assert routes is not None and models_path(settings) == "models.toml"
    assert keys_of(routes) == ["secretsmanager:keys", "ssm:/weir/other"]
    given = with_permissions(settings, routes, "123456789012", "aws").parameters
    assert given["ModelKeyArns"].split(",") == [
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keys-??????",
        "arn:aws:ssm:eu-central-1:123456789012:parameter/weir/other",
    ]
    assert given["UpstreamKey"] == "role"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../models.toml", "a/../../models.toml", "a b.toml", "nowhere.toml"]
)
def test_a_models_file_that_no_build_could_copy_is_told(tmp_path: Path, path: str) -> None:
    with pytest.raises(RoutesError, match="Models: expected|WEIR_MODELS: expected"):
        routes_of(tmp_path, Settings.load(ROOT, "dev", f"Models='{path}'"))


def test_models_as_json_need_no_file() -> None:
    document = json.dumps({"models": {"fast": {"provider": "openai", "model": "m"}}})
    settings = Settings.load(ROOT, "dev", f"Models='{document}'")
    routes = routes_of(ROOT, settings)
    assert routes is not None and keys_of(routes) == [] and models_path(settings) == ""
