"""The template as the laptop's AWS reads it."""

from pathlib import Path

import pytest

from infra.local.sam.cloudformation import TemplateError
from infra.local.sam.function import LogSubscription
from infra.local.sam.template import Template

ROOT = Path(__file__).resolve().parents[3]

TEXT = """
Parameters:
  Name: {Type: String, Default: x}
  Needed: {Type: String}
  Origins: {Type: CommaDelimitedList, Default: ""}
Conditions:
  IsX: !Equals [!Ref Name, x]
  Both: !And [!Condition IsX, !Not [!Equals [!Ref Needed, ""]]]
Globals:
  Function:
    MemorySize: 512
    Environment: {Variables: {A: shared, B: shared}}
Resources:
  Log: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Sub "/w/${AWS::StackName}/${Name}"}}
  Books: {Type: AWS::S3::Bucket}
  One:
    Type: AWS::Serverless::Function
    Condition: Both
    Properties:
      CodeUri: functions/one
      Handler: app.handler
      LoggingConfig: {LogGroup: !Ref Log}
      Environment:
        Variables:
          B: own
          JOINED: !Join [",", [a, !If [IsX, b, c], !If [IsX, !Ref AWS::NoValue, d]]]
          PART: !Select [1, !Split [":", "k:v"]]
          SUB: !Sub ["${Local}-${Books}-${Books.Arn}", {Local: !Ref Needed}]
      FunctionUrlConfig:
        AuthType: NONE
        Cors: !If [IsX, {AllowOrigins: !Ref Origins}, !Ref AWS::NoValue]
      Events:
        Landed:
          Type: EventBridgeRule
          Properties:
            Pattern:
              source: [aws.s3]
              detail: {bucket: {name: [!Ref Books]}, object: {key: [{prefix: landing/}]}}
  Stream:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      ExtendedS3DestinationConfiguration: {BucketARN: !GetAtt Books.Arn, Prefix: landing/}
  Lines:
    Type: AWS::Logs::SubscriptionFilter
    Properties: {LogGroupName: !Ref Log, FilterPattern: "", DestinationArn: !GetAtt Stream.Arn}
"""


def template(tmp_path: Path, text: str = TEXT, **parameters: str) -> Template:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return Template(path, parameters, region="eu-west-1")


def test_a_functions_settings_are_resolved_and_merged_with_the_globals(tmp_path: Path):
    read = template(tmp_path, Needed="n", Origins="https://a, https://b")
    one = read.functions["One"]
    assert one.environment == {
        "A": "shared",
        "B": "own",
        "JOINED": "a,b",
        "PART": "v",
        "SUB": "n-weir-books-arn:aws:s3:::weir-books",
    }
    assert (one.memory_mb, one.timeout_s, one.region) == (512, 3, "eu-west-1")
    assert one.log_group == "/w/weir/x"
    assert one.subscriptions == (LogSubscription("Lines", "/w/weir/x", "", "weir-books", "landing/"),)
    assert one.url is not None
    assert not one.url.streams
    assert one.url.cors is not None
    assert one.url.cors.allow_origins == ("https://a", "https://b")
    assert read.buckets == ["weir-books"]


def test_a_function_whose_condition_fails_does_not_exist(tmp_path: Path):
    assert template(tmp_path, Needed="").functions == {}


@pytest.mark.parametrize(
    ("change", "parameters", "message"),
    [
        (("", ""), {"Other": "1"}, "no parameters"),
        (("", ""), {}, "Needed has no default"),
        (('!Select [1, !Split [":", "k:v"]]', "!ImportValue there"), {"Needed": "n"}, "Fn::ImportValue"),
        (('!Select [1, !Split [":", "k:v"]]', "!Ref Nowhere"), {"Needed": "n"}, "nothing is called Nowhere"),
        (('!Select [1, !Split [":", "k:v"]]', "!GetAtt Nowhere.Arn"), {"Needed": "n"}, "no resource Nowhere"),
    ],
)
def test_what_is_not_known_is_refused_by_name(
    tmp_path: Path, change: tuple[str, str], parameters: dict[str, str], message: str
):
    with pytest.raises(TemplateError, match=message):
        _ = template(tmp_path, TEXT.replace(*change), **parameters).functions


def test_our_own_template_is_understood_whole():
    read = Template(ROOT / "template.yaml", {"CapacityProviderArn": "arn:x"}, region="us-east-1")
    functions = read.functions
    assert functions.keys() == {
        "GenerateFunction",
        "GenerateManagedFunction",
        "LedgerFunction",
        "FinanceFunction",
        "LedgerJobsFunction",
        "ExportFunction",
    }
    generate, ledger = functions["GenerateFunction"], functions["LedgerFunction"]
    assert generate.url is not None
    assert generate.url.streams
    assert functions["GenerateManagedFunction"].max_concurrency > 1
    assert ledger.environment["WEIR_LEDGER_BUCKET"] in read.buckets
    assert [subscription.log_group for subscription in ledger.subscriptions] == [generate.log_group]
    assert all(function.code.is_dir() for function in functions.values())
