"""The quirks of compatible servers (README, 'Corpora'): raw responses, one a file, and their pauses and ends."""

import re

from tests.corpora import corpus

_MARK = re.compile(rb"<<([a-z0-9.]+)>>\r?\n?")


def quirk(name: str) -> bytes:
    """The file, marks and all."""
    return corpus(f"quirks/{name}.txt").read_bytes()


def steps(raw: bytes) -> list[bytes | float | str]:
    """What a server does to send it: bytes, pauses in seconds, and `stall`, `close` or `reset`."""
    found: list[bytes | float | str] = []
    at = 0
    for mark in _MARK.finditer(raw):
        found.append(raw[at : mark.start()])
        name = mark[1].decode()
        found.append(float(name) if name[0].isdigit() else name)
        at = mark.end()
    return [step for step in [*found, raw[at:]] if step != b""]


def body_of(raw: bytes) -> bytes:
    """The body of the response, without its transfer coding."""
    head, _, body = _MARK.sub(b"", raw).partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return body
    pieces = b""
    while body and (size := int(body.partition(b"\r\n")[0], 16)):
        body = body.partition(b"\r\n")[2]
        pieces, body = pieces + body[:size], body[size:].removeprefix(b"\r\n")
    return pieces
