"""Events of every source as whole ASGI scopes."""

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiric.context import LambdaContext
from asgiric.events import UnknownEventSource, read_event
from asgiric.events.response_format import ResponseFormat
from asgiric.runtime_api import Invocation

EVENTS = Path(__file__).parents[2] / "events"
BODY = b'{"prompt": "Write a short post about streams", "schema": "blog_post"}'
CONTEXT = LambdaContext(Invocation(request_id="id", deadline_ms=0, body=b""), {})


def load(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return value


def scope_of(event: Any, state: dict[str, Any] | None = None, direct_path: str = "/") -> dict[str, Any]:
    return read_event(json.dumps(event).encode(), direct_path).scope(CONTEXT, state or {})


def test_a_function_url_event_becomes_this_scope():
    event = load("url_generate")
    request = read_event(json.dumps(event).encode())
    assert (request.response_format, request.streams, request.body) == (
        ResponseFormat.PAYLOAD_2_0,
        True,
        BODY,
    )
    assert request.scope(CONTEXT, {"opened": 1}) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/v1/generations",
        "raw_path": b"/v1/generations",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"accept", b"text/event-stream"),
            (b"content-length", b"69"),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"gzip, deflate, br"),
            (b"host", b"abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws"),
            (b"user-agent", b"curl/8.14.1"),
            (b"x-amzn-tls-cipher-suite", b"TLS_AES_128_GCM_SHA256"),
            (b"x-amzn-tls-version", b"TLSv1.3"),
            (b"x-amzn-trace-id", b"Root=1-6922083f-1c2b3d4e5f60718293a4b5c6"),
            (b"x-forwarded-for", b"198.51.100.24"),
            (b"x-forwarded-port", b"443"),
            (b"x-forwarded-proto", b"https"),
            (b"cookie", b"theme=dark; session=abc123"),
        ],
        "client": ("198.51.100.24", 0),
        "server": ("abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws", 443),
        "state": {"opened": 1},
        "extensions": {},
        "aws.event": event,
        "aws.event_source": "function_url",
        "aws.context": CONTEXT,
    }


def test_a_get_of_a_function_url_has_an_empty_body():
    request = read_event(json.dumps(load("url_get_openapi")).encode())
    assert (request.method, request.path, request.body) == ("GET", "/openapi.json", b"")


def test_a_rest_event_becomes_this_scope_with_its_stage_as_root_path():
    event = load("rest_generate")
    request = read_event(json.dumps(event).encode())
    assert (request.response_format, request.streams, request.body) == (
        ResponseFormat.PAYLOAD_1_0,
        True,
        BODY,
    )
    assert request.scope(CONTEXT, {}) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/prod/v1/generations",
        "raw_path": b"/prod/v1/generations",
        "query_string": b"",
        "root_path": "/prod",
        "headers": [
            (b"accept", b"text/event-stream"),
            (b"accept-encoding", b"gzip, deflate, br"),
            (b"cloudfront-forwarded-proto", b"https"),
            (b"cloudfront-viewer-country", b"DE"),
            (b"content-type", b"application/json"),
            (b"host", b"a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"),
            (b"user-agent", b"curl/8.14.1"),
            (b"via", b"2.0 2e6d1c0b9a8f7e6d5c4b3a29180f7e6d.cloudfront.net (CloudFront)"),
            (b"x-amzn-trace-id", b"Root=1-6922083f-5d4c3b2a190807f6e5d4c3b2"),
            (b"x-forwarded-for", b"198.51.100.24, 64.252.86.145"),
            (b"x-forwarded-port", b"443"),
            (b"x-forwarded-proto", b"https"),
        ],
        "client": ("198.51.100.24", 0),
        "server": ("a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", 443),
        "state": {},
        "extensions": {},
        "aws.event": event,
        "aws.event_source": "rest_api",
        "aws.context": CONTEXT,
    }


def test_a_load_balancer_event_becomes_this_scope():
    event = load("alb_generate")
    request = read_event(json.dumps(event).encode())
    assert (request.response_format, request.streams, request.body) == (ResponseFormat.ALB, False, BODY)
    assert request.scope(CONTEXT, {}) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/v1/generations",
        "raw_path": b"/v1/generations",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"accept", b"application/json"),
            (b"content-length", b"69"),
            (b"content-type", b"application/json"),
            (b"host", b"generate-1234567890.eu-central-1.elb.amazonaws.com"),
            (b"user-agent", b"curl/8.14.1"),
            (b"x-amzn-trace-id", b"Root=1-6922083f-0f1e2d3c4b5a69788796a5b4"),
            (b"x-forwarded-for", b"198.51.100.24"),
            (b"x-forwarded-port", b"443"),
            (b"x-forwarded-proto", b"https"),
        ],
        "client": ("198.51.100.24", 0),
        "server": ("generate-1234567890.eu-central-1.elb.amazonaws.com", 443),
        "state": {},
        "extensions": {},
        "aws.event": event,
        "aws.event_source": "alb",
        "aws.context": CONTEXT,
    }


def test_a_direct_invoke_becomes_a_post_of_the_document_itself():
    document = (EVENTS / "direct_generate.json").read_bytes()
    request = read_event(document, "/v1/generations")
    assert (request.response_format, request.streams, request.body) == (ResponseFormat.DIRECT, True, document)
    assert request.scope(CONTEXT, {}) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/v1/generations",
        "raw_path": b"/v1/generations",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(document)).encode()),
        ],
        "client": None,
        "server": None,
        "state": {},
        "extensions": {},
        "aws.event": json.loads(document),
        "aws.event_source": "direct",
        "aws.context": CONTEXT,
    }


@pytest.mark.parametrize(
    "document", [b"null", b"1", b'"text"', b"[]", b"{}", b'{"version":"2.0"}', b'{"httpMethod":"GET"}']
)
def test_what_no_http_source_sends_is_a_direct_invoke(document: bytes):
    assert read_event(document).response_format is ResponseFormat.DIRECT


@pytest.mark.parametrize("document", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5_000], ids=repr)
def test_what_cannot_be_parsed_is_a_direct_invoke_without_an_event(document: bytes):
    """Only a direct caller can have sent it; what it sent is for the application to refuse."""
    request = read_event(document, "/v1/generations")
    assert (request.event_source, request.event, request.body) == ("direct", None, document)
    assert request.doubt is not None and request.doubt.startswith("expected JSON")


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("url_generate", "rawPath"),
        ("rest_generate", "path"),
        ("alb_generate", "httpMethod"),
    ],
)
def test_an_event_without_what_its_source_always_sends_is_a_direct_callers_and_says_why(
    name: str, member: str
):
    event = load(name)
    del event[member]
    document = json.dumps(event).encode()
    request = read_event(document)
    assert (request.event_source, request.event, request.body) == ("direct", event, document)
    assert request.doubt is not None and member in request.doubt


def test_a_base64_body_is_bytes_and_a_broken_one_is_a_direct_callers():
    event = load("url_generate") | {"body": b64encode(b"\x00\xff\x1f\x8b").decode(), "isBase64Encoded": True}
    assert read_event(json.dumps(event).encode()).body == b"\x00\xff\x1f\x8b"
    broken = read_event(json.dumps(event | {"body": "abc"}).encode())
    assert broken.event_source == "direct" and "base64" in (broken.doubt or "")


RECORDS = {
    "aws:sqs": {"Records": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}]},
    "aws:sns": {"Records": [{"EventVersion": "1.0", "EventSource": "aws:sns", "Sns": {"Message": "{}"}}]},
    "aws:s3": {"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "s3": {"object": {"key": "a"}}}]},
    "aws:kinesis": {"Records": [{"kinesis": {"data": ""}, "eventSource": "aws:kinesis"}]},
    "aws:dynamodb": {"Records": [{"dynamodb": {"Keys": {}}, "eventSource": "aws:dynamodb"}]},
    "aws:ses": {"Records": [{"eventSource": "aws:ses", "ses": {}}]},
    "aws:kafka": {"eventSource": "aws:kafka", "bootstrapServers": "b", "records": {"t-0": []}},
    "SelfManagedKafka": {"eventSource": "SelfManagedKafka", "records": {}},
    "aws:rmq": {"eventSource": "aws:rmq", "rmqMessagesByQueue": {}},
    "Lambda@Edge": {"Records": [{"cf": {"request": {"method": "GET", "uri": "/"}}}]},
    "Amazon EventBridge": {
        "version": "0",
        "source": "aws.events",
        "detail-type": "Scheduled Event",
        "detail": {},
    },
    "Amazon CloudWatch Logs": {"awslogs": {"data": "H4sIAAAAAAAA"}},
    "Amazon Data Firehose": {"invocationId": "1", "deliveryStreamArn": "arn:aws:firehose:x", "records": []},
    "Amazon Cognito": {"version": "1", "triggerSource": "PreSignUp_SignUp", "userPoolId": "p", "request": {}},
    "an API Gateway WebSocket": {
        "requestContext": {"routeKey": "$default", "connectionId": "a=", "eventType": "MESSAGE"},
        "body": "{}",
    },
    "Amazon VPC Lattice": {
        "version": "2.0",
        "path": "/",
        "requestContext": {"serviceNetworkArn": "arn:aws:x"},
    },
    "an API Gateway authorizer": {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:x",
        "requestContext": {"http": {"method": "GET", "path": "/"}, "domainName": "a.example"},
        "rawPath": "/",
    },
}


@pytest.mark.parametrize("sender", RECORDS)
def test_an_event_behind_which_no_http_request_stands_is_refused_by_its_senders_name(sender: str):
    with pytest.raises(
        UnknownEventSource, match=rf"expected an event of .*, got one of {re.escape(sender)}$"
    ):
        read_event(json.dumps(RECORDS[sender]).encode())


@pytest.mark.parametrize(
    "event",
    [
        {"prompt": "x", "requestContext": "mine"},
        {"prompt": "x", "requestContext": {"mine": 1}},
        {"Records": []},
        {"Records": ["a"]},
        {"Records": [{"eventSource": "mine"}]},
        {"source": "a caller", "detail": {}},
        {"eventSource": 5},
    ],
)
def test_a_direct_callers_members_may_have_the_names_that_services_use(event: dict[str, Any]):
    request = read_event(json.dumps(event).encode())
    assert (request.event_source, request.event, request.doubt) == ("direct", event, None)


@pytest.mark.parametrize(
    "host", ["a:", "a:" + "9" * 5_000, "a:99999", "a:\u0661", ":" * 100, "a:-1", "\ud800:1", "a" * 1_000_000]
)
def test_a_crafted_host_gives_a_scope(host: str):
    event = load("url_generate")
    event["headers"]["host"] = host
    server = scope_of(event)["server"]
    assert server is None or 0 < server[1] <= 65_535


def test_paths_are_decoded_and_the_raw_path_and_query_are_not():
    scope = scope_of(load("url_generate") | {"rawPath": "/a%20b/%C3%A4", "rawQueryString": "x=1&x=2&y=%26"})
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/a b/ä",
        b"/a%20b/%C3%A4",
        b"x=1&x=2&y=%26",
    )


@pytest.mark.parametrize("domain", ["a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "api.example.com"])
@pytest.mark.parametrize("route", ["$default", "POST /v1/generations"])
def test_an_http_api_sends_a_function_urls_event_from_any_domain_and_cannot_stream(domain: str, route: str):
    event = load("url_generate") | {"routeKey": route}
    event["requestContext"] |= {"domainName": domain, "routeKey": route}
    request = read_event(json.dumps(event).encode())
    assert (request.event_source, request.streams) == ("http_api", False)
    assert request.response_format is ResponseFormat.PAYLOAD_2_0


def test_an_http_apis_stage_is_its_root_path():
    event = load("url_generate")
    event["requestContext"] |= {"domainName": "api.example.com", "stage": "dev"}
    request = read_event(json.dumps(event | {"rawPath": "/dev/v1/generations"}).encode())
    assert (request.root_path, request.path) == ("/dev", "/dev/v1/generations")


def test_an_http_api_that_was_set_to_payload_1_0_is_told_from_a_rest_api_and_cannot_stream():
    request = read_event(json.dumps(load("rest_generate") | {"version": "1.0"}).encode())
    assert (request.event_source, request.streams) == ("http_api", False)
    assert request.response_format is ResponseFormat.PAYLOAD_1_0


def test_a_rest_query_is_encoded_again_with_repeated_names_apart():
    event = load("rest_generate")
    event["queryStringParameters"] = {"tag": "b&c", "q": "ä"}
    event["multiValueQueryStringParameters"] = {"tag": ["a", "b&c"], "q": ["ä"]}
    assert scope_of(event)["query_string"] == b"tag=a&tag=b%26c&q=%C3%A4"
    event["multiValueQueryStringParameters"] = None
    assert scope_of(event)["query_string"] == b"tag=b%26c&q=%C3%A4"


def test_repeated_rest_headers_stay_apart():
    event = load("rest_generate")
    event["multiValueHeaders"]["Accept"] = ["text/event-stream", "application/json"]
    headers = scope_of(event)["headers"]
    assert [value for name, value in headers if name == b"accept"] == [
        b"text/event-stream",
        b"application/json",
    ]
    del event["multiValueHeaders"]
    assert (b"accept", b"text/event-stream") in scope_of(event)["headers"]


@pytest.mark.parametrize(
    ("resource", "parameters", "path", "asked", "root_path"),
    [
        ("/v1/generations", None, "/v1/generations", "/prod/v1/generations", "/prod"),
        ("/{proxy+}", {"proxy": "v1/generations"}, "/v1/generations", "/prod/v1/generations", "/prod"),
        # a custom domain: `path` holds its base path, the route does not
        ("/{proxy+}", {"proxy": "v1/generations"}, "/llm/v1/generations", "/llm/v1/generations", "/llm"),
        ("/v1/{id}", {"id": "a"}, "/llm/v1/a", "/llm/v1/a", "/llm"),
        ("/v1/generations", None, "/v1/generations", "/v1/generations", ""),
        ("/", None, "/", "/prod/", "/prod"),
        ("/", None, "/", "/prod", "/prod"),
        ("/{proxy+}", {"proxy": "a b"}, "/a%20b", "/prod/a%20b", "/prod"),
        # `sam local start-api` gives the route as the path asked for
        ("/{proxy+}", {"proxy": "v1/generations"}, "/v1/generations", "/{proxy+}", ""),
    ],
)
def test_stage_and_base_path_are_found_by_the_route(
    resource: str, parameters: dict[str, str] | None, path: str, asked: str, root_path: str
):
    event = load("rest_generate") | {"resource": resource, "pathParameters": parameters, "path": path}
    event["requestContext"]["path"] = asked
    scope = scope_of(event)
    assert scope["root_path"] == root_path
    assert scope["path"].startswith(root_path)


def test_a_load_balancers_query_is_put_together_as_it_came():
    event = load("alb_generate") | {"queryStringParameters": {"q": "a%20b", "r": "%C3%A4"}}
    assert scope_of(event)["query_string"] == b"q=a%20b&r=%C3%A4"


def test_a_load_balancer_with_multi_value_headers_is_answered_in_kind():
    event = load("alb_generate")
    event["multiValueHeaders"] = {name: [value] for name, value in event.pop("headers").items()}
    event["multiValueHeaders"]["x-forwarded-for"] = ["203.0.113.9, 198.51.100.24"]
    event["multiValueQueryStringParameters"] = {"tag": ["a", "b"]}
    del event["queryStringParameters"]
    request = read_event(json.dumps(event).encode())
    assert (request.response_format, request.query_string) == (ResponseFormat.ALB_MULTI_VALUE, b"tag=a&tag=b")
    assert request.source_ip == "198.51.100.24", (
        "what stands before the last address is the caller's own claim"
    )


def test_lone_surrogates_in_an_event_do_not_break_it():
    scope = scope_of(load("url_generate") | {"headers": {"x-odd": "\ud800"}, "cookies": ["\ud800"]})
    assert scope["headers"] == [(b"x-odd", b"?"), (b"cookie", b"?")]


def test_the_lifespan_state_is_copied_for_each_request():
    state = {"shared": []}
    scope = scope_of(load("url_generate"), state)
    scope["state"]["mine"] = 1
    assert scope["state"]["shared"] is state["shared"] and "mine" not in state


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all members of an event."""
    if not isinstance(value, dict):
        return [path]
    return [path, *(place for name, inner in value.items() for place in places(inner, (*path, name)))]


@given(
    st.sampled_from(["url_generate", "rest_generate", "alb_generate"]),
    st.lists(st.tuples(st.integers(0, 200), JSON | st.just("remove")), max_size=3),
)
def test_an_event_damaged_anywhere_gives_a_scope(name: str, damages: list[tuple[int, Any]]):
    event = load(name)
    for place, value in damages:
        *path, last = (known := places(event)[1:])[place % len(known)]
        holder = event
        for step in path:
            holder = holder[step]
        if value == "remove":
            del holder[last]
        else:
            holder[last] = value
        if not isinstance(event, dict) or not event:
            break
    scope = read_event(json.dumps(event).encode()).scope(CONTEXT, {})
    assert isinstance(scope["method"], str) and isinstance(scope["path"], str)
    assert all(isinstance(part, bytes) for header in scope["headers"] for part in header)
    assert isinstance(scope["query_string"], bytes)
