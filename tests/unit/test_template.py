"""The templates' own rules: what no linter knows, because it is ours (who may call, what is logged, who reads what)."""

import ast
import json
import re
import stat
from typing import Any

import pytest

from tests.unit.cloudformation import ROOT, TEMPLATES, load, resources, walk
from weir.core.outcomes import Outcome

TEMPLATE = load("template.yaml")
OBSERVABILITY = load("infra/observability.yaml")
FUNCTIONS = resources(TEMPLATE, "AWS::Serverless::Function")
GLOBALS = TEMPLATE["Globals"]["Function"]
LOG_GROUPS = resources(TEMPLATE, "AWS::Logs::LogGroup")
FUNCTION_NAMES = sorted(FUNCTIONS)


def statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for _, key, value in walk(document):
        if key == "Statement":
            found += value
    return found


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_is_open_to_the_world(name: str) -> None:
    for path, key, value in walk(load(name)):
        assert not (key.lower().endswith("authtype") and value == "NONE"), f"{name}{path}: AuthType NONE"
    doors = [properties for properties in FUNCTIONS.values() if "FunctionUrlConfig" in properties]
    assert doors
    assert all(door["FunctionUrlConfig"]["AuthType"] == "AWS_IAM" for door in doors)
    for api in resources(TEMPLATE, "AWS::Serverless::Api").values():
        assert api["Auth"]["DefaultAuthorizer"] == "AWS_IAM"
        for path, methods in api["DefinitionBody"]["paths"].items():
            for method, operation in methods.items():
                # Only a preflight goes unsigned, and it must not reach a function.
                if operation.get("security") == []:
                    assert (method, operation["x-amazon-apigateway-integration"]["type"]) == (
                        "options",
                        "mock",
                    ), path


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_function_logs_what_the_ledger_is_made_of(name: str) -> None:
    # Text logs have no platform.report, and SystemLogLevel above DEBUG no platform.runtimeDone: an empty ledger.
    logging = GLOBALS["LoggingConfig"] | FUNCTIONS[name].get("LoggingConfig", {})
    assert logging["LogFormat"] == "JSON"
    assert logging["SystemLogLevel"] == "DEBUG"
    assert logging["ApplicationLogLevel"] == "INFO"


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_function_has_a_log_group_that_forgets(name: str) -> None:
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert LOG_GROUPS[group]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_ledger_never_reads_its_own_log() -> None:
    own = FUNCTIONS["LedgerFunction"]["LoggingConfig"]["LogGroup"]
    read = [event["Properties"]["LogGroupName"] for event in FUNCTIONS["LedgerFunction"]["Events"].values()]
    read += [
        filter["LogGroupName"] for filter in resources(TEMPLATE, "AWS::Logs::SubscriptionFilter").values()
    ]
    assert read == [{"Ref": "GenerateLogGroup"}]
    assert own not in read, "each line that the ledger wrote would call it again"


def test_every_generate_writes_to_the_log_group_that_the_ledger_reads() -> None:
    for name, properties in FUNCTIONS.items():
        if properties["CodeUri"] == "functions/generate":
            assert properties["LoggingConfig"]["LogGroup"] == {"Ref": "GenerateLogGroup"}, name


def test_the_subscription_lets_through_facts_and_platform_records_and_nothing_else() -> None:
    (event,) = FUNCTIONS["LedgerFunction"]["Events"].values()
    terms = re.findall(r'\(\$\.(\w+) = "([^"]+)"\)', event["Properties"]["FilterPattern"])
    patterns = [(field, re.compile(re.escape(value).replace(r"\*", ".*"))) for field, value in terms]

    def passes(line: dict[str, str]) -> bool:
        return any(pattern.fullmatch(line.get(field, "")) for field, pattern in patterns)

    assert passes({"type": "platform.report"})
    assert passes({"type": "platform.runtimeDone"})
    assert passes({"message": "request.completed"})
    assert passes({"message": "request.started"})
    assert not passes({"message": "internal error"})
    assert not passes({"_aws": "metrics"})


def test_a_batch_that_cannot_be_booked_is_kept() -> None:
    queue = FUNCTIONS["LedgerFunction"]["DeadLetterQueue"]
    assert queue == {
        "Type": "SQS",
        "TargetArn": {"Fn::GetAtt": ["LedgerStack", "Outputs.DeadLetterQueueArn"]},
    }
    (dead_letters,) = resources(load("infra/ledger.yaml"), "AWS::SQS::Queue").values()
    assert dead_letters["SqsManagedSseEnabled"] is True
    assert dead_letters["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_the_bucket_is_private_encrypted_versioned_and_outlives_the_stack() -> None:
    document = load("infra/ledger.yaml")
    (bucket,) = resources(document, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["LifecycleConfiguration"]["Rules"]
    assert document["Resources"]["Bucket"]["DeletionPolicy"] == "Retain"
    assert document["Resources"]["Bucket"]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_permission_is_granted_on_everything(name: str) -> None:
    for statement in statements(load(name)):
        if statement["Effect"] == "Allow":
            for action in listed(statement["Action"]):
                assert "*" not in str(action), statement
            for resource in listed(statement["Resource"]):
                assert resource != "*", statement


def test_whoever_reads_the_books_cannot_write_them_and_whoever_writes_cannot_read() -> None:
    def actions(name: str) -> set[str]:
        return {action for one in statements(FUNCTIONS[name]) for action in listed(one["Action"])}

    assert actions("FinanceFunction") == {"s3:GetObject", "s3:ListBucket"}
    assert actions("LedgerFunction") == {"s3:PutObject"}


def test_answers_stream_to_every_caller_of_generate() -> None:
    generate = FUNCTIONS["GenerateFunction"]
    assert generate["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM"
    assert FUNCTIONS["GenerateManagedFunction"]["FunctionUrlConfig"] == generate["FunctionUrlConfig"]
    (api,) = resources(TEMPLATE, "AWS::Serverless::Api").values()
    method = api["DefinitionBody"]["paths"]["/{proxy+}"]["x-amazon-apigateway-any-method"]
    integration = method["x-amazon-apigateway-integration"]
    assert integration["responseTransferMode"] == "STREAM"
    alias = f"${{GenerateFunction.Arn}}:{generate['AutoPublishAlias']}"
    assert integration["uri"]["Fn::Sub"].endswith(f"/functions/{alias}/response-streaming-invocations")
    assert integration["timeoutInMillis"] == generate["Timeout"] * 1000


def test_the_exec_wrapper_is_a_file_that_the_artifact_holds_and_lambda_may_execute() -> None:
    for properties in (FUNCTIONS["GenerateFunction"], FUNCTIONS["GenerateManagedFunction"]):
        wrapper = properties["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"]
        path = ROOT / properties["CodeUri"] / wrapper.removeprefix("/var/task/")
        assert path.is_file() and not path.is_symlink()
        assert path.stat().st_mode & stat.S_IXOTH
        assert path.read_bytes().startswith(b"#!/bin/sh\n")


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_handler_exists(name: str) -> None:
    module, _, attribute = FUNCTIONS[name]["Handler"].rpartition(".")
    tree = ast.parse((ROOT / FUNCTIONS[name]["CodeUri"] / f"{module}.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    assert attribute in names


def test_the_template_sets_the_variables_that_the_code_reads_and_no_others() -> None:
    code = "\n".join(
        path.read_text() for room in ("shared", "functions") for path in (ROOT / room).rglob("*.py")
    )
    read = set(re.findall(r"WEIR_[A-Z_]+[A-Z]", code))
    variables = {key for _, key, _ in walk(TEMPLATE) if key.startswith(("WEIR_", "ASGIRIC_", "POWERTOOLS_"))}
    assert {name for name in variables if name.startswith("WEIR_")} == read
    assert all(name in code for name in variables)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_parameter_and_condition_decides_something(name: str) -> None:
    document = load(name)
    rest = {key: value for key, value in document.items() if key != "Parameters"}
    text = json.dumps(rest, default=str)
    for parameter in document.get("Parameters", {}):
        assert f'{{"Ref": "{parameter}"}}' in text or f"${{{parameter}}}" in text, parameter
    for condition in document.get("Conditions", {}):
        assert f'"Condition": "{condition}"' in text or f'"Fn::If": ["{condition}"' in text, condition


def test_functions_follow_the_architecture_and_run_on_python_3_13() -> None:
    assert GLOBALS["Runtime"] == "python3.13"
    assert GLOBALS["Architectures"] == [{"Ref": "Architecture"}]
    assert TEMPLATE["Parameters"]["Architecture"]["Default"] == "arm64"
    assert not any(
        "Runtime" in properties or "Architectures" in properties for properties in FUNCTIONS.values()
    )


def dashboard_metrics() -> list[list[Any]]:
    (dashboard,) = resources(OBSERVABILITY, "AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]
    return [metric for widget in widgets for metric in widget["properties"]["metrics"]]


def test_the_dashboard_shows_every_outcome_that_a_function_can_report() -> None:
    shown = {metric[1] for metric in dashboard_metrics() if metric[0] == "Weir"}
    assert {outcome.metric for outcome in Outcome if outcome is not Outcome.KILLED} <= shown


def test_dashboard_and_alarms_read_metrics_that_the_code_writes() -> None:
    read = {metric[1] for metric in dashboard_metrics() if metric[0] == "Weir"}
    for _, _, value in walk(OBSERVABILITY):
        if isinstance(value, dict) and value.get("Namespace") == "Weir":
            read.add(value["MetricName"])
    telemetry = (ROOT / "shared/weir/adapters/telemetry.py").read_text()
    written = {outcome.metric for outcome in Outcome} | set(
        re.findall(r'"([A-Z]\w+)", MetricUnit', telemetry)
    )
    written |= set(re.findall(r"([A-Z]\w+)=done\.", (ROOT / "functions/ledger/app.py").read_text()))
    assert read <= written
