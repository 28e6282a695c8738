"""Direct invokes: any JSON document, from InvokeWithResponseStream, Invoke or `sam local invoke`.

Decided here: the document is the body of a POST, byte for byte as the caller sent it, and the answer is the
response's body alone, raw and streamed: there is nobody who would read a status or headers.
"""

from __future__ import annotations

from typing import Any

from asgiric.events.replies import Shape
from asgiric.events.request import Request, to_bytes


def read(event: Any, document: bytes, path: str) -> Request:
    """The request of a direct invoke."""
    return Request(
        event=event,
        shape=Shape.DIRECT,
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
    )
