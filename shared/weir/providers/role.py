"""The function's own role as the key: no secret is stored, looked up or rotated.

Bedrock's own API is signed for; its OpenAI-compatible paths take a bearer that is minted here, without a call.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.bedrock_key import mint
from weir.providers.role_credentials import CredentialsError, RoleCredentials
from weir.providers.routes import Route
from weir.providers.sigv4 import sign

_role = RoleCredentials(os.environ)


async def role_headers(route: Route, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers that authorise one POST as the role.

    Raises:
        Problem: internal_error, naming what is missing, where no credentials of a role are to be had.
    """
    try:
        credentials, now = await _role.get(), datetime.now(UTC)
    except CredentialsError as error:
        raise Problem(Outcome.INTERNAL_ERROR, f"provider key: {error}") from error
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
