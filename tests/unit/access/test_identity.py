"""Who a caller is: what AWS vouches for is believed, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from weir.access.identity import caller_of, tenant_name

EVENTS = Path(__file__).parents[2] / "events"
ROLE = "arn:aws:sts::123456789012:assumed-role/checkout-service/i-0abc"


def url_event(**iam: Any) -> dict[str, Any]:
    return {"version": "2.0", "requestContext": {"accountId": "123456789012", "authorizer": {"iam": iam}}}


def rest_event(**context: Any) -> dict[str, Any]:
    return {"resource": "/v1/generations", "requestContext": {"accountId": "123456789012", **context}}


@pytest.mark.parametrize(
    ("event", "tenant", "means"),
    [
        (url_event(userArn=ROLE), "checkout-service", "iam"),
        (url_event(userArn="arn:aws:iam::123456789012:user/teams/search/ana"), "ana", "iam"),
        (url_event(userArn="arn:aws:iam::123456789012:root"), "root", "iam"),
        (url_event(userArn="arn:aws:sts::999999999999:assumed-role/other/x"), "999999999999/other", "iam"),
        (rest_event(identity={"userArn": ROLE}), "checkout-service", "iam"),
        (rest_event(authorizer={"claims": {"sub": "u-1", "custom:tenant": "acme"}}), "acme", "claims"),
        (rest_event(authorizer={"claims": {"sub": "u-1", "tenant": "acme"}}), "acme", "claims"),
        (rest_event(authorizer={"claims": {"sub": "u-1"}}), "sub:u-1", "claims"),
        (rest_event(authorizer={"jwt": {"claims": {"sub": "u-1", "tenant": "b"}}}), "b", "claims"),
        (rest_event(authorizer={"principalId": "svc", "tenant": "acme"}), "acme", "claims"),
        # An authorizer stands before the identity of whoever called the API's own role.
        (rest_event(authorizer={"claims": {"sub": "u"}}, identity={"userArn": ROLE}), "sub:u", "claims"),
    ],
)
def test_the_tenant_follows_from_what_aws_vouches_for(event: dict[str, Any], tenant: str, means: str) -> None:
    caller = caller_of(event)
    assert caller is not None
    assert (caller.tenant, caller.means) == (tenant, means)


@pytest.mark.parametrize(
    "event",
    [
        None, [], "x", 5, {}, {"requestContext": None}, {"requestContext": []}, url_event(), url_event(userArn=7),
        url_event(userArn=""), url_event(userArn="not-an-arn"), url_event(userArn="arn:aws:sts::1:"),
        rest_event(identity={"userArn": None}), rest_event(authorizer={"claims": "sub"}),
        rest_event(authorizer={"claims": {"sub": 5}}),
        # What a caller can choose vouches for nobody.
        {"headers": {"x-tenant": "acme", "authorization": "Bearer x"}, "body": '{"tags": {"tenant": "acme"}}',
         "queryStringParameters": {"tenant": "acme"}},
    ],
)  # fmt: skip
def test_an_event_that_vouches_for_nobody_names_nobody(event: object) -> None:
    assert caller_of(event) is None


def test_a_claim_of_any_text_becomes_a_name_that_keys_and_reports_can_hold() -> None:
    caller = caller_of(rest_event(authorizer={"claims": {"sub": "a", "tenant": "ac\nme;'" + "x" * 100}}))
    assert caller is not None
    assert caller.tenant == "ac_me__" + "x" * 57
    assert tenant_name("=1+1") == "=1+1" and "\n" not in tenant_name("a\nb")


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_events_are_read_without_an_error(path: Path) -> None:
    caller_of(json.loads(path.read_text()))
