"""The provider's key, from Secrets Manager or SSM through Powertools Parameters.

boto3 costs a cold start about as much as all else together, so it is imported only where a key is configured, and
the look-up runs in a thread: it is IO, and other requests of the environment go on.

A key is looked up again after five minutes. While the store is down the last one known goes on being used. One that
the provider refused is looked up again at once, in case it was rotated, and if the store knows no other not again for
a minute: a revoked key must not mean one look-up a request.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable

from weir.outcomes import Outcome
from weir.problems import Problem

MAX_AGE_S = 300.0
REFUSED_S = 60.0  # and for as long a store that is down is left alone
# The member of a secret that is a JSON object, where it has several: what consoles and examples call it.
_MEMBERS = ("api_key", "apikey", "key", "token", "value", "secret", "api-key")


class Secret:
    """A key by the name of where it is kept: `secretsmanager:NAME`, `ssm:NAME`, or empty for none.

    A secret that is a JSON object holds it as its only text, as one of the usual names, or as `NAME#member` says.
    `clock` gives seconds since the epoch: the monotonic clock may stand still while the process is frozen.
    """

    def __init__(self, source: str, clock: Callable[[], float] = time.time) -> None:
        self.source = source
        self._clock = clock
        self._value: str | None = None
        self._due_s = 0.0
        self._refused_until_s = 0.0
        self._turn = asyncio.Lock()

    async def get(self) -> str | None:
        """The key; None where none is configured.

        Raises:
            Problem: internal_error, naming the store, when it gives none and none is known.
        """
        if not self.source or (self._value is not None and self._clock() < self._due_s):
            return self._value
        async with self._turn:  # those who wait take what the first one found
            if self._value is None or self._clock() >= self._due_s:
                await self._look_up()
        return self._value

    async def renewed(self, refused: str | None) -> str | None:
        """Another key than the one that was refused, if the store has one; None if it has not, or was just asked."""
        if not self.source:
            return None
        async with self._turn:
            if self._value == refused and self._clock() >= self._refused_until_s:
                self._refused_until_s = self._clock() + REFUSED_S
                await self._look_up()
        return self._value if self._value != refused else None

    async def _look_up(self) -> None:
        try:
            self._value = await asyncio.to_thread(self._fetch)
            self._due_s = self._clock() + MAX_AGE_S
        except Exception as error:
            if self._value is not None:
                self._due_s = self._clock() + REFUSED_S
                return
            # Powertools wraps whatever botocore raised; its text may quote the request, so only the type goes on.
            raise Problem(
                Outcome.INTERNAL_ERROR,
                f"provider key: expected a value at {self.source.partition(':')[0]}, got {type(error).__name__}",
            ) from error

    def _fetch(self) -> str:
        from aws_lambda_powertools.utilities import parameters

        store, _, name = self.source.partition(":")
        name, _, member = name.partition("#")
        if store == "ssm":
            value = parameters.get_parameter(name, decrypt=True, force_fetch=True)
        else:
            value = parameters.get_secret(name, force_fetch=True)
        return read_key(value, member)


def read_key(value: object, member: str = "") -> str:
    """The key in a stored value: the text itself, or a member of the JSON object that it is.

    Raises:
        ValueError: there is none that a header may hold; the message quotes nothing.
    """
    text = value.strip() if isinstance(value, str) else ""  # shells add a line end, which no header may hold
    if member or text.startswith("{"):
        try:
            members = json.loads(text)
        except ValueError:
            members = None
        if not isinstance(members, dict):
            raise ValueError("expected a JSON object")
        text = _member(members, member)
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("expected a key of printable ASCII characters without spaces")
    return text


def _member(members: dict[str, object], wanted: str) -> str:
    texts = {name: value.strip() for name, value in members.items() if isinstance(value, str)}
    if wanted:
        return texts.get(wanted, "")
    if len(texts) == 1:
        return next(iter(texts.values()))
    usual = [
        value for name, value in texts.items() if name.lower().replace("_", "").endswith(("apikey", "token"))
    ]
    usual += [value for name, value in texts.items() if name.lower() in _MEMBERS and value not in usual]
    if len(usual) == 1:
        return usual[0]
    raise ValueError("expected one member that is the key, or its name as NAME#member")
