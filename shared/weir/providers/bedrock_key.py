"""A short-term API key of Bedrock, minted from the role: no secret to keep, no call to make.

https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html. The key is a presigned request in base64: who holds
it may call models in that Region as the role, until it expires or the role's session does, whichever is first. The role
needs `bedrock:CallWithBearerToken`.
"""

import base64
from datetime import datetime, timedelta

from weir.providers.sigv4 import Credentials, presign

HOST = "bedrock.amazonaws.com"
PREFIX = "bedrock-api-key-"
MAX_AGE = timedelta(hours=12)


def mint(credentials: Credentials, region: str, at: datetime, *, age: timedelta = MAX_AGE) -> str:
    """The bearer for calls of models in `region` from `at` (UTC) on, for at most twelve hours."""
    url = presign(
        "POST",
        HOST,
        {"Action": "CallWithBearerToken"},
        credentials=credentials,
        region=region,
        service="bedrock",
        at=at,
        expires_s=int(min(age, MAX_AGE).total_seconds()),
    )
    return PREFIX + base64.b64encode(f"{url}&Version=1".encode()).decode()
