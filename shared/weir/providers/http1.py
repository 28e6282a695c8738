"""The head of a request as HTTP/1.1 has it; answer.py reads what comes back.

https://www.rfc-editor.org/rfc/rfc9112
"""

from weir.errors import DataError

_OF_TOKENS = b"-!#$%&'*+.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OF_TARGETS = bytes(range(0x21, 0x7F))
_IN_NO_VALUE = b"\x00\n\v\f\r"

type Fields = list[tuple[bytes, bytes]]


class NotHttp(DataError):
    """What is to be sent would be no HTTP/1.1."""


def encode_head(method: str, target: bytes, fields: Fields) -> bytes:
    """A request's head. Raises NotHttp, whose text quotes nothing of it: a field may be a key."""
    if method == "HEAD":  # whose answer has the length of a body and none, which the parser cannot be told
        raise NotHttp("request: expected a method that is answered with a body, got HEAD")
    tokens = [method.encode(), *(name for name, _ in fields)]
    values = [value for _, value in fields]
    text = b"".join(values)
    if (
        not all((target, *tokens))
        or b"".join(tokens).translate(None, _OF_TOKENS)
        or target.translate(None, _OF_TARGETS)
        or text != text.translate(None, _IN_NO_VALUE)
        or values != [value.strip() for value in values]
    ):
        raise NotHttp("request: expected a method, a target and fields that HTTP allows")
    lines = [b"%b: %b\r\n" % field for field in fields]
    return b"".join((b"%b %b HTTP/1.1\r\n" % (tokens[0], target), *lines, b"\r\n"))
