"""AWS Signature Version 4: what of it a call of Bedrock needs, without botocore.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. A signature is a chain of
HMACs over a canonical form of the request. Its path is encoded once more than it goes out (only S3 is an exception),
so that the `:` of a model's id, sent as `%3A`, is signed as `%253A`. Nothing is signed that a proxy may touch.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from weir.light_tuples import LightTuple

_ALGORITHM = "AWS4-HMAC-SHA256"
_SAFE = "-_.~"
# What connections and proxies add or change on the way; the signature would not hold.
_UNSIGNED = frozenset({
    "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id", "authorization", "content-length",
    "accept-encoding",
})  # fmt: skip


class Credentials(LightTuple):
    """What signs: of a role, and so with a token; the secret shows in no message of ours."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r})"


def sign(
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    service: str,
    at: datetime,
    query: str = "",
) -> dict[str, str]:
    """The headers to add to a request, `at` in UTC; `path` and `query` are as they go out, `query` encoded.

    All of `headers` are signed but those that may change on the way.
    """
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    added = {"x-amz-date": stamp}
    if credentials.token:
        added["x-amz-security-token"] = credentials.token
    signed = {name.lower(): " ".join(value.split()) for name, value in {**headers, **added}.items()}
    signed = {name: value for name, value in signed.items() if name not in _UNSIGNED} | {"host": host}
    names = ";".join(sorted(signed))
    canonical = "\n".join((
        method, _canonical_path(path), "&".join(sorted(query.split("&"), key=_by_name)),
        *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names, hashlib.sha256(body).hexdigest(),
    ))  # fmt: skip
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signature = _signature(canonical, stamp, scope, credentials.secret_key)
    added["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return added


def presign(
    method: str,
    host: str,
    params: Mapping[str, str],
    *,
    credentials: Credentials,
    region: str,
    service: str,
    at: datetime,
    expires_s: int,
) -> str:
    """A URL's host, path and query that carry the signature themselves, of a request for `/` with an empty body."""
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    query = {
        **params,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.token:
        query["X-Amz-Security-Token"] = credentials.token
    pairs = [f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}" for name, value in query.items()]
    empty = hashlib.sha256(b"").hexdigest()
    canonical = "\n".join((method, "/", "&".join(sorted(pairs)), f"host:{host}", "", "host", empty))
    signature = _signature(canonical, stamp, scope, credentials.secret_key)
    return f"{host}/?{'&'.join(pairs)}&X-Amz-Signature={signature}"


def _by_name(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return name, value


@lru_cache(maxsize=64)  # a function has as many as models
def _canonical_path(path: str) -> str:
    return quote(_without_dots(path) or "/", safe="/~-_.")


def _without_dots(path: str) -> str:
    """The path without `.`, `..` and doubled slashes, by RFC 3986, section 5.2.4."""
    if not re.search(r"//|/\.", path):
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if path.endswith("/") and kept else ""
    return f"/{'/'.join(kept)}{end}"


def _signature(canonical: str, stamp: str, scope: str, secret_key: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    day, region, service, _ = scope.split("/")
    key = _signing_key(secret_key, day, region, service)
    return hmac.digest(key, f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()


@lru_cache(maxsize=8)  # it holds for a day
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
