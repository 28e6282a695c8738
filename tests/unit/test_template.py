"""The templates' own rules: what no linter knows, because it is ours (who may call, what is logged, who reads what)."""

import ast
import json
import re
import stat
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from tests.unit.cloudformation import ROOT, TEMPLATES, load, resources, walk
from weir.generate.telemetry import METRICS
from weir.ledger.table import COLUMNS
from weir.outcomes import Outcome
from weir.pricing.price_book import PriceBook

TEMPLATE = load("template.yaml")
OBSERVABILITY = load("infra/observability.yaml")
REPORTS = load("infra/reports.yaml")
FUNCTIONS = resources(TEMPLATE, "AWS::Serverless::Function")
GLOBALS = TEMPLATE["Globals"]["Function"]
LOG_GROUPS = resources(TEMPLATE, "AWS::Logs::LogGroup")
ROLES = resources(TEMPLATE, "AWS::IAM::Role")
FUNCTION_NAMES = sorted(FUNCTIONS)


def statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for _, key, value in walk(document):
        if key == "Statement":
            # A statement may depend on a condition; what it says then counts.
            found += [one["Fn::If"][1] if "Fn::If" in one else one for one in value]
    return found


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_is_open_to_the_world(name: str) -> None:
    for path, key, value in walk(load(name)):
        if (
            key.lower().endswith("authtype") and value == "NONE"
        ):  # a permission, that a condition has to let be
            assert TEMPLATE["Resources"][path.split("/")[2]]["Condition"] in (
                "OpensUrl",
                "OpensManagedUrl",
            ), path
    doors = {
        name: properties["FunctionUrlConfig"]["AuthType"]
        for name, properties in FUNCTIONS.items()
        if "FunctionUrlConfig" in properties
    }
    # generate's may be opened, where own keys say who is answered; what reads the ledger never.
    by_option = {"Fn::If": ["OpensUrl", "NONE", "AWS_IAM"]}
    assert doors.pop("FinanceFunction") == "AWS_IAM"
    assert doors and all(auth == by_option for auth in doors.values())
    assert TEMPLATE["Parameters"]["GenerateUrlAuth"]["Default"] == "AWS_IAM"
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
    # Text logs have no platform.report, nor has SystemLogLevel above INFO: an empty ledger.
    logging = GLOBALS["LoggingConfig"] | FUNCTIONS[name].get("LoggingConfig", {})
    assert logging["LogFormat"] == "JSON"
    assert logging["SystemLogLevel"] == "INFO"
    assert logging["ApplicationLogLevel"] == "INFO"


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_every_function_has_a_log_group_that_forgets(name: str) -> None:
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert LOG_GROUPS[group]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_nobody_who_writes_the_ledger_reads_its_own_log() -> None:
    read = [
        filter["LogGroupName"] for filter in resources(TEMPLATE, "AWS::Logs::SubscriptionFilter").values()
    ]
    assert read == [{"Ref": "GenerateLogGroup"}]
    for name in ("LedgerFunction", "LedgerJobsFunction", "ExportFunction", "FinanceFunction"):
        own = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]
        assert own not in read, f"each line that {name} wrote would call the ledger again"
    assert FUNCTIONS["LedgerJobsFunction"]["Environment"]["Variables"]["WEIR_LOG_GROUPS"] == read[0]


def test_every_generate_writes_to_the_log_group_that_the_ledger_reads() -> None:
    for name, properties in FUNCTIONS.items():
        if properties["CodeUri"] == "functions/generate":
            assert properties["LoggingConfig"]["LogGroup"] == {"Ref": "GenerateLogGroup"}, name


def test_the_subscription_lets_through_facts_and_platform_records_and_nothing_else() -> None:
    (filter,) = resources(TEMPLATE, "AWS::Logs::SubscriptionFilter").values()
    terms = re.findall(r'\(\$\.(\w+) = "([^"]+)"\)', filter["FilterPattern"])
    patterns = [(field, re.compile(re.escape(value).replace(r"\*", ".*"))) for field, value in terms]

    def passes(line: dict[str, str]) -> bool:
        return any(pattern.fullmatch(line.get(field, "")) for field, pattern in patterns)

    assert passes({"type": "platform.report"})
    assert passes({"type": "platform.runtimeDone"})
    assert passes({"message": "request.completed"})
    assert passes({"message": "request.started"})
    assert not passes({"message": "internal error"})
    assert not passes({"_aws": "metrics"})


def test_logs_land_by_time_as_they_come_and_the_ledger_is_told_of_each_object() -> None:
    (stream,) = resources(TEMPLATE, "AWS::KinesisFirehose::DeliveryStream").values()
    lands = stream["ExtendedS3DestinationConfiguration"]
    assert lands["BufferingHints"] == {"IntervalInSeconds": {"Ref": "LandingSeconds"}, "SizeInMBs": 128}
    # Records are gzip already; and what a transformation would cut, or a partition would hold up, is not there.
    assert lands["CompressionFormat"] == "UNCOMPRESSED"
    assert not {"ProcessingConfiguration", "DynamicPartitioningConfiguration"} & lands.keys()
    (event,) = FUNCTIONS["LedgerFunction"]["Events"].values()
    pattern = event["Properties"]["Pattern"]
    assert pattern["detail"]["object"]["key"] == [{"prefix": lands["Prefix"]}]
    (bucket,) = resources(load("infra/ledger.yaml"), "AWS::S3::Bucket").values()
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True


def test_what_landed_and_cannot_be_stored_is_kept() -> None:
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
    # With the dead letters; but what a failed first deployment created goes with it.
    for kept in ("Bucket", "DeadLetterQueue"):
        assert document["Resources"][kept]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert document["Resources"][kept]["UpdateReplacePolicy"] == "Retain"


def test_only_what_the_cold_class_takes_is_moved_there() -> None:
    (bucket,) = resources(load("infra/ledger.yaml"), "AWS::S3::Bucket").values()
    moving = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "Transitions" in rule]
    assert moving and all(int(rule["ObjectSizeGreaterThan"]) >= 128 * 1024 for rule in moving)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_permission_is_granted_on_everything(name: str) -> None:
    for statement in statements(load(name)):
        if statement["Effect"] == "Allow" and statement["Action"] != "sts:AssumeRole":
            for action in actions(statement):
                assert "*" not in action, statement
            for resource in listed(statement["Resource"]):
                # CloudWatch's metrics know no resources.
                assert resource != "*" or statement["Action"] in (
                    "cloudwatch:GetMetricData",
                    "bedrock:CallWithBearerToken",
                ), statement


def granted(name: str) -> dict[str, set[str]]:
    """What a function's role allows, beside its log: action to the resources, as the template writes them."""
    found: dict[str, set[str]] = {}
    role = FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]
    policies = [one for one in ROLES[role]["Policies"] if one.get("PolicyName") != "log"]
    for statement in statements({"Policies": policies}):
        assert statement["Effect"] == "Allow" and "Condition" not in statement
        for action in actions(statement):
            for resource in listed(statement["Resource"]):
                [(function, text)] = resource.items() if isinstance(resource, dict) else [("", resource)]
                if isinstance(text, list):
                    text = ".".join(text) if function == "Fn::GetAtt" else text[0]
                found.setdefault(action, set()).add(text)
    return found


def actions(statement: dict[str, Any]) -> list[str]:
    """What a statement allows; where that depends on a condition, either."""
    action = statement["Action"]
    return action["Fn::If"][1:] if isinstance(action, dict) else listed(action)


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_a_function_writes_to_its_own_log_and_to_no_other(name: str) -> None:
    # Whoever could write to generate's could forge the platform's reports, of which the ledger is made.
    role = ROLES[FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]]
    [own] = [one for one in role["Policies"] if one.get("PolicyName") == "log"]
    assert own["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::GetAtt": [FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"], "Arn"]},
        }
    ]
    assert "ManagedPolicyArns" not in role and not any("logs:Put" in action for action in granted(name))


# Where PriceOverrides says that a contract's prices lie: one object, or one parameter.
CONTRACT = {"arn:${AWS::Partition}:s3:::${Object}"}
CONTRACT_IN_SSM = {"arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${Name}"}


def test_generate_reads_the_one_key_that_it_sends_and_a_contracts_prices() -> None:
    assert granted("GenerateFunction").keys() == {
        "s3:GetObject",
        "secretsmanager:GetSecretValue",
        "ssm:GetParameter",
        "kms:Decrypt",
        "dynamodb:GetItem",
        "dynamodb:UpdateItem",
        "dynamodb:BatchGetItem",
        "bedrock:InvokeModel",
        "bedrock:InvokeModelWithResponseStream",
        "bedrock:CallWithBearerToken",
    }
    assert granted("GenerateFunction")["s3:GetObject"] == CONTRACT
    assert granted("GenerateFunction")["ssm:GetParameter"] > CONTRACT_IN_SSM
    assert granted("GenerateFunction")["kms:Decrypt"] == {"UpstreamKeyKmsKeyArn"}
    for action in ("dynamodb:GetItem", "dynamodb:UpdateItem"):
        assert granted("GenerateFunction")[action] == {"AccessTable.Arn", "AnswersTable.Arn"}
    assert granted("GenerateFunction")["dynamodb:BatchGetItem"] == {"AccessTable.Arn"}


def in_the_bucket(*prefixes: str) -> set[str]:
    return {f"${{LedgerStack.Outputs.BucketArn}}/{prefix}" for prefix in prefixes}


BUCKET = {"LedgerStack.Outputs.BucketArn"}
ROLLUPS = in_the_bucket("rollups/v1/*")
ROWS = in_the_bucket("rows/v1/*", "closed/v1/*") | ROLLUPS
BOOKS = ROWS | in_the_bucket("completeness/v1/*", "prices/v1/*")
EXPORTS = in_the_bucket("exports/v1/*")
FACTS = in_the_bucket("facts/*", "gathered/v1/*")
NEW_FACTS = in_the_bucket("facts/v2/*", "dropped/v1/*", "poison/v1/*")
ANSWERS = in_the_bucket("athena/*")


def test_the_ledger_adds_facts_and_does_nothing_else() -> None:
    assert granted("LedgerFunction") == {
        "s3:GetObject": in_the_bucket("landing/*"),
        "s3:PutObject": NEW_FACTS,
        "sqs:SendMessage": {"LedgerStack.Outputs.DeadLetterQueueArn"},
    }


def test_the_ledger_is_made_of_facts_and_of_one_log_and_nobody_deletes() -> None:
    assert granted("LedgerJobsFunction") == {
        "s3:GetObject": FACTS | BOOKS | CONTRACT | in_the_bucket("metering/v1/*"),
        "ssm:GetParameter": CONTRACT_IN_SSM,
        "s3:PutObject": NEW_FACTS | BOOKS | in_the_bucket("gathered/v1/*", "metering/v1/*"),
        "s3:ListBucket": BUCKET,
        "logs:FilterLogEvents": {
            "GenerateLogGroup.Arn",
            *(f"{name}LogGroup.Arn" for name in ("Ledger", "LedgerJobs", "Export", "Finance")),
        },
        "cloudwatch:GetMetricData": {"*"},
        "dynamodb:Scan": {"AccessTable.Arn"},
        "dynamodb:UpdateItem": {"AccessTable.Arn"},
        "lambda:InvokeFunction": {
            "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-LedgerJobsFunction-*"
        },
    }
    assert not any("Delete" in action for name in FUNCTIONS for action in granted(name))


def test_whoever_reads_the_ledger_writes_nothing_but_the_answers_of_athena() -> None:
    place = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:"
    glue, name = place % "glue", "${ReportsStack.Outputs.DatabaseName}"
    database = {f"{glue}database/{name}"}
    default = {f"{glue}catalog", f"{glue}database/default"}
    table = {f"{glue}catalog", f"{glue}table/{name}/ledger"} | database
    workgroup = {f"{place % 'athena'}workgroup/${{ReportsStack.Outputs.WorkGroupName}}"}
    queries = ("StartQueryExecution", "GetQueryExecution", "GetQueryResults")
    assert granted("FinanceFunction") == {
        "s3:GetObject": FACTS | BOOKS | EXPORTS | ANSWERS | CONTRACT,
        "ssm:GetParameter": CONTRACT_IN_SSM,
        "s3:ListBucket": BUCKET,
        "s3:GetBucketLocation": BUCKET,
        "s3:PutObject": ANSWERS,
        "s3:AbortMultipartUpload": ANSWERS,
        "s3:ListMultipartUploadParts": ANSWERS,
        "lambda:InvokeFunction": {"ExportFunction.Arn"},
        **{f"athena:{name}": workgroup for name in queries},
        **{f"glue:{action}": table for action in ("GetTable", "GetPartitions")},
        "glue:GetDatabase": default | database,
        "glue:GetDatabases": default,
    }


def test_whoever_asks_for_an_export_can_start_nothing_but_an_export() -> None:
    def tasks(name: str) -> set[str]:
        return set(FUNCTIONS[name]["Environment"]["Variables"]["WEIR_LEDGER_TASKS"].split(","))

    assert tasks("ExportFunction") == {"export"}
    assert granted("ExportFunction") == {
        "s3:GetObject": FACTS | (BOOKS - ROLLUPS) | CONTRACT,
        "ssm:GetParameter": CONTRACT_IN_SSM,
        "s3:PutObject": EXPORTS,
        "s3:ListBucket": BUCKET,
    }
    scheduled = {
        json.loads(event["Properties"]["Input"])["task"]
        for event in FUNCTIONS["LedgerJobsFunction"]["Events"].values()
    }
    assert scheduled <= tasks("LedgerJobsFunction")


def test_what_is_booked_for_good_cannot_be_overwritten() -> None:
    [once] = [one for one in statements(load("infra/ledger.yaml")) if one.get("Sid") == "WrittenOnce"]
    assert once["Effect"] == "Deny" and once["Principal"] == "*" and once["Action"] == "s3:PutObject"
    assert once["Condition"]["Null"] == {"s3:if-none-match": "true"}
    paths = [next(iter(resource.values())).removeprefix("${Bucket.Arn}/") for resource in once["Resource"]]

    def guarded(key: str) -> bool:
        return any(re.fullmatch(path.replace("*", ".*"), key) for path in paths)

    assert guarded("facts/v2/hour=2026-11-22T12/aa.parquet")
    assert guarded("closed/v1/2026-10/close.json")
    assert guarded("closed/v1/2026-10/correction-0001.parquet")
    # S3 copies a month's rows, which takes no condition.
    assert not guarded("closed/v1/2026-10/rows/dt=2026-10-31/rows-aa.parquet")
    assert guarded("rows/v1/dt=2026-11-22/correction-aa.parquet")
    # An open day is compacted again and again, under one name.
    assert not guarded("rows/v1/dt=2026-11-22/rows.parquet")


def test_what_can_be_had_again_does_not_stay() -> None:
    (bucket,) = resources(load("infra/ledger.yaml"), "AWS::S3::Bucket").values()
    rules = {rule.get("Prefix", ""): rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    for passing in ("exports/", "athena/"):
        assert rules[passing]["ExpirationInDays"] == 7
        assert rules[passing]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    expiring = {prefix for prefix, rule in rules.items() if "ExpirationInDays" in rule}
    assert expiring == {"exports/", "athena/", "landing", "gathered/"}


def test_the_table_of_athena_is_the_table_of_the_code() -> None:
    (table,) = resources(REPORTS, "AWS::Glue::Table").values()
    storage = table["TableInput"]["StorageDescriptor"]
    assert [(column["Name"], column["Type"]) for column in storage["Columns"]] == [
        (column.name, column.glue_type) for column in COLUMNS
    ]
    assert [column["Name"] for column in table["TableInput"]["PartitionKeys"]] == ["dt"]
    parameters = table["TableInput"]["Parameters"]
    assert parameters["projection.enabled"] == "true" and parameters["projection.dt.type"] == "date"
    assert storage["Location"] == {"Fn::Sub": "s3://${BucketName}/rows/v1/"}
    assert parameters["storage.location.template"] == {"Fn::Sub": "s3://${BucketName}/rows/v1/dt=${!dt}/"}


def test_nobody_gets_round_the_ceiling_of_a_query() -> None:
    (workgroup,) = resources(REPORTS, "AWS::Athena::WorkGroup").values()
    configuration = workgroup["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == {"Fn::Sub": "${ScanLimitMegabytes}000000"}
    assert configuration["EngineVersion"] == {"SelectedEngineVersion": "Athena engine version 3"}
    result = configuration["ResultConfiguration"]
    assert result["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
    assert result["OutputLocation"] == {"Fn::Sub": "s3://${BucketName}/athena/"}


def test_each_scheduled_task_is_one_that_the_ledger_jobs_know() -> None:
    jobs = FUNCTIONS["LedgerJobsFunction"]
    code = (ROOT / "functions/ledger_jobs/app.py").read_text()
    for event in jobs["Events"].values():
        assert event["Type"] == "ScheduleV2"
        assert f'"{json.loads(event["Properties"]["Input"])["task"]}"' in code


def test_a_budget_warns_three_times() -> None:
    alarms = resources(OBSERVABILITY, "AWS::CloudWatch::Alarm")
    budget = [alarm for alarm in alarms.values() if alarm.get("MetricName") == "BudgetUsedPercent"]
    assert sorted(alarm["Threshold"] for alarm in budget) == [70, 90, 100]


def test_a_task_of_the_ledger_jobs_that_fails_twice_wakes_somebody() -> None:
    alarm = resources(OBSERVABILITY, "AWS::CloudWatch::Alarm")["LedgerJobsErrors"]
    # One event and its repetition a minute later, and nothing until the next schedule.
    assert (alarm["EvaluationPeriods"], alarm["Period"] > 60) == (1, True)
    assert alarm["Threshold"] < 2 and alarm["ComparisonOperator"] == "GreaterThanThreshold"


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
    laptop_only = {"WEIR_LOG_ERROR_TEXT"}  # quotes what callers wrote: infra/local alone sets it
    assert {name for name in variables if name.startswith("WEIR_")} == read - laptop_only
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


def test_the_alarm_on_old_prices_is_the_warning_of_the_reports() -> None:
    alarm = resources(OBSERVABILITY, "AWS::CloudWatch::Alarm")["PriceBookOld"]
    book = PriceBook.load()
    checked = datetime.combine(book.age(datetime.now(UTC)).as_of, time(), UTC)
    assert book.age(checked + timedelta(days=alarm["Threshold"])).warning is None
    assert book.age(checked + timedelta(days=alarm["Threshold"] + 1)).warning is not None


def dashboard_metrics() -> list[list[Any]]:
    """[namespace, name, ...] of every metric shown; "..." is spelled out, an expression is left out."""
    (dashboard,) = resources(OBSERVABILITY, "AWS::CloudWatch::Dashboard").values()
    found: list[list[Any]] = []
    for widget in json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]:
        for metric in widget["properties"]["metrics"]:
            if not isinstance(metric[0], dict):
                found.append(found[-1][:6] + metric[1:] if metric[0] == "..." else metric)
    return found


def test_the_dashboard_shows_percentiles_shares_and_what_a_thousand_requests_cost() -> None:
    first = [metric[6]["stat"] for metric in dashboard_metrics() if metric[1] == "TimeToFirstToken"]
    assert first == ["p50", "p95", "p99"]
    shown = {metric[1] for metric in dashboard_metrics()}
    assert {
        "EstimatedCost",
        "ColdStart",
        "InvalidOutput",
        "CompletenessPercent",
        "BudgetUsedPercent",
    } <= shown


def test_the_dashboard_shows_every_outcome_that_a_function_can_report() -> None:
    shown = {metric[1] for metric in dashboard_metrics() if metric[0] == "Weir"}
    assert {outcome.metric for outcome in Outcome if outcome is not Outcome.KILLED} <= shown


def test_dashboard_and_alarms_read_metrics_that_the_code_writes() -> None:
    read = {metric[1] for metric in dashboard_metrics() if metric[0] == "Weir"}
    for _, _, value in walk(OBSERVABILITY):
        if isinstance(value, dict) and value.get("Namespace") == "Weir":
            read.add(value["MetricName"])
    telemetry = (ROOT / "shared/weir/generate/telemetry.py").read_text()
    assert "import EphemeralMetrics" in telemetry, "generate's metrics are recorded by Powertools"
    written = {outcome.metric for outcome in Outcome} | METRICS.keys()
    for name in ("ledger", "ledger_jobs"):
        code = (ROOT / f"functions/{name}/app.py").read_text()
        written |= set(re.findall(r'"([A-Z]\w+)"(?:\]?(?::| =) \("|, MetricUnit)', code))
    assert read <= written
