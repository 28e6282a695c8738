"""CloudWatch's alarms, as far as the template says them: metrics read off log lines, and the state that follows.

Functions write their metrics as lines of the embedded metric format; what Lambda and SQS count themselves is given as
samples. An alarm looks at its last periods, and rings when each of them breaches. Where a period has no data,
TreatMissingData decides. Metric math is read by Python's own grammar, of which these expressions are a part.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Dimensions = frozenset[tuple[str, str]]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_ARITHMETIC: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric, at a time in milliseconds since 1970."""

    namespace: str
    name: str
    dimensions: Dimensions
    at_ms: float
    value: float


class AlarmError(Exception):
    """An alarm says what is not known here; names it."""


def samples_of(line: Mapping[str, Any]) -> Iterator[Sample]:
    """The samples that CloudWatch reads off a log line; none from a line without `_aws`."""
    described = line.get("_aws", {})
    for directive in described.get("CloudWatchMetrics", ()):
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, str(line[name])) for name in names)
            for metric in directive["Metrics"]:
                values = line[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield Sample(
                        directive["Namespace"], metric["Name"], dimensions, described["Timestamp"], value
                    )


def state(alarm: Mapping[str, Any], samples: Sequence[Sample], now_ms: float) -> str:
    """OK, ALARM or INSUFFICIENT_DATA: what the alarm (its properties, resolved) says at a time.

    Raises:
        AlarmError: it uses what is not known here.
    """
    queries = {one["Id"]: one for one in alarm.get("Metrics", ())}
    periods = [one["MetricStat"]["Period"] for one in queries.values() if "MetricStat" in one]
    period_ms = 1000 * float(alarm.get("Period") or periods[0])
    breaches = []
    for number in range(int(alarm["EvaluationPeriods"])):
        end = now_ms - number * period_ms
        inside = [one for one in samples if end - period_ms < one.at_ms <= end]
        if queries:
            [wanted] = [one for one in queries.values() if one.get("ReturnData", True)]
            found = _value(wanted, queries, inside)
        else:
            statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
            found = _statistic(statistic, alarm, inside)
        breaches.append(_breaches(alarm, found))
    if all(breaches):
        return "ALARM"
    return "INSUFFICIENT_DATA" if None in breaches else "OK"


def _breaches(alarm: Mapping[str, Any], value: float | None) -> bool | None:
    if value is None:
        treated = alarm.get("TreatMissingData", "missing")
        return {"breaching": True, "notBreaching": False}.get(treated)
    return _COMPARISONS[alarm["ComparisonOperator"]](value, float(alarm["Threshold"]))


def _statistic(statistic: str, metric: Mapping[str, Any], samples: Iterable[Sample]) -> float | None:
    dimensions = frozenset((one["Name"], one["Value"]) for one in metric.get("Dimensions", ()))
    wanted = (metric["Namespace"], metric["MetricName"], dimensions)
    values = sorted(one.value for one in samples if (one.namespace, one.name, one.dimensions) == wanted)
    if not values:
        return None
    if statistic.startswith("p"):
        return values[math.ceil(float(statistic[1:]) / 100 * len(values)) - 1]
    match statistic:
        case "Sum":
            return math.fsum(values)
        case "SampleCount":
            return float(len(values))
        case "Minimum":
            return values[0]
        case "Maximum":
            return values[-1]
    raise AlarmError(f"statistic: expected one known here, got {statistic}")


def _value(
    query: Mapping[str, Any], queries: Mapping[str, Mapping[str, Any]], samples: Iterable[Sample]
) -> float | None:
    if "MetricStat" in query:
        return _statistic(query["MetricStat"]["Stat"], query["MetricStat"]["Metric"], samples)

    def of(node: ast.AST) -> float | None:
        match node:
            case ast.Expression(body):
                return of(body)
            case ast.Constant(int() | float() as number):
                return float(number)
            case ast.Name(name):
                return _value(queries[name], queries, samples)
            case ast.BinOp(left, operation, right):
                return _arithmetic(operation, of(left), of(right))
            case ast.Compare(left, [operation], [right]):
                return _arithmetic(operation, of(left), of(right))
            case ast.Call(ast.Name("FILL"), [series, filler]):
                found = of(series)
                return of(filler) if found is None else found
            case ast.Call(ast.Name("IF"), [condition, then, otherwise]):
                holds = of(condition)
                return None if holds is None else of(then if holds else otherwise)
        raise AlarmError(f"expression: expected what is known here, got {ast.unparse(node)}")

    return of(ast.parse(query["Expression"], mode="eval"))


def _arithmetic(operation: ast.AST, left: float | None, right: float | None) -> float | None:
    # Where one side has no data, the result has none; nor has a division by zero.
    if left is None or right is None or (isinstance(operation, ast.Div) and right == 0):
        return None
    return float(_ARITHMETIC[type(operation)](left, right))
