"""One request of a runtime to the Runtime API, on the wire: read piece by piece, answered once.

Bodies are read with h11, which shows each chunk as it comes and the trailers at the end.
https://h11.readthedocs.io/en/latest/api.html
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import h11

_LINGER_S = 2.0


@dataclass(slots=True)
class RuntimeCall:
    """One request of the runtime, while it is read."""

    connection: h11.Connection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)

    async def event(self) -> h11.Event:
        """The next event. Raises h11.RemoteProtocolError where the runtime hung up in the middle."""
        while True:
            event = self.connection.next_event()
            if not isinstance(event, type):
                return event
            if self.connection.they_are_waiting_for_100_continue:
                # libcurl, in the managed runtime's client, waits a second for it before a large body.
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                self.writer.write(self.connection.send(go_on) or b"")
            self.connection.receive_data(await self.reader.read(65_536))

    async def part(self) -> bytes | None:
        """The next piece of the body; None at its end, when the trailers are known."""
        event = await self.event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            self.trailers = text(event.headers)
            return None
        raise ConnectionError(f"expected a piece of the body, got {event!r}")

    async def respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        events = (
            h11.Response(status_code=status, headers=list(fields.items())),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for event in events:
            data = self.connection.send(event)
            if data:
                self.writer.write(data)
        await self.writer.drain()

    async def whole(self) -> bytes:
        """The body, whatever its size."""
        parts = []
        while (part := await self.part()) is not None:
            parts.append(part)
        return b"".join(parts)

    async def refuse(self, status: int, body: bytes, max_drained_bytes: int) -> None:
        """Respond although the body may not have been read."""
        if "transfer-encoding" not in self.headers:
            if int(self.headers.get("content-length", "0")) <= max_drained_bytes:
                with suppress(ConnectionError):
                    while self.connection.their_state is not h11.DONE:
                        await self.part()
        if self.connection.their_state is h11.DONE:
            return await self.respond(status, body)
        # The rest of the body may take minutes to come: the answer goes first, and then the connection. What is
        # still coming is read for a moment, because closing on unread bytes resets it before the answer is read.
        await self.respond(status, body, {"connection": "close"})
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_LINGER_S):
                if self.writer.can_write_eof():
                    self.writer.write_eof()
                while await self.reader.read(65_536):
                    pass
        return None


def text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header fields by name, in lower case, as h11 gives them."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
