"""An AWS Lambda runtime client that streams: `python -m asgiric` drives any ASGI application.

Nothing is imported here, so that importing a part costs only that part; the README lists the parts.
"""

__version__ = "0.1.0"
