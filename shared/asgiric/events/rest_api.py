"""REST APIs, and HTTP APIs that were set to it: payload format 1.0.

Decided here: `path` is the path the caller asked for, with stage or base path, and `root_path` is what
stands before the API's own resource: the route in the event tells which part that is, so neither a stage
nor a custom domain's base path needs a setting. API Gateway has decoded the query; it is encoded again. An
API that streams and one that buffers send the same event: streaming is assumed, a setting says otherwise. An HTTP API,
which cannot stream, says its version beside the REST API's members. Source:
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html.
"""

from __future__ import annotations

from typing import Any

from asgiric.events.request import Request, read_body, read_headers, read_query, text, to_bytes, unquote
from asgiric.events.response_format import ResponseFormat


def recognises(event: dict[str, Any]) -> bool:
    return "httpMethod" in event and "resource" in event


def read(event: dict[str, Any]) -> Request:
    """The request of a 1.0 event. Raises KeyError where an obligatory member is missing."""
    context = event["requestContext"]
    is_http_api = event.get("version") == "1.0"
    asked = text(context.get("path") or event["path"] or "/")
    if asked == event["resource"] and "{" in asked:
        # `sam local start-api` gives the route itself, /{proxy+}, as the path asked for.
        asked = text(event["path"]) or "/"
    query = read_query(event)
    query_string = ""
    if query:
        from urllib.parse import urlencode  # 4 ms of import that requests without a query never need

        query_string = urlencode(query, errors="replace")  # lone surrogates, which JSON can hold
    return Request(
        event=event,
        event_source="http_api" if is_http_api else "rest_api",
        response_format=ResponseFormat.PAYLOAD_1_0,
        streams=not is_http_api,
        method=text(event["httpMethod"]),
        path=unquote(asked),
        raw_path=to_bytes(asked),
        query_string=query_string.encode(),
        headers=read_headers(event),
        body=read_body(event),
        root_path=_root_path(asked, event, context),
        source_ip=(context.get("identity") or {}).get("sourceIp"),
    )


def _root_path(asked: str, event: dict[str, Any], context: dict[str, Any]) -> str:
    route = event["resource"]
    for name, value in (event.get("pathParameters") or {}).items():
        route = route.replace(f"{{{name}+}}", value).replace(f"{{{name}}}", value)
    for own_path in (route, unquote(route), event["path"]):
        if own_path and own_path != "/" and unquote(asked).endswith(own_path):
            return unquote(asked)[: -len(own_path)]
    stage = f"/{context.get('stage')}"
    return stage if f"{asked}/".startswith(f"{stage}/") else ""
