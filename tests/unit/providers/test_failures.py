"""One classifier of errors: every shape in which providers and proxies say one, what it means, how long to wait."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.outcomes import Outcome
from weir.providers.failed import Failed
from weir.providers.failures import MAX_MESSAGE, NO_MESSAGE, classify, read_failure


def failure(status: int, body: Any, **headers: str) -> Failed:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_failure(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "m", "type": "t", "param": None, "code": "c"}}, "m", "c"),
        ({"error": {"message": "m", "type": "t", "code": None}}, "m", "t"),
        ({"error": "plain"}, "plain", None),
        ({"error": {"error": {"message": "inner", "code": 5}}}, "inner", "5"),
        ({"error": {"code": 429}}, NO_MESSAGE, "429"),
        ([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}], "m", "429"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"}, "Overloaded",
         "overloaded_error"),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]},
          "type": "invalid_request_error"}, "body.x: Extra inputs are not permitted", "invalid_request_error"),
        ({"detail": "Not Found"}, "Not Found", None),
        ({"detail": [{"loc": ["body"], "msg": "one"}, {"loc": ["query", 1], "msg": "two"}]}, "body: one; query.1: two", None),
        ({"message": "The security token is expired"}, "The security token is expired", None),
        ({"Message": "User is not authorized"}, "User is not authorized", None),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "insufficient balance", "1008"),
        ({"title": "Forbidden", "status": 403}, "Forbidden", "403"),
        (b"<html><head><style>x{}</style><title>504 Gateway Time-out</title></head><body><h1>nginx</h1></body></html>",
         "504 Gateway Time-out nginx", None),
        (b"upstream connect error", "upstream connect error", None),
        (b"", NO_MESSAGE, None),
        (b"null", NO_MESSAGE, None),
        (b"\xff\xfe not UTF-8", "\ufffd\ufffd not UTF-8", None),
    ],
)  # fmt: skip
def test_message_and_code_are_found_in_any_shape(body: Any, message: str, code: str | None) -> None:
    failed = failure(500, body)
    assert (failed.message, failed.code) == (message, code)


@pytest.mark.parametrize("shape", ["error", "list", "message"])
def test_an_error_three_thousand_levels_deep_is_an_error_and_no_crash(shape: str) -> None:
    opening, closing = {"error": ('{"error":', "}"), "list": ("[", "]"), "message": ('{"message":', "}")}[
        shape
    ]
    failed = failure(500, (opening * 3_000 + '"deep"' + closing * 3_000).encode())
    assert failed.kind == "server" and len(failed.message) <= MAX_MESSAGE


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (429, {"error": {"message": "Rate limit reached for gpt-4o"}}, "rate_limited", "yes"),
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, "quota", "no"),
        (402, {"error": {"type": "billing_error", "message": "m"}}, "quota", "no"),
        (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}, "rate_limited", "yes"),
        (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "m", "code": "enforced_spend_limit_reached"}},
         "quota", "no"),
        (429, [{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}]}}], "quota", "no"),
        # The words that a longer text happens to hold do not decide against the code.
        (429, {"message": "Too many tokens, please wait before trying again.", "__type": "ThrottlingException"},
         "rate_limited", "yes"),
        (429, {"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached on tokens per min. You can "
         "increase it by adding a payment method at https://platform.openai.com/account/billing."}}, "rate_limited", "yes"),
        (429, {"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing "
         "details.", "status": "RESOURCE_EXHAUSTED", "details": [{"quotaId": "GenerateContentInputTokensPerMinute"}]}},
         "rate_limited", "yes"),
        (400, {"error": {"code": "context_length_exceeded", "message": "m"}}, "context", "no"),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 201 > 200"}},
         "context", "no"),
        (413, {}, "context", "no"),
        (400, {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, "filtered", "no"),
        (400, {"error": {"message": "Invalid schema for response_format", "type": "invalid_request_error"}}, "request", "no"),
        (400, {"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
                         "details": [{"reason": "API_KEY_INVALID"}]}}, "key", "no"),
        (401, {}, "key", "no"),
        (403, {"message": "User is not authorized to perform bedrock:InvokeModel"}, "key", "no"),
        (404, {"error": {"code": "model_not_found"}}, "request", "no"),
        (408, {}, "timeout", "yes"),
        (409, {}, "overloaded", "yes"),
        (424, {"message": "model error"}, "server", "yes"),
        (425, {}, "overloaded", "yes"),
        (500, {}, "server", "yes"),
        (502, b"<html>502 Bad Gateway</html>", "server", "yes"),
        (503, {}, "overloaded", "yes"),
        (504, b"<html>504 Gateway Time-out</html>", "timeout", "yes"),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded", "yes"),
        (418, {}, "request", "no"),
        (200, {"error": {"code": 429, "message": "m"}}, "rate_limited", "yes"),
        (200, {"error": {"code": "server_error", "message": "m"}}, "server", "unknown"),
    ],
)  # fmt: skip
def test_what_an_error_means_and_whether_to_ask_again(
    status: int, body: Any, kind: str, retryable: str
) -> None:
    failed = failure(status, body)
    assert (failed.kind, failed.retryable) == (kind, retryable)


@pytest.mark.parametrize(
    ("status", "type_", "kind"),
    [
        (429, "ThrottlingException:http://internal.amazon.com/coral/", "rate_limited"),
        (429, "ModelNotReadyException", "overloaded"),
        (400, "ValidationException", "request"),
        (400, "ServiceQuotaExceededException", "quota"),
        (403, "ExpiredTokenException", "key"),
        (408, "ModelTimeoutException", "timeout"),
    ],
)
def test_amazon_names_the_error_in_a_header(status: int, type_: str, kind: str) -> None:
    failed = failure(status, {"message": "m"}, x_amzn_errortype=type_)
    assert (failed.kind, failed.code) == (kind, type_.partition(":")[0])


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after_ms": "1500", "retry_after": "7"}, {}, 1.5),
        ({"retry_after": "7"}, {}, 7.0),
        ({"retry_after": "Sat, 28 Nov 2026 10:00:30 GMT", "date": "Sat, 28 Nov 2026 10:00:00 GMT"}, {}, 30.0),
        ({"retry_after": "Sat, 28 Nov 2026 09:00:00 GMT", "date": "Sat, 28 Nov 2026 10:00:00 GMT"}, {}, 0.0),
        ({"retry_after": "Sat, 28 Nov 2026 10:00:30 GMT"}, {}, None),  # by which clock, nobody says
        ({"retry_after": "soon"}, {}, None),
        ({"retry_after": "-1"}, {}, None),
        ({}, [{"error": {"message": "m", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}}],
         34.0),
        ({}, {"error": {"message": "Rate limit reached. Please try again in 1m2.5s."}}, 62.5),
        ({}, {"error": {"message": "Please try again in 350ms."}}, 0.35),
        ({}, {"error": {"message": "Please retry after 12 seconds."}}, 12.0),
        ({}, {"error": {"message": "m"}}, None),
    ],
)  # fmt: skip
def test_how_long_to_wait_is_read_from_wherever_it_is_said(
    headers: dict[str, str], body: Any, seconds: float | None
) -> None:
    assert failure(429, body, **headers).retry_after_s == seconds


def test_what_the_server_says_of_asking_again_decides() -> None:
    assert failure(500, {}, x_should_retry="false").retryable == "no"
    assert failure(400, {}, x_should_retry="true").retryable == "yes"


@pytest.mark.parametrize(
    ("status", "maybe"),
    [(504, True), (408, True), (502, True), (424, True), (429, False), (400, False), (401, False)],
)
def test_after_a_gateways_time_out_the_usage_is_unknown(status: int, maybe: bool) -> None:
    assert failure(status, {}).maybe_served is maybe


@pytest.mark.parametrize(
    ("kind_of", "outcome"),
    [
        (429, Outcome.RATE_LIMITED),
        (402, Outcome.RATE_LIMITED),
        (504, Outcome.UPSTREAM_TIMEOUT),
        (500, Outcome.UPSTREAM_ERROR),
    ],
)
def test_what_a_failure_makes_of_the_request(kind_of: int, outcome: Outcome) -> None:
    assert failure(kind_of, {}).outcome is outcome


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "detail", "type", "status", "base_resp", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 200, 400, 429, 500]))
def test_any_json_is_classified(error: Any, status: int | None) -> None:
    failed = classify(error, status=status)
    assert failed.message and len(failed.message) <= MAX_MESSAGE
    failed.message.encode()


@given(st.binary(max_size=300), st.integers(300, 599))
def test_any_body_is_classified(body: bytes, status: int) -> None:
    assert read_failure(status, {}, body).status == status
