"""What the Runtime API's headers, trailers and error bodies say.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace

from .invocation import FunctionError, Invocation

ERROR_TYPE = "lambda-runtime-function-error-type"
ERROR_BODY = "lambda-runtime-function-error-body"


def about(invocation: Invocation) -> dict[str, str]:
    """The headers of /next."""
    optional = {
        "Lambda-Runtime-Client-Context": invocation.client_context,
        "Lambda-Runtime-Aws-Tenant-Id": invocation.tenant_id,
        "Lambda-Runtime-Trace-Id": invocation.trace_id,
    }
    return {
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Invocation-Id": invocation.invocation_id,
        "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
        **{name: value for name, value in optional.items() if value is not None},
    }


def failure(kind: str | None, body: bytes) -> FunctionError:
    """What a runtime says in /error and /init/error: the type in a header, the rest in the body."""
    try:
        given = json.loads(body)
    except ValueError:
        given = {}
    known = given if isinstance(given, dict) else {}
    kind = kind or str(known.get("errorType", "Runtime.Unknown"))
    return FunctionError(kind, str(known.get("errorMessage", "")), body)


def trailing_failure(trailers: Mapping[str, str]) -> FunctionError | None:
    """What trailers say of a failure in the middle of a response; None where they say nothing."""
    if ERROR_TYPE not in trailers:
        return None
    given = trailers.get(ERROR_BODY, "")
    try:
        body = base64.b64decode(given, validate=True)
    except binascii.Error:
        text = f"trailer {ERROR_BODY}: expected base64, got {given[:60]!r}"
        body = json.dumps({"errorMessage": text}).encode()
    return replace(failure(trailers[ERROR_TYPE], body), trailing=True)
