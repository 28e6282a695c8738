"""Signatures and keys that are botocore's, byte for byte; botocore itself is no part of the product."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.providers.bedrock_key import PREFIX, mint
from weir.providers.sigv4 import Credentials, sign

AT = datetime(2026, 11, 28, 9, 7, 5, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=30)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20).map(lambda name: f"x-{name}")
SECRETS = st.builds(
    Credentials,
    st.text("ABCDEFGHIJKLMNOP234567", min_size=16, max_size=20),
    st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789/+", min_size=20, max_size=40),
    st.none() | st.text("abcdefghijklmnopqrstuvwxyz0123456789/+=", min_size=1, max_size=400),
)


@pytest.fixture(autouse=True)
def _fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: AT.replace(tzinfo=None)
    )


def theirs(
    url: str, headers: dict[str, str], body: bytes, credentials: Credentials, region: str, service: str
) -> dict[str, str]:
    request: Any = AWSRequest(method="POST", url=url, headers=headers, data=body)
    known = BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    botocore.auth.SigV4Auth(known, service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@settings(max_examples=300)
@given(
    segments=st.lists(TEXT.map(lambda text: quote(text, safe="")), min_size=1, max_size=4),
    headers=st.dictionaries(
        NAMES, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), max_size=4
    ),
    query=st.lists(st.tuples(TEXT, TEXT), max_size=3),
    body=st.binary(max_size=200),
    credentials=SECRETS,
    region=st.sampled_from(["us-east-1", "eu-central-1", "us-gov-west-1"]),
    service=st.sampled_from(["bedrock", "bedrock-mantle", "aws-external-anthropic"]),
)
def test_any_request_is_signed_as_botocore_signs_it(
    segments: list[str], headers: dict[str, str], query: list[tuple[str, str]], body: bytes,
    credentials: Credentials, region: str, service: str,
) -> None:  # fmt: skip
    host, path = f"bedrock-runtime.{region}.amazonaws.com", "/" + "/".join(segments)
    encoded = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    headers = {"content-type": "application/json", **headers}
    expected = theirs(
        f"https://{host}{path}{'?' if encoded else ''}{encoded}", headers, body, credentials, region, service
    )
    ours = sign(
        "POST",
        host,
        path,
        headers,
        body,
        credentials=credentials,
        region=region,
        service=service,
        at=AT,
        query=encoded,
    )
    assert ours["authorization"] == expected["authorization"]
    assert ours["x-amz-date"] == expected["x-amz-date"]
    assert ours.get("x-amz-security-token") == expected.get("x-amz-security-token")


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-3-5-haiku-20241022-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcd1234",
        "münchen/../x//y",
    ],
)
def test_ids_with_colons_slashes_and_other_alphabets_are_encoded_once_more_than_they_go_out(
    model: str,
) -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret", "token")
    path = f"/model/{quote(model, safe='')}/converse-stream"
    host = "bedrock-runtime.us-east-1.amazonaws.com"
    expected = theirs(f"https://{host}{path}", {}, b"{}", credentials, "us-east-1", "bedrock")
    ours = sign(
        "POST", host, path, {}, b"{}", credentials=credentials, region="us-east-1", service="bedrock", at=AT
    )
    assert ours["authorization"] == expected["authorization"]


@settings(max_examples=100)
@given(credentials=SECRETS, region=st.sampled_from(["us-east-1", "eu-west-3"]), hours=st.integers(1, 12))
def test_a_minted_key_is_the_one_that_awss_own_generator_mints(
    credentials: Credentials, region: str, hours: int
) -> None:
    """Its algorithm: a presigned POST of CallWithBearerToken, with a version behind it, in base64."""
    request: Any = AWSRequest(
        method="POST", url="https://bedrock.amazonaws.com/", headers={"host": "bedrock.amazonaws.com"},
        params={"Action": "CallWithBearerToken"},
    )  # fmt: skip
    known = BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    botocore.auth.SigV4QueryAuth(known, "bedrock", region, expires=hours * 3600).add_auth(request)
    expected = request.url.replace("https://", "") + "&Version=1"
    key = mint(credentials, region, AT, age=timedelta(hours=hours))
    assert key.startswith(PREFIX)
    ours = base64.b64decode(key.removeprefix(PREFIX)).decode()
    assert sorted(parse_qsl(ours.partition("?")[2])) == sorted(parse_qsl(expected.partition("?")[2]))
    assert ours.partition("?")[0] == expected.partition("?")[0]


def test_a_key_lives_twelve_hours_at_most() -> None:
    key = mint(Credentials("AKID", "secret"), "us-east-1", AT, age=timedelta(days=3))
    assert "X-Amz-Expires=43200" in base64.b64decode(key.removeprefix(PREFIX)).decode()


def test_credentials_show_no_secret() -> None:
    shown = repr(Credentials("AKID", "hush", "quiet"))
    assert "AKID" in shown and "hush" not in shown and "quiet" not in shown
