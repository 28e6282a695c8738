"""Application Load Balancers, with single-value or multi-value headers (a setting of the target group).

Decided here: the response is buffered, since a load balancer cannot stream from Lambda, and uses the form of
headers that the event used. The balancer does not decode the query, so it is put together as it came. Source:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html.
"""

from __future__ import annotations

from typing import Any

from asgiric.events.request import Request, read_body, read_headers, read_query, text, to_bytes, unquote
from asgiric.events.response_format import ResponseFormat


def recognises(event: dict[str, Any]) -> bool:
    return "elb" in event["requestContext"]


def read(event: dict[str, Any]) -> Request:
    """The request of a load balancer's event. Raises KeyError where an obligatory member is missing."""
    headers = read_headers(event)
    raw_path = text(event["path"]) or "/"
    # The last hop in the list is the one the balancer saw; the rest is the caller's own claim.
    forwarded_for = dict(headers).get(b"x-forwarded-for", b"").decode("latin-1")
    return Request(
        event=event,
        event_source="alb",
        response_format=ResponseFormat.ALB_MULTI_VALUE
        if "multiValueHeaders" in event
        else ResponseFormat.ALB,
        streams=False,
        method=text(event["httpMethod"]),
        path=unquote(raw_path),
        raw_path=to_bytes(raw_path),
        query_string=to_bytes("&".join(f"{name}={value}" for name, value in read_query(event))),
        headers=headers,
        body=read_body(event),
        source_ip=forwarded_for.rpartition(",")[2].strip() or None,
    )
