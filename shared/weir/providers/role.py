"""The function's own role as the key: no secret is stored, looked up or rotated.

Bedrock's own API is signed for; its OpenAI-compatible paths take a bearer that is minted here, without a call. The
credentials are read from the environment for each request: Lambda rotates them, and a snapshot's are old.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from weir.providers.bedrock_key import mint
from weir.providers.routes import Route
from weir.providers.sigv4 import credentials_from, sign


def role_headers(route: Route, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers that authorise one POST as the role.

    Raises:
        CredentialsError: the environment holds none.
    """
    credentials, now = credentials_from(os.environ), datetime.now(UTC)
    parts = urlsplit(url)
    region = route.region or os.environ.get("AWS_REGION", "us-east-1")
    if route.profile.protocol != "converse":
        return {"authorization": f"Bearer {mint(credentials, region, now)}"}
    return sign(
        "POST",
        parts.netloc,
        parts.path,
        headers,
        body,
        credentials=credentials,
        region=region,
        service="bedrock",
        at=now,
        query=parts.query,
    )
