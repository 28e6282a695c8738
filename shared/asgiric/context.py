"""The invocation's context: the object that Lambda handlers get as their second argument.

Decided here: names are those of awslambdaric (https://docs.aws.amazon.com/lambda/latest/dg/python-context.html),
so that Powertools and the like work; `trace_id`, `deadline_ms` and `cancelled_by` are added. The deadline
is Lambda's wall-clock instant, never a timer: a freeze between two readings does not move it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgiric.runtime_api import Invocation


class CognitoIdentity(NamedTuple):
    """Who invoked through Cognito; both None when nobody did."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


class Client(NamedTuple):
    """The mobile SDK's description of its application."""

    installation_id: str | None = None
    app_title: str | None = None
    app_version_name: str | None = None
    app_version_code: str | None = None
    app_package_name: str | None = None


class ClientContext(NamedTuple):
    """What a direct caller passed as `ClientContext`."""

    custom: Any = None
    env: Any = None
    client: Client | None = None


class LambdaContext:
    """One invocation's context, in the ASGI scope as `aws.context`."""

    def __init__(
        self, invocation: Invocation, environ: Mapping[str, str], clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` gives seconds since the epoch. What a caller wrote as context and is no JSON object is None."""
        self.aws_request_id = invocation.request_id
        self.invoked_function_arn = invocation.function_arn
        self.tenant_id = invocation.tenant_id
        self.trace_id = invocation.trace_id
        self.deadline_ms = invocation.deadline_ms
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        # Both absent under SnapStart, where one snapshot serves many streams.
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.client_context = _client_context(_object(invocation.client_context))
        identity = _object(invocation.cognito_identity) or {}
        self.identity = CognitoIdentity(
            identity.get("cognitoIdentityId"), identity.get("cognitoIdentityPoolId")
        )
        # Why the application's task was cancelled, set before it is; None while it runs or when it ended by itself.
        self.cancelled_by: Literal["deadline", "shutdown"] | None = None
        self._clock = clock

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda kills the process, at least 0."""
        return max(0, self.deadline_ms - int(self._clock() * 1000))

    def __repr__(self) -> str:
        return f"LambdaContext(aws_request_id={self.aws_request_id!r}, deadline_ms={self.deadline_ms})"


def _object(header: str | None) -> dict[str, Any] | None:
    if not header:
        return None
    # A direct caller writes it; whatever it is, it must not cost the invocation.
    try:
        value = json.loads(header)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _client_context(value: dict[str, Any] | None) -> ClientContext | None:
    if value is None:
        return None
    client = value.get("client")
    return ClientContext(
        custom=value.get("custom"),
        env=value.get("env"),
        client=Client(*(client.get(name) for name in Client._fields)) if isinstance(client, dict) else None,
    )
