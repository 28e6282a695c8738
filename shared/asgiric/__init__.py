"""An AWS Lambda runtime client that streams: `python -m asgiric` drives any ASGI application.

Nothing is imported here until it is asked for, so that importing a part costs only that part.
"""

TYPE_CHECKING = False  # typing's, without its import
if TYPE_CHECKING:
    from asgiric.context import LambdaContext
    from asgiric.errors import AsgiricError
    from asgiric.runtime import main

__version__ = "0.1.0"
__all__ = ["AsgiricError", "LambdaContext", "__version__", "main"]

_HOMES = {"AsgiricError": "errors", "LambdaContext": "context", "main": "runtime"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"asgiric.{_HOMES[name]}"), name)
