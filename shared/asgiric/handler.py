"""From the handler string to the application.

Decided here: `module.attribute`, slashes allowed in the module, as in the managed runtimes, and their names
for what can go wrong (awslambdaric, bootstrap.py).
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from asgiric.failure import Failure

if TYPE_CHECKING:
    from asgiric.asgi import Application


class InitError(Exception):
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
        application: Application | None = getattr(import_module(module_name), attribute, None)
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
                "HandlerNotFound", f"expected a callable '{attribute}' in module '{module_name}'"
            )
        )
    return application
