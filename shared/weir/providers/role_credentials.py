"""The role's credentials: from the environment, or from the endpoint that the environment names.

Lambda sets them as variables; where it restores a snapshot (SnapStart), and in containers on ECS and EKS, it sets the
address of an endpoint instead. They are read anew for each request, or kept until some minutes before they expire:
Lambda rotates them, and a snapshot's are old.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from weir.errors import ConfigurationError
from weir.providers.sigv4 import Credentials

FETCH_S = 2.0
RENEWED_BEFORE_S = 300.0
_ECS_HOST = "169.254.170.2"
# What may be asked without TLS: this machine, and the link-local addresses of ECS and EKS.
_TRUSTED = frozenset({"127.0.0.1", "localhost", "::1", _ECS_HOST, "169.254.170.23", "fd00:ec2::23"})


class CredentialsError(ConfigurationError):
    """The environment leads to no credentials of a role; the message quotes none."""


class RoleCredentials:
    """The credentials of the role that this process runs as; `clock` gives seconds since the epoch."""

    def __init__(self, environment: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._environment = environment
        self._clock = clock
        self._kept: Credentials | None = None
        self._until_s = 0.0
        self._turn = asyncio.Lock()

    async def get(self) -> Credentials:
        """The credentials as they are now.

        Raises:
            CredentialsError: there are none, or their endpoint did not give any.
        """
        variables = [self._variable(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        if all(variables):
            return Credentials(variables[0], variables[1], self._variable("AWS_SESSION_TOKEN") or None)
        async with self._turn:  # those who wait take what the first one found
            if self._kept is not None and self._clock() < self._until_s:
                return self._kept
            found, self._until_s = await asyncio.to_thread(self._fetch)
            self._kept = found
            return found

    def _variable(self, name: str) -> str:
        return self._environment.get(name, "").strip()

    def _fetch(self) -> tuple[Credentials, float]:
        address = self._variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not address and (path := self._variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")):
            address = f"http://{_ECS_HOST}{path}"
        if not address:
            raise CredentialsError(
                "credentials: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the address of an endpoint in "
                "AWS_CONTAINER_CREDENTIALS_FULL_URI, as AWS sets them for a role; got neither"
            )
        url = urlsplit(address)
        host = url.hostname or ""
        if url.scheme != "https" and not (url.scheme == "http" and host in _TRUSTED):
            raise CredentialsError(
                f"AWS_CONTAINER_CREDENTIALS_FULL_URI: expected https, or a host of this machine, got {host[:100]!r}"
            )
        connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        try:
            connection = connect(host, url.port, timeout=FETCH_S)
            try:
                target = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
                connection.request("GET", target, headers=self._authorization())
                response = connection.getresponse()
                body = response.read(65_536)
            finally:
                connection.close()
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            return self._read(body)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            said = str(error) if str(error).startswith("status ") else type(error).__name__
            raise CredentialsError(f"credentials: expected them from {host}, got {said}") from None

    def _authorization(self) -> dict[str, str]:
        token = self._variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if file := self._variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = Path(file).read_text(encoding="utf-8").strip()
        return {"authorization": token} if token else {}

    def _read(self, body: bytes) -> tuple[Credentials, float]:
        members = json.loads(body)
        found = Credentials(
            str(members["AccessKeyId"]), str(members["SecretAccessKey"]), members.get("Token") or None
        )
        expires = members.get("Expiration")
        if not isinstance(expires, str):
            return found, self._clock()  # to be asked for again
        return found, datetime.fromisoformat(expires).timestamp() - RENEWED_BEFORE_S
