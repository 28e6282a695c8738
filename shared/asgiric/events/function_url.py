"""Function URLs and HTTP APIs: payload format 2.0.

Decided here: the two send the same event, but an HTTP API cannot stream, so it gets a buffered response. A
function URL is known by its domain, which cannot be another one: an HTTP API may stand at any domain, with the
route `$default`, too. Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads.
"""

from __future__ import annotations

from typing import Any

from asgiric.events.request import Request, read_body, read_headers, text, to_bytes, unquote
from asgiric.events.response_format import ResponseFormat


def recognises(event: dict[str, Any]) -> bool:
    return event.get("version") == "2.0" and "http" in event["requestContext"]


def read(event: dict[str, Any]) -> Request:
    """The request of a 2.0 event. Raises KeyError where an obligatory member is missing."""
    context = event["requestContext"]
    raw_path = text(event["rawPath"]) or "/"
    headers = read_headers(event)
    if event.get("cookies"):
        headers = [header for header in headers if header[0] != b"cookie"]
        headers.append((b"cookie", "; ".join(event["cookies"]).encode("utf-8", "replace")))
    stage = context.get("stage") or "$default"
    is_function_url = ".lambda-url." in context["domainName"]
    return Request(
        event=event,
        event_source="function_url" if is_function_url else "http_api",
        response_format=ResponseFormat.PAYLOAD_2_0,
        streams=is_function_url,
        method=text(context["http"]["method"]),
        path=unquote(raw_path),
        raw_path=to_bytes(raw_path),
        query_string=to_bytes(event.get("rawQueryString") or ""),
        headers=headers,
        body=read_body(event),
        root_path=f"/{stage}" if f"{raw_path}/".startswith(f"/{stage}/") else "",
        source_ip=context["http"].get("sourceIp"),
    )
