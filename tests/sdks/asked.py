"""What every SDK is asked to do, and how it says what came of it; run by each SDK's own interpreter, so no library here.

An example for its users in each file: nothing but the address and the key is ours.
"""

import json
import os
from collections.abc import Callable
from typing import Any

BASE_URL = os.environ["SDK_BASE_URL"]
KEY, POOR_KEY = os.environ["SDK_KEY"], os.environ["SDK_POOR_KEY"]
MODEL, ONCE_INVALID, REFUSING, CUT = "fast", "once-invalid", "refusing", "cut"
WRONG_KEY = "sk-of-somebody-else"


def prompt(case: str) -> str:
    """A question that no other SDK asks: the simulator remembers whom it has answered."""
    return f"Write a recipe, {os.environ['SDK_NAME']} {case}."


def failure(error: BaseException) -> dict[str, Any]:
    """An SDK's exception, as a program that catches it sees it; of one that wraps another, what is in it."""
    while getattr(error, "status_code", None) is None and error.__cause__ is not None:
        error = error.__cause__
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "param": getattr(error, "param", None),
    }


def caught(call: Callable[[], Any]) -> dict[str, Any]:
    """The exception that a call raises."""
    try:
        call()
    except Exception as error:
        return failure(error)
    return {"class": "nothing was raised"}


def report(**cases: Any) -> None:
    """Say what came of each case."""
    print(json.dumps(cases))
