"""Who a caller is: by IAM, by the claims of an authorizer, or by an own key; and which tenant that makes them.

AWS has checked IAM signatures and authorizers before an event reaches a function, so the event's own context can be
believed; headers, body and tags cannot. The rule, in this order:

    own key        the tenant that the key was made for
    claims         the claim `tenant` or `custom:tenant`; else the subject, as `sub:SUBJECT`
    IAM            the role's name, or the user's, in the caller's ARN; another account's with its number before it

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from weir.light_tuples import LightTuple

type Means = Literal["key", "claims", "iam"]

MAX_TENANT_CHARS = 64
_UNUSUAL = r"[^A-Za-z0-9._:/@+=,-]"


class Caller(LightTuple):
    """Somebody who is known; `tenant` is whom the request is booked on, `principal` who asked on their behalf."""

    tenant: str
    principal: str
    means: Means
    key_id: str | None = None


def caller_of(event: object, own_account: str | None = None) -> Caller | None:
    """The caller that Lambda's event vouches for; None where it says nothing of any.

    Function URLs and REST APIs with IAM, REST APIs with an authorizer (Cognito's or any that gives claims).
    """
    context = _mapping(_mapping(event).get("requestContext"))
    authorizer, identity = _mapping(context.get("authorizer")), _mapping(context.get("identity"))
    claims = _mapping(authorizer.get("claims")) or _mapping(_mapping(authorizer.get("jwt")).get("claims"))
    if not claims and isinstance(authorizer.get("principalId"), str):
        claims = {
            "sub": authorizer["principalId"],
            **authorizer,
        }  # of a Lambda authorizer, which lays them flat
    subject = _text(claims.get("sub"))
    if subject is not None:
        named = _text(claims.get("tenant")) or _text(claims.get("custom:tenant"))
        return Caller(tenant_name(named or f"sub:{subject}"), f"sub:{subject}"[:200], "claims")
    arn = _text(_mapping(authorizer.get("iam")).get("userArn")) or _text(identity.get("userArn"))
    return None if arn is None else _iam(arn, own_account or _text(context.get("accountId")))


def owner_of(caller: Caller | None) -> str:
    """Who may stop a request: its tenant; of a tenant's users that an authorizer tells apart, its user."""
    if caller is None:
        return ""
    return f"{caller.tenant}#{caller.principal}" if caller.means == "claims" else caller.tenant


def tenant_name(text: str) -> str:
    """A name that reports and keys of tables can hold: at most 64 usual characters."""
    return re.sub(_UNUSUAL, "_", text)[:MAX_TENANT_CHARS]


def _iam(arn: str, own_account: str | None) -> Caller | None:
    """arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION, arn:aws:iam::ACCOUNT:user/PATH/NAME, ...:root."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[5]:
        return None
    account, (kind, *names) = parts[4], parts[5].split("/")
    # A role's session is whoever took it; a user's path is no part of the name.
    name = names[0] if kind == "assumed-role" and names else names[-1] if names else kind
    known = own_account is None or not own_account.isdecimal() or account == own_account
    return Caller(tenant_name(name if known else f"{account}/{name}"), arn[:200], "iam")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
