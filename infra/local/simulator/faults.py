"""What each fault does to a connection, once its moment has come."""

import asyncio
from itertools import count

from .connection import Connection
from .dialects import Dialect
from .script import Fault

BEFORE_HEADERS = frozenset({"no_headers", "reset_before_headers", "bad_status_line"})
_PING_INTERVAL_S = 0.05
_DRIP_INTERVAL_S = 0.1
_ENDLESS_LINE_BYTES = (
    256 * 1024 * 1024
)  # A reader without a limit is stopped here, not by this machine's memory.


async def strike(fault: Fault, connection: Connection, dialect: Dialect) -> bool:
    """Commit the fault; True when the stream goes on behind it, False when it was the end."""
    match fault.kind:
        case "no_headers" | "stall":
            await connection.wait_closed()
        case "reset_before_headers" | "reset":
            await connection.close(reset=True)
        case "bad_status_line":
            await connection.close(last_words=b"SIMULATED/0.9 this is not HTTP\r\n\r\n")
        case "bad_chunk":
            await connection.close(last_words=b"not-hexadecimal\r\ndata: \r\n")
        case "cut":
            await connection.close()
        case "silent_end":
            await connection.finish()
        case "pings":
            loop = asyncio.get_running_loop()
            while not connection.closed:
                await connection.write(dialect.ping())
                await connection.wait_until(loop.time() + _PING_INTERVAL_S)
        case "error_event":
            await connection.write(dialect.failure("The server had an error while processing your request."))
            await connection.finish()
        case "bad_event":
            await connection.write(dialect.garbage())
            return True
        case "odd_event":
            await connection.write(dialect.odd())
            return True
        case "invalid_utf8":
            await connection.write(dialect.invalid_utf8())
            return True
        case "endless_line":
            await connection.write(dialect.endless())
            block = b"a" * (1024 * 1024)
            for number in count():
                if connection.closed or number * len(block) >= _ENDLESS_LINE_BYTES:
                    break
                await connection.write(block)
                await asyncio.sleep(0)
            await connection.close()
        case "drip":
            loop = asyncio.get_running_loop()
            drops = dialect.text("drip")
            for index in count():
                if connection.closed:
                    break
                await connection.write(drops[index % len(drops) :][:1])
                await connection.wait_until(loop.time() + _DRIP_INTERVAL_S)
    return False
