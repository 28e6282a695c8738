"""How a failure is told to Lambda: an object in the body, a category in a header.

Decided here: the object is the one every managed runtime posts, `errorMessage`, `errorType`, `stackTrace`;
the category is `Runtime.Reason` or `Function.Reason`, which is what Lambda accepts and shows in its report
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). Frames of this package and of the import
system are left out of the trace: the reader wants his own code.
"""

from __future__ import annotations

import importlib
import json
import traceback
from binascii import b2a_base64
from os.path import dirname
from typing import Any, NamedTuple

_OWN_FRAMES = (dirname(__file__), dirname(importlib.__file__), "<frozen ")
# Rendering of a deep recursion would take longer than the margin that is left.
_MAX_FRAMES = 100

ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"


class Failure(NamedTuple):
    """A failure as Lambda is told about it; `category` is the header's value."""

    error_type: str
    message: str
    category: str
    stack_trace: tuple[str, ...] = ()

    @classmethod
    def of_runtime(cls, reason: str, message: str) -> Failure:
        """A failure that this runtime found, with `Runtime.reason` as type and category."""
        return cls(f"Runtime.{reason}", message, f"Runtime.{reason}")

    @classmethod
    def of_function(cls, reason: str, message: str) -> Failure:
        """The application's failure to behave, with `Function.reason` as type and category."""
        return cls(f"Function.{reason}", message, f"Function.{reason}")

    @classmethod
    def of_exception(cls, error: BaseException, *, category: str | None = None) -> Failure:
        """The application's exception, with its trace from the first frame that is its own."""
        name = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__, limit=-_MAX_FRAMES)
        while frames and frames[0].filename.startswith(_OWN_FRAMES):
            del frames[0]
        return cls(
            error_type=name,
            message=str(error),
            category=category
            or "Function." + "".join(filter(str.isalpha, name.encode("ascii", "ignore").decode())),
            stack_trace=tuple(traceback.format_list(frames)),
        )

    def as_json(self) -> dict[str, Any]:
        """The object that Lambda shows to a caller of an invocation that failed."""
        return {
            "errorMessage": self.message,
            "errorType": self.error_type,
            "stackTrace": list(self.stack_trace),
        }

    def encode(self) -> bytes:
        return json.dumps(self.as_json()).encode()

    def trailers(self) -> list[tuple[str, str]]:
        """The trailer fields that end a response which had begun."""
        return [(ERROR_TYPE, self.category), (ERROR_BODY, b2a_base64(self.encode(), newline=False).decode())]
