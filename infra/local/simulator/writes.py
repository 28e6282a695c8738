"""An answer's events as they leave: how many go out in one write, and where a write ends."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .script import Script

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that leave together, and the number of tokens whose event ends in them."""

    tokens: int
    data: bytes


def writes(stream: Iterable[tuple[int, bytes]], script: Script) -> Iterator[Write]:
    """The whole stream, event by event with their tokens, in the writes of the script's chunking."""
    tokens, pending, events = 0, b"", 0
    carried = _BYTE_ORDER_MARK if script.byte_order_mark else b""
    for count, data in stream:
        tokens, pending, events = tokens + count, pending + data, events + 1
        if events < script.deltas_per_write:
            continue
        cut = _inside_character(pending) if script.cut_inside_characters else None
        if cut is not None:
            # The token whose event is cut is counted with the write that completes it.
            data, carried, pending = carried + pending[:cut], pending[cut:], b""
            yield Write(tokens - 1 if tokens else 0, data)
            tokens, events = (1 if tokens else 0), 0
            continue
        yield Write(tokens, carried + pending)
        tokens, events, carried, pending = 0, 0, b"", b""
    if carried or pending:
        yield Write(tokens, carried + pending)


def _inside_character(data: bytes) -> int | None:
    # 0b10xxxxxx is a continuation byte: cutting in front of one leaves half a character on either side.
    return next((index for index, byte in enumerate(data) if byte & 0xC0 == 0x80), None)
