"""Events of every source as whole ASGI scopes."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiric.context import LambdaContext
from asgiric.events import BadEvent, read_event
from asgiric.events.replies import Shape
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
    assert (request.shape, request.streams, request.body) == (Shape.PAYLOAD_2_0, True, BODY)
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
        "aws.context": CONTEXT,
    }


def test_a_get_of_a_function_url_has_an_empty_body():
    request = read_event(json.dumps(load("url_get_openapi")).encode())
    assert (request.method, request.path, request.body) == ("GET", "/openapi.json", b"")


def test_a_rest_event_becomes_this_scope_with_its_stage_as_root_path():
    event = load("rest_generate")
    request = read_event(json.dumps(event).encode())
    assert (request.shape, request.streams, request.body) == (Shape.PAYLOAD_1_0, True, BODY)
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
        "aws.context": CONTEXT,
    }


def test_a_load_balancer_event_becomes_this_scope():
    event = load("alb_generate")
    request = read_event(json.dumps(event).encode())
    assert (request.shape, request.streams, request.body) == (Shape.ALB, False, BODY)
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
        "aws.context": CONTEXT,
    }


def test_a_direct_invoke_becomes_a_post_of_the_document_itself():
    document = (EVENTS / "direct_generate.json").read_bytes()
    request = read_event(document, "/v1/generations")
    assert (request.shape, request.streams, request.body) == (Shape.DIRECT, True, document)
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
        "aws.context": CONTEXT,
    }


@pytest.mark.parametrize(
    "document", [b"null", b"1", b'"text"', b"[]", b"{}", b'{"version":"2.0"}', b'{"httpMethod":"GET"}']
)
def test_what_no_http_source_sends_is_a_direct_invoke(document: bytes):
    assert read_event(document).shape is Shape.DIRECT


@pytest.mark.parametrize("document", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_a_bad_event(document: bytes):
    with pytest.raises(BadEvent, match="expected the event to be JSON"):
        read_event(document)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("url_generate", "rawPath"),
        ("rest_generate", "path"),
        ("alb_generate", "httpMethod"),
    ],
)
def test_an_event_without_what_its_source_always_sends_is_named(name: str, member: str):
    event = load(name)
    del event[member]
    with pytest.raises(BadEvent, match=member):
        read_event(json.dumps(event).encode())


def test_a_base64_body_is_bytes_and_a_broken_one_is_a_bad_event():
    event = load("url_generate") | {"body": b64encode(b"\x00\xff\x1f\x8b").decode(), "isBase64Encoded": True}
    assert read_event(json.dumps(event).encode()).body == b"\x00\xff\x1f\x8b"
    with pytest.raises(BadEvent, match="base64"):
        read_event(json.dumps(event | {"body": "abc"}).encode())


def test_paths_are_decoded_and_the_raw_path_and_query_are_not():
    scope = scope_of(load("url_generate") | {"rawPath": "/a%20b/%C3%A4", "rawQueryString": "x=1&x=2&y=%26"})
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/a b/ä",
        b"/a%20b/%C3%A4",
        b"x=1&x=2&y=%26",
    )


def test_an_http_api_sends_the_same_event_but_cannot_stream():
    event = load("url_generate")
    event["requestContext"] |= {
        "domainName": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
        "stage": "dev",
    }
    request = read_event(json.dumps(event | {"rawPath": "/dev/v1/generations"}).encode())
    assert (request.streams, request.root_path, request.path) == (False, "/dev", "/dev/v1/generations")
    assert not read_event(
        json.dumps(load("url_generate") | {"routeKey": "POST /v1/generations"}).encode()
    ).streams


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
    assert (request.shape, request.query_string) == (Shape.ALB_MULTI_VALUE, b"tag=a&tag=b")
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
def test_an_event_damaged_anywhere_gives_a_scope_or_a_bad_event(name: str, damages: list[tuple[int, Any]]):
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
    try:
        scope = read_event(json.dumps(event).encode()).scope(CONTEXT, {})
    except BadEvent:
        return
    assert isinstance(scope["method"], str) and isinstance(scope["path"], str)
    assert all(isinstance(part, bytes) for header in scope["headers"] for part in header)
    assert isinstance(scope["query_string"], bytes)
