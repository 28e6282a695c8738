"""Events of AWS services behind which no HTTP request stands: queues, streams, schedules, hooks.

Decided here: they are refused, as Mangum refuses what it has no handler for. Given to the application like a direct
invoke's document they would be answered, and an answer is a success for the service that sent them, whatever it says:
a queue would delete its messages. They are known by members that only that service sends; what none of them claims is
a direct invoke. Source: the sample events of https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html.
"""

from __future__ import annotations

from typing import Any

from asgiric.errors import AsgiricError

# A member that tells a service's events, the service, and the members that stand beside it there.
_SENDERS: dict[str, tuple[str, set[str]]] = {
    "detail-type": ("Amazon EventBridge", {"detail", "source"}),
    "awslogs": ("Amazon CloudWatch Logs", set()),
    "deliveryStreamArn": ("Amazon Data Firehose", {"records"}),
    "triggerSource": ("Amazon Cognito", {"userPoolId"}),
    "invocationSchemaVersion": ("Amazon S3 Batch Operations", {"tasks"}),
    "getObjectContext": ("Amazon S3 Object Lambda", {"userRequest"}),
    "sessionState": ("Amazon Lex", {"bot"}),
    "methodArn": ("an API Gateway authorizer", {"type"}),
    "routeArn": ("an API Gateway authorizer", {"type"}),
    "arguments": ("AWS AppSync", {"info", "prev", "stash"}),
    "ResponseURL": ("AWS CloudFormation", {"RequestType", "StackId"}),
    "CodePipeline.job": ("AWS CodePipeline", set()),
    "invokingEvent": ("AWS Config", {"resultToken"}),
    "ClientRequestToken": ("AWS Secrets Manager", {"SecretId", "Step"}),
    "is_base64_encoded": ("Amazon VPC Lattice", {"raw_path"}),
}
# Members of a request context that HTTP does not have.
_CONTEXTS = (("an API Gateway WebSocket", "connectionId"), ("Amazon VPC Lattice", "serviceNetworkArn"))


class UnknownEventSource(AsgiricError):
    """An event behind which no HTTP request stands."""


def sender_of(event: dict[str, Any]) -> str | None:
    """The service that sent an event of this kind; None for what may be an HTTP request or a direct invoke."""
    for holder in (event, *_records(event)):
        for member in (
            "eventSource",
            "EventSource",
        ):  # aws:sqs, aws:s3, aws:kafka; SNS writes it with a capital
            name = holder.get(member)
            if isinstance(name, str) and (name.startswith("aws:") or name == "SelfManagedKafka"):
                return name
    if any("cf" in record for record in _records(event)):
        return "Lambda@Edge"
    context = event.get("requestContext")
    if isinstance(context, dict):
        for sender, member in _CONTEXTS:
            if member in context:
                return sender
    for member, (sender, beside) in _SENDERS.items():
        if member in event and event.keys() >= beside:
            return sender
    return None


def _records(event: dict[str, Any]) -> list[dict[str, Any]]:
    # A service sends records of one kind, so the first one tells.
    records = event.get("Records")
    return [record for record in records[:1] if isinstance(record, dict)] if isinstance(records, list) else []
