"""The one tree of errors; its branches say whose fault it is, and its leaves stand beside the code that raises them.

    AsgiricError
    ├── SettingsError         the environment says what cannot be meant (settings.py)
    ├── InitError             the application cannot be served (handler.py)
    ├── UnknownEventSource    an event behind which no HTTP request stands (events/not_http.py)
    ├── ApplicationError      the application broke a rule of ASGI or of Lambda
    │   ├── UnexpectedMessage     a message out of order (asgi.py)
    │   ├── ResponseTooLarge      more than a buffered response holds; an OSError, too (response_writer.py)
    │   └── StuckApplication      a task that ignored its cancellation (invocation_runner.py)
    └── PeerError             the Runtime API did not do what was due
        ├── RuntimeApiError       it cannot be talked to any more: the process ends (runtime_api.py)
        ├── ConnectionLost        it takes no more of this response; an OSError, as ASGI asks (connection.py)
        └── ProtocolError         its bytes are not the HTTP answer that was due (wire.py)

A message says what was expected, what came and where.
"""


class AsgiricError(Exception):
    """Any error of this package."""


class ApplicationError(AsgiricError):
    """The application broke a rule of ASGI or of Lambda."""


class PeerError(AsgiricError):
    """The Runtime API did not do what was due."""
