"""What CloudFormation is given: the template after SAM's translator, where a rule is about what SAM makes of it.

The translator lives in SAM's own environment (`make validate` makes it); without that these tests are skipped, loudly.
"""

import json
import re
import subprocess
from functools import cache
from typing import Any

import pytest

from tests.unit.cloudformation import ROOT, walk

PYTHON = ROOT / ".venv-sam/bin/python"
REVISIONS = ("1" * 64, "2" * 64)

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(),
    reason=".venv-sam is missing (`make validate` makes it): nothing translates the template",
)


def translated(*parameters: tuple[str, str]) -> dict[str, dict[str, Any]]:
    """The resources with these parameters."""
    resources: dict[str, dict[str, Any]] = translated_whole(*parameters)["Resources"]
    return resources


@cache
def translated_whole(*parameters: tuple[str, str]) -> dict[str, Any]:
    """The template with these parameters."""
    done = subprocess.run(
        [PYTHON, "infra/build/translate.py", "template.yaml", "--json"],
        input=json.dumps([dict(parameters)]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)[0]
    return document


def of(kind: str, *parameters: tuple[str, str]) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in translated(*parameters).items() if one["Type"] == kind}


def test_nothing_has_a_name_that_a_second_stack_of_the_account_would_want() -> None:
    schedules = of("AWS::Scheduler::Schedule")
    assert schedules and not any("Name" in one["Properties"] for one in schedules.values())
    for name, one in translated().items():
        for key, value in one["Properties"].items():
            if key.endswith("Name") and isinstance(value, str) and one["Type"] != "AWS::Lambda::Alias":
                assert one["Type"].startswith("AWS::ApiGateway"), f"{name}: {key} is {value!r} in every stack"


def test_another_revision_is_another_version_and_the_same_is_the_same() -> None:
    versions = [set(of("AWS::Lambda::Version", ("Revision", revision))) for revision in REVISIONS]
    again = set(of("AWS::Lambda::Version", ("LogRetentionDays", "30"), ("Revision", REVISIONS[0])))
    assert len(versions[0]) == 2 and not versions[0] & versions[1]
    assert again == versions[0]
    # Lambda publishes no version of what has not changed: the revision is part of the function.
    for revision in REVISIONS:
        function = translated(("Revision", revision))["GenerateFunction"]
        assert revision in function["Properties"]["Description"]


def test_every_alias_stands_on_a_version_that_the_revision_names() -> None:
    resources = translated(("Revision", REVISIONS[0]))
    aliases = [one for one in resources.values() if one["Type"] == "AWS::Lambda::Alias"]
    assert len(aliases) == 2
    for alias in aliases:
        [version] = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"][:1]
        assert version.endswith(REVISIONS[0][:10])
        # A version that stays keeps its snapshot, which is paid for.
        assert resources[version]["DeletionPolicy"] == "Delete"


def test_a_function_that_starts_from_a_snapshot_has_no_disk_of_which_none_could_be_taken() -> None:
    functions = of("AWS::Lambda::Function", ("EnableSnapStart", "true"))
    snapped = [name for name, one in functions.items() if "SnapStart" in one["Properties"]]
    assert snapped
    for name in snapped:
        # Lambda refuses more than 512 MB with SnapStart; a restore's charge counts memory alone for that reason.
        assert functions[name]["Properties"].get("EphemeralStorage", {"Size": 512})["Size"] <= 512, name


def test_the_rest_api_is_deployed_again_and_has_one_stage() -> None:
    options = ("EnableRestApi", "true")
    names = [set(of("AWS::ApiGateway::Deployment", options)) for _ in range(2)]
    assert len(names[0]) == 1
    stages = [one["Properties"]["StageName"] for one in of("AWS::ApiGateway::Stage", options).values()]
    assert stages == ["live"]
    [deployment] = of("AWS::ApiGateway::Deployment", options).values()
    assert "StageName" not in deployment["Properties"]


def test_without_cors_no_empty_header_is_sent() -> None:
    [api] = of("AWS::ApiGateway::RestApi", ("EnableRestApi", "true")).values()
    headers = [value for _, key, value in walk(api) if key.endswith("Access-Control-Allow-Origin")]
    assert headers
    assert not [value for value in headers if "''" in json.dumps(value)]


def test_no_role_holds_a_policy_that_aws_wrote() -> None:
    for name, role in of("AWS::IAM::Role", ("EnableCanary", "true")).items():
        managed = json.dumps(role["Properties"].get("ManagedPolicyArns", []))
        # CodeDeploy's own role is not a function's.
        assert managed == "[]" or name == "CodeDeployServiceRole", f"{name}: {managed}"


def test_managed_instances_scale_as_their_parameters_say() -> None:
    function = translated()["GenerateManagedFunction"]["Properties"]
    assert function["FunctionScalingConfig"] == {
        "MinExecutionEnvironments": {"Ref": "ManagedMinEnvironments"},
        "MaxExecutionEnvironments": {"Ref": "ManagedMaxEnvironments"},
    }


def test_a_canary_gives_its_requests_back_when_an_alarm_rings() -> None:
    assert not of("AWS::CodeDeploy::DeploymentGroup")
    [group] = of("AWS::CodeDeploy::DeploymentGroup", ("EnableCanary", "true")).values()
    properties = group["Properties"]
    assert properties["AlarmConfiguration"]["Enabled"] is True
    alarms = [alarm["Name"]["Fn::GetAtt"][1] for alarm in properties["AlarmConfiguration"]["Alarms"]]
    text = (ROOT / "infra/observability.yaml").read_text()
    assert alarms
    for alarm in alarms:
        assert re.search(rf"^  {alarm.removeprefix('Outputs.')}:$", text, re.M)
    assert "DEPLOYMENT_STOP_ON_ALARM" in properties["AutoRollbackConfiguration"]["Events"]
    alias = translated(("EnableCanary", "true"))["GenerateFunctionAliaslive"]
    assert "CodeDeployLambdaAliasUpdate" in alias["UpdatePolicy"]


@pytest.mark.parametrize("options", [(), (("EnableRestApi", "true"), ("EnableCanary", "true"))])
def test_resources_wait_for_each_other_in_no_circle(options: tuple[tuple[str, str], ...]) -> None:
    resources = translated(*options)
    needs: dict[str, set[str]] = {}
    for name, one in resources.items():
        found = set(
            one.get("DependsOn", []) if isinstance(one.get("DependsOn"), list) else [one.get("DependsOn")]
        )
        for _, key, value in walk(one):
            if key == "Ref":
                found.add(value)
            elif key == "Fn::GetAtt":
                found.add(value[0] if isinstance(value, list) else value.split(".")[0])
            elif key == "Fn::Sub":
                text = value[0] if isinstance(value, list) else value
                found |= {part.split(".")[0] for part in re.findall(r"\$\{([\w.]+)\}", text)}
        needs[name] = found & resources.keys()
    while free := [name for name, wanted in needs.items() if not wanted]:
        for name in free:
            del needs[name]
        for wanted in needs.values():
            wanted.difference_update(free)
    assert needs == {}


def holds(condition: Any, conditions: dict[str, Any], parameters: dict[str, str]) -> bool:
    """Whether a condition of the translated template holds, by CloudFormation's rules for what stands in it here."""
    if isinstance(condition, str):
        return holds(conditions[condition], conditions, parameters)
    [(name, argument)] = condition.items()
    match name:
        case "Condition":
            return holds(argument, conditions, parameters)
        case "Fn::And":
            return all(holds(one, conditions, parameters) for one in argument)
        case "Fn::Not":
            return not holds(argument[0], conditions, parameters)
        case "Fn::Equals":
            left, right = (parameters[one["Ref"]] if isinstance(one, dict) else one for one in argument)
            return bool(left == right)
        case _:
            raise AssertionError(name)


@pytest.mark.parametrize("table", ["true", "false"])
@pytest.mark.parametrize("auth", ["AWS_IAM", "NONE"])
def test_a_url_is_open_only_where_own_keys_say_who_is_answered_and_finances_never(
    auth: str, table: str
) -> None:
    given = {"GenerateUrlAuth": auth, "EnableAccessTable": table, "CapacityProviderArn": "arn:x"}
    document = translated_whole(*given.items())
    opened = auth == "NONE" and table == "true"
    found = {}
    for name, one in document["Resources"].items():
        if one["Type"] == "AWS::Lambda::Url":
            said = one["Properties"]["AuthType"]
            if isinstance(said, dict):
                condition, first, second = said["Fn::If"]
                said = first if holds(condition, document["Conditions"], given) else second
            found[name] = said
    assert found.pop("FinanceFunctionUrl") == "AWS_IAM"
    assert set(found.values()) == {"NONE" if opened else "AWS_IAM"} and len(found) == 2
    everybody = [
        one
        for one in document["Resources"].values()
        if one["Type"] == "AWS::Lambda::Permission" and one["Properties"]["Principal"] == "*"
    ]
    assert len(everybody) == 4
    for one in everybody:
        assert holds(one["Condition"], document["Conditions"], given) is opened
        # Through the URL alone: an invocation would be believed to be IAM's.
        properties = one["Properties"]
        assert (
            properties.get("FunctionUrlAuthType") == "NONE" or properties.get("InvokedViaFunctionUrl") is True
        )
        assert isinstance(properties["FunctionName"], dict)
    [rule] = document["Rules"].values()
    refused = holds(rule["RuleCondition"], {}, given) and not holds(
        rule["Assertions"][0]["Assert"], {}, given
    )
    assert refused is (auth == "NONE" and table == "false")
