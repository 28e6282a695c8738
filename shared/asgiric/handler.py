"""From the handler string to the application.

Decided here: `module.attribute`, slashes allowed in the module, as in the managed runtimes, and their names
for what can go wrong (awslambdaric, bootstrap.py). What cannot be called as an ASGI application is called is an
error of INIT, not of each request: a `handler(event, context)` belongs to the managed runtime.
"""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from asgiric.errors import AsgiricError
from asgiric.failure import Failure

if TYPE_CHECKING:
    from asgiric.asgi import Application


class InitError(AsgiricError):
    """The application cannot be served; `failure` is what Lambda is told."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def load_application(handler: str) -> Application:
    """Import the ASGI application that `_HANDLER` names. Raises InitError whatever goes wrong."""
    module_name, dot, attribute = handler.replace("/", ".").rpartition(".")
    if not dot or not module_name:
        raise InitError(
            Failure.of_runtime(
                "MalformedHandlerName", f"expected module.attribute as handler, got {handler!r}"
            )
        )
    if module_name.partition(".")[0] in sys.builtin_module_names:
        raise InitError(
            Failure.of_runtime(
                "BuiltInModuleConflict", f"cannot use built-in module {module_name} as a handler"
            )
        )
    try:
        application: Any = getattr(import_module(module_name), attribute, None)
    except ImportError as error:
        raise InitError(
            Failure.of_exception(error)._replace(
                error_type="Runtime.ImportModuleError",
                message=f"Unable to import module '{module_name}': {error}",
                category="Runtime.ImportModuleError",
            )
        ) from error
    except SyntaxError as error:
        raise InitError(
            Failure.of_exception(error)._replace(
                error_type="Runtime.UserCodeSyntaxError",
                message=f"Syntax error in module '{module_name}': {error}",
                category="Runtime.UserCodeSyntaxError",
                stack_trace=(f'  File "{error.filename}" Line {error.lineno}\n    {error.text}',),
            )
        ) from error
    except Exception as error:
        raise InitError(Failure.of_exception(error)) from error
    if not callable(application):
        raise InitError(
            Failure.of_runtime(
                "HandlerNotFound",
                f"expected a callable '{attribute}' in module '{module_name}', got {application!r:.80}",
            )
        )
    if problem := _unlike_asgi(application):
        raise InitError(not_asgi(handler, problem))
    return application  # type: ignore[no-any-return]  # found to be ASGI just above


def not_asgi(handler: str, got: str) -> Failure:
    """The failure of a handler that is no ASGI application."""
    return Failure.of_runtime(
        "HandlerNotAsgi",
        f"handler {handler}: expected an ASGI application, a coroutine function of (scope, receive, send), got {got}",
    )


def _unlike_asgi(application: Any) -> str | None:
    """What a handler is instead of an ASGI application, as far as its signature tells; None if it may be one."""
    try:
        takes = signature(application)
    except (ValueError, TypeError):  # some callables of extension modules tell nothing
        return None
    try:
        takes.bind(None, None, None)
    except TypeError:
        return f"{type(application).__name__} {getattr(application, '__qualname__', '')}{takes}"
    return None
