"""The provider's key, from Secrets Manager or SSM through Powertools Parameters.

boto3 costs a cold start about as much as all else together, so it is imported only where a key is configured, and
the look-up runs in a thread: it is IO, and other requests of the environment go on.
"""

import asyncio
import re

from weir.outcomes import Outcome
from weir.problems import Problem

_MAX_AGE_S = 300


class Secret:
    """A key by the name of where it is kept: `secretsmanager:NAME`, `ssm:NAME`, or empty for none."""

    def __init__(self, source: str) -> None:
        self.source = source

    async def get(self, *, refresh: bool = False) -> str | None:
        """The key, cached for five minutes; `refresh` asks the store again. None where none is configured.

        Raises:
            Problem: internal_error, naming the source, when the store does not give it.
        """
        if not self.source:
            return None
        try:
            return await asyncio.to_thread(self._fetch, refresh)
        except Exception as error:
            # Powertools wraps whatever botocore raised; its text may quote the request, so only the type goes on.
            raise Problem(
                Outcome.INTERNAL_ERROR,
                f"provider key: expected a value at {self.source.partition(':')[0]}, got {type(error).__name__}",
            ) from error

    def _fetch(self, refresh: bool) -> str:
        from aws_lambda_powertools.utilities import parameters

        store, _, name = self.source.partition(":")
        if store == "ssm":
            value = parameters.get_parameter(name, decrypt=True, max_age=_MAX_AGE_S, force_fetch=refresh)
        else:
            value = parameters.get_secret(name, max_age=_MAX_AGE_S, force_fetch=refresh)
        # Shells add a line end, which no header may hold.
        key = value.strip() if isinstance(value, str) else ""
        if not re.fullmatch(r"[!-~]+", key):
            raise ValueError("expected a key of printable ASCII characters without spaces")
        return key
