"""Own keys, for callers that cannot sign: `weir_ID_SECRET` in `Authorization: Bearer`; only the secret's hash is kept.

The secret has 256 random bits, so a plain SHA-256 of it cannot be searched; it is compared in constant time. A key in
a URL, a query or a body is no key.
"""

import hmac
import re
from base64 import b32encode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

_KEY = re.compile(r"weir_([a-z2-7]{16})_([A-Za-z0-9_-]{43})")
ID_BYTES, SECRET_BYTES = 10, 32


@dataclass(frozen=True, slots=True)
class ApiKey:
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
    key_id = b32encode(random[:ID_BYTES]).decode().lower()
    secret = urlsafe_b64encode(random[ID_BYTES:]).decode().rstrip("=")
    kept = ApiKey(key_id, sha256(secret.encode()).hexdigest(), tenant, name, now, expires_at)
    return f"weir_{key_id}_{secret}", kept


def parse_authorization(header: str | None) -> tuple[str, str] | None:
    """(key id, secret) of an `Authorization: Bearer` header; None where it holds no key of ours."""
    scheme, _, text = (header or "").strip().partition(" ")
    found = _KEY.fullmatch(text.strip()) if scheme.lower() == "bearer" else None
    return (found[1], found[2]) if found else None
