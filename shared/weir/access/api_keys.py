"""Own keys, for callers that cannot sign: `weir_TENANT_ID_SECRET` in `Authorization: Bearer`; only a hash is kept.

The secret has 256 random bits, so a plain SHA-256 of it cannot be searched; it is compared in constant time. A key in
a URL, a query or a body is no key. The tenant, in base32, is what the table is asked about beside the key, and nothing
is believed of it: the key's own item says whose it is. Keys made before it was part of them open as before.
"""

import hmac
from base64 import b32decode, b32encode, urlsafe_b64encode
from datetime import datetime
from hashlib import sha256
from string import ascii_letters, ascii_lowercase, digits

from weir.light_tuples import LightTuple

ID_BYTES, SECRET_BYTES = 10, 32
_PREFIX, _ID_CHARS, _SECRET_CHARS, _TENANT_CHARS = "weir_", 16, 43, range(2, 104)
_BASE32 = frozenset(ascii_lowercase + "234567")
_BASE64 = frozenset(ascii_letters + digits + "_-")


class GivenKey(LightTuple):
    """A key as a caller sent it; `tenant` is whose it claims to be, None where it does not say."""

    id: str
    secret: str
    tenant: str | None


class ApiKey(LightTuple):
    """What is kept of a key; instants are UTC, None is never."""

    id: str
    secret_sha256: str
    tenant: str
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def refusal(self, secret: str, now: datetime) -> str | None:
        """Why a secret does not open this key now, or None. Whether it is the right one is asked in constant time."""
        right = hmac.compare_digest(sha256(secret.encode()).hexdigest(), self.secret_sha256)
        if not right:
            return "expected a key that was made here"
        if self.revoked_at is not None and now >= self.revoked_at:
            return f"expected a key that holds, got one that was revoked on {self.revoked_at.date()}"
        if self.expires_at is not None and now >= self.expires_at:
            return f"expected a key that holds, got one that expired on {self.expires_at.date()}"
        return None


def new_key(
    random: bytes, tenant: str, name: str, now: datetime, expires_at: datetime | None = None
) -> tuple[str, ApiKey]:
    """A key as its owner gets it, once, and what is kept of it; `random` are `ID_BYTES + SECRET_BYTES` bytes."""
    if len(random) != ID_BYTES + SECRET_BYTES:
        raise ValueError(f"random: expected {ID_BYTES + SECRET_BYTES} bytes, got {len(random)}")
    key_id, named = _base32(random[:ID_BYTES]), _base32(tenant.encode())
    secret = urlsafe_b64encode(random[ID_BYTES:]).decode().rstrip("=")
    kept = ApiKey(key_id, sha256(secret.encode()).hexdigest(), tenant, name, now, expires_at)
    return f"{_PREFIX}{named}_{key_id}_{secret}", kept


def parse_authorization(header: str | None) -> GivenKey | None:
    """The key of an `Authorization: Bearer` header; None where it holds none of ours."""
    scheme, _, text = (header or "").strip().partition(" ")
    text = text.strip()
    named, secret = text[: -_SECRET_CHARS - 1], text[-_SECRET_CHARS:]
    tenant, _, key_id = named.removeprefix(_PREFIX).rpartition("_")
    if (
        scheme.lower() != "bearer"
        or text != f"{_PREFIX}{tenant and f'{tenant}_'}{key_id}_{secret}"
        or not (len(key_id) == _ID_CHARS and len(secret) == _SECRET_CHARS)
        or not (_BASE32.issuperset(key_id + tenant) and _BASE64.issuperset(secret))
        or (tenant and len(tenant) not in _TENANT_CHARS)
    ):
        return None
    return GivenKey(key_id, secret, _tenant(tenant))


def _base32(data: bytes) -> str:
    return b32encode(data).decode().lower().rstrip("=")


def _tenant(text: str) -> str | None:
    try:
        return b32decode(f"{text.upper()}{'=' * (-len(text) % 8)}").decode() if text else None
    except ValueError:
        return None
