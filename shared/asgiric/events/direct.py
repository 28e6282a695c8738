"""Direct invokes: any JSON document, from InvokeWithResponseStream, Invoke or `sam local invoke`.

Decided here: the document is the body of a POST, byte for byte as the caller sent it, and what goes back is the
response's body alone, raw and streamed: there is nobody who would read a status or headers. `aws.event` is None where
the document cannot be parsed.
"""

from __future__ import annotations

from typing import Any

from asgiric.events.request import Request, to_bytes
from asgiric.events.response_format import ResponseFormat


def read(event: Any, document: bytes, path: str, doubt: str | None = None) -> Request:
    """The request of a direct invoke; `doubt` says why it may have been meant as something else."""
    return Request(
        event=event,
        event_source="direct",
        response_format=ResponseFormat.DIRECT,
        streams=True,
        method="POST",
        path=path,
        raw_path=to_bytes(path),
        query_string=b"",
        headers=[
            (b"content-type", b"application/json"),
            (b"content-length", str(len(document)).encode()),
        ],
        body=document,
        doubt=doubt,
    )
