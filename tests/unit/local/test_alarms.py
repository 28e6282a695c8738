"""No alarm is dead: each is driven into ALARM once, by the lines that the functions write, and rings for nothing else."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.local.alarms import AlarmError, Sample, samples_of, state
from infra.local.logs import platform_log
from infra.local.logs.filter_pattern import compile_pattern
from infra.local.sam.cloudformation import NO_VALUE, CloudFormation
from tests.unit.cloudformation import ROOT
from weir.embedded_metrics import embedded_metrics
from weir.generate.telemetry import Telemetry
from weir.outcomes import Outcome

STAGE = "weir-dev"
NAMES = {
    "GenerateFunctionName": "generate-fn",
    "LedgerFunctionName": "ledger-fn",
    "LedgerJobsFunctionName": "jobs-fn",
    "ExportFunctionName": "export-fn",
    "FinanceFunctionName": "finance-fn",
}
TEMPLATE = CloudFormation(
    ROOT / "infra/observability.yaml",
    {
        **NAMES,
        "Stage": STAGE,
        "GenerateLogGroupName": "/weir/weir-dev/generate",
        "FirstTokenAlarmMs": "5000",
        "CostAlarmUsd": "2",
        "DeadLetterQueueName": "dead-letters",
    },
    region="eu-central-1",
)
ALARMS = {
    name: TEMPLATE.resolve(one) for name, one in TEMPLATE.resources_of("AWS::CloudWatch::Alarm").items()
}
NOW = datetime.now(UTC)
NOW_MS = NOW.timestamp() * 1000
WHOLE = 3 * 3600 * 1000  # of milliseconds: longer than any alarm looks back, but the one on the prices' age


def spread(samples: list[Sample]) -> list[Sample]:
    """The same in every minute of the last hours, as a fault that lasts would write them."""
    return [
        Sample(one.namespace, one.name, one.dimensions, NOW_MS - ago, one.value)
        for one in samples
        for ago in range(0, WHOLE, 60_000)
    ]


@pytest.fixture
def generate(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Sample]]:
    """The samples of requests, as generate's own telemetry writes them."""

    def written(
        outcome: Outcome = Outcome.OK,
        *,
        requests: int = 1,
        cold: bool = False,
        ttft_ms: float = 300.0,
        gap_ms: float = 1.0,
        cost: str = "0.0001",
    ) -> list[Sample]:
        summary = {
            "usage": {"input_tokens": 10, "output_tokens": 20},
            "timing": {
                "event_loop_gap_ms": {"max": gap_ms},
                "ttft_ms": ttft_ms,
                "ttlt_ms": 900.0,
                "duration_ms": 1000.0,
                "validate_ms": 2.0,
            },
            "cost": {"total": cost},
        }
        capsys.readouterr()
        for _ in range(requests):
            fact = {"kind": "request.completed", "at": "2026-11-22T12:00:00.000Z", "request_id": "r"}
            Telemetry("generate", STAGE).completed(fact, outcome, cold, summary)
        lines = capsys.readouterr().out.splitlines()
        return [sample for line in lines for sample in samples_of(json.loads(line))]

    return written


def of_function(service: str, **values: float) -> list[Sample]:
    """As the ledger's functions write them."""
    line = embedded_metrics(service, STAGE, NOW, {name: ("Count", value) for name, value in values.items()})
    return list(samples_of(json.loads(json.dumps(line))))


def of_lambda(metric: str, function: str, value: float = 1) -> list[Sample]:
    return [Sample("AWS/Lambda", metric, frozenset({("FunctionName", NAMES[function])}), NOW_MS, value)]


def dropped() -> Iterator[Sample]:
    """What the template's metric filter makes of Lambda's own line."""
    [metric_filter] = TEMPLATE.resources_of("AWS::Logs::MetricFilter").values()
    matches = compile_pattern(metric_filter["FilterPattern"])
    record = {"reason": "Consumer seems to have fallen behind", "droppedRecords": 12, "droppedBytes": 2048}
    line = platform_log.line(platform_log.event("logsDropped", NOW.timestamp(), record))
    report = platform_log.line(platform_log.event("report", NOW.timestamp(), {"requestId": "r"}))
    assert matches(line) and not matches(report)
    [made] = TEMPLATE.resolve(metric_filter["MetricTransformations"])
    yield Sample(made["MetricNamespace"], made["MetricName"], frozenset(), NOW_MS, float(made["MetricValue"]))


type Generate = Callable[..., list[Sample]]
# What wakes somebody, by alarm: what was logged, or what Lambda and SQS count.
FAULTS: dict[str, Callable[[Generate], list[Sample]]] = {
    "DeadLetters": lambda _: [
        Sample(
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            frozenset({("QueueName", "dead-letters")}),
            NOW_MS,
            1,
        )
    ],
    "LedgerErrors": lambda _: of_lambda("Errors", "LedgerFunctionName"),
    "PoisonRecords": lambda _: of_function("ledger", RecordsStored=7, RecordsSetAside=1),
    "LedgerIncomplete": lambda _: of_function("ledger-jobs", CompletenessPercent=99.8),
    "LedgerJobsErrors": lambda _: of_lambda("Errors", "LedgerJobsFunctionName"),
    "ExportErrors": lambda _: of_lambda("Errors", "ExportFunctionName"),
    "LogsDropped": lambda _: list(dropped()),
    "CompactionStalled": lambda _: [],
    "PriceBookOld": lambda _: of_function("ledger-jobs", PriceBookAgeDays=181),
    "WithoutPrice": lambda _: of_function("ledger-jobs", RequestsWithoutPrice=1),
    "Budget70": lambda _: of_function("ledger-jobs", BudgetUsedPercent=70),
    "Budget90": lambda _: of_function("ledger-jobs", BudgetUsedPercent=91),
    "Budget100": lambda _: of_function("ledger-jobs", BudgetUsedPercent=130),
    "CostPerRequest": lambda generate: generate(cost="0.0021"),
    "Throttled": lambda _: of_lambda("Throttles", "GenerateFunctionName"),
    "GenerateErrors": lambda _: of_lambda("Errors", "GenerateFunctionName"),
    "InternalErrors": lambda generate: generate(Outcome.INTERNAL_ERROR),
    "UpstreamErrors": lambda generate: generate(requests=18) + generate(Outcome.RATE_LIMITED),
    "FirstTokenLate": lambda generate: generate(ttft_ms=5001),
    "LongRequests": lambda _: of_lambda("Duration", "GenerateFunctionName", 240_001),
    "ColdStarts": lambda generate: generate(requests=7) + generate(cold=True, requests=3),
    "InvalidOutput": lambda generate: generate(requests=8) + generate(Outcome.INVALID_OUTPUT),
    "EventLoopBlocked": lambda generate: generate(gap_ms=101),
}


def healthy(generate: Generate) -> list[Sample]:
    return [
        *generate(requests=6),
        *of_lambda("Errors", "GenerateFunctionName", 0),
        *of_lambda("Duration", "GenerateFunctionName", 1000),
        *of_function("ledger", RecordsStored=7, RecordsSetAside=0),
        *of_function(
            "ledger-jobs",
            CompletenessPercent=100,
            DaysCompacted=0,
            PriceBookAgeDays=3,
            RequestsWithoutPrice=0,
            BudgetUsedPercent=12,
        ),
    ]


def test_every_alarm_has_a_fault_that_rings_it() -> None:
    assert FAULTS.keys() == ALARMS.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_rings_the_alarm_and_health_does_not(name: str, generate: Generate) -> None:
    fault = spread(FAULTS[name](generate))
    assert state(ALARMS[name], fault, NOW_MS) == "ALARM"
    assert state(ALARMS[name], spread(healthy(generate)), NOW_MS) == "OK"


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("CompactionStalled",)])
def test_another_stages_fault_rings_nothing_here(name: str, generate: Generate) -> None:
    def elsewhere(one: Sample) -> Sample:
        moved = frozenset(
            (key, "weir-prod" if key == "stage" else f"{value}-2") for key, value in one.dimensions
        )
        namespace = one.namespace.replace(STAGE, "weir-prod")
        return Sample(namespace, one.name, moved, one.at_ms, one.value)

    fault = [elsewhere(one) for one in spread(FAULTS[name](generate))]
    assert state(ALARMS[name], fault, NOW_MS) == "OK"


def test_few_requests_are_no_share(generate: Generate) -> None:
    few = generate(Outcome.UPSTREAM_ERROR, requests=5) + generate(
        Outcome.INVALID_OUTPUT, cold=True, requests=5
    )
    assert {
        name: state(ALARMS[name], few, NOW_MS) for name in ("UpstreamErrors", "ColdStarts", "InvalidOutput")
    } == {
        "UpstreamErrors": "OK",
        "ColdStarts": "OK",
        "InvalidOutput": "OK",
    }


def test_one_bad_period_is_not_all_of_them() -> None:
    alarm = ALARMS["LedgerErrors"]
    assert alarm["EvaluationPeriods"] == 2
    assert state(alarm, of_lambda("Errors", "LedgerFunctionName"), NOW_MS) == "OK"


def test_what_is_not_known_is_refused_and_never_guessed() -> None:
    alarm: dict[str, Any] = {**ALARMS["LedgerErrors"], "Statistic": "TM(10%)"}
    with pytest.raises(AlarmError, match=r"TM\(10%\)"):
        state(alarm, of_lambda("Errors", "LedgerFunctionName"), NOW_MS)


def test_every_alarm_tells_the_topic_that_was_given() -> None:
    with_topic = CloudFormation(
        ROOT / "infra/observability.yaml",
        {**NAMES, "Stage": STAGE, "GenerateLogGroupName": "g", "FirstTokenAlarmMs": "1", "CostAlarmUsd": "1",
         "DeadLetterQueueName": "d", "AlarmTopicArn": "arn:topic"},
        region="eu-central-1",
    )  # fmt: skip
    for name, one in with_topic.resources_of("AWS::CloudWatch::Alarm").items():
        assert with_topic.resolve(one)["AlarmActions"] == ["arn:topic"], name
        assert ALARMS[name].get("AlarmActions", NO_VALUE) is NO_VALUE
