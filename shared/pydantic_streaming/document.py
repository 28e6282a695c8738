"""A validated document: its values, its JSON in bounded parts, and the model instance on demand.

Nothing is serialised here. The JSON is joined from bytes that were serialised as each value closed, because
`model_dump_json` of 10 MB stops the event loop for 33 ms and one `b"".join` of the same for several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from pydantic_streaming.values import Value

__all__ = ["Document"]


class Document:
    """What `StreamedValidator.close` returns.

    `values` are those that no `feed` returned: defaults, computed fields, and whatever the end of the text closed
    or changed. `model` is the instance; where another process validated the text it is built from the text when asked
    for, inline.
    """

    __slots__ = ("_fragments", "_instance", "values")

    def __init__(
        self,
        values: list[Value],
        fragments: Iterable[bytes | bytearray],
        instance: BaseModel | Callable[[], BaseModel],
    ) -> None:
        self.values = values
        self._fragments = fragments
        self._instance: Any = instance

    @property
    def model(self) -> BaseModel:
        """The model instance, equal to `Model.model_validate_json(text)`."""
        if not isinstance(self._instance, BaseModel):
            self._instance = self._instance()
        instance: BaseModel = self._instance
        return instance

    def json_parts(self, max_bytes: int = 65536) -> Iterator[bytes]:
        """Yield the document's JSON, equal to `model_dump_json(by_alias=True)`, in parts of at most `max_bytes`.

        A part never ends inside a UTF-8 sequence, so that each is text of its own.

        Raises:
            ValueError: `max_bytes` is less than 4, the longest UTF-8 sequence.
        """
        if max_bytes < 4:
            raise ValueError(f"max_bytes: expected at least 4, the longest UTF-8 sequence, got {max_bytes}")
        held = bytearray()
        for fragment in self._fragments:
            view = memoryview(fragment)
            for start in range(0, len(view), max_bytes):
                held += view[start : start + max_bytes]
                while len(held) >= max_bytes:
                    cut = max_bytes
                    while cut < len(held) and held[cut] & 0xC0 == 0x80:
                        cut -= 1
                    if cut == len(held):
                        break  # whether a sequence ends here is known when the next byte is
                    yield bytes(held[:cut])
                    del held[:cut]
        if held:
            yield bytes(held)
