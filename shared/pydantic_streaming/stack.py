"""The containers that are open, and what is read next in the innermost.

A container may be as deep as Pydantic's parser lets it, but slices are parsed one by one, each from depth 0. So the
depth is counted here, and far from the parser's limit the whole text is left to the parser.
"""

from __future__ import annotations

from typing import Any

from pydantic_streaming.frames import FIRST, Frame, MembersFrame
from pydantic_streaming.huge import EntriesFrame, TextFrame
from pydantic_streaming.lists import ItemsFrame
from pydantic_streaming.nodes import Entries, Items, Members, Node, Text
from pydantic_streaming.slices import Surprise
from pydantic_streaming.values import Value

__all__ = ["MAX_CUT_DEPTH", "Stack"]

# The parser's limit is 201.
MAX_CUT_DEPTH = 150

FRAMES = {Members: MembersFrame, Items: ItemsFrame, Entries: EntriesFrame, Text: TextFrame}


class Stack:
    """Frames from `root` to `frame`, the innermost, which is read in `state` (-1 before the root has begun)."""

    def __init__(self, root: Members, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        self.root = MembersFrame(root, "", keeps, allow_nan, out)
        self.allow_nan = allow_nan
        self.out = out
        self.frame: Frame = self.root
        self.state = -1
        # Whether the root has closed.
        self.closed = False
        self._outer: list[tuple[Frame, int]] = []

    @property
    def skeleton(self) -> str:
        """The shortest text that leads the parser to where the next part begins."""
        if self.state < 0:
            return ""
        if self.closed:
            return "{}"
        return "".join(frame.skeleton(state) for frame, state in (*self._outer, (self.frame, self.state)))

    def loc(self) -> tuple[int | str, ...]:
        """Return the loc of the innermost container."""
        return tuple(item for frame, _ in self._outer for item in frame.loc())

    def push(self, node: Node, path: str | None) -> None:
        """Open a container inside the innermost."""
        self.deepen(1)
        self._outer.append((self.frame, self.state))
        kind: Any = FRAMES[type(node)]
        self.frame = kind(node, path, self.frame.keeps, self.allow_nan, self.out)
        self.state = FIRST

    def pop(self) -> Any:
        """Close the innermost container, give it to the one around it, and return its value."""
        frame = self.frame
        value, emitted = frame.close()
        if self._outer:
            self.frame, _ = self._outer.pop()
            self.frame.take(value, frame.dump, emitted)
        else:
            self.closed = True
        return value

    def deepen(self, levels: int) -> None:
        """Say that a part goes so many levels deeper.

        Raises:
            Surprise: that is too deep to be cut.
        """
        if len(self._outer) + 1 + levels > MAX_CUT_DEPTH:
            raise Surprise(f"deeper than {MAX_CUT_DEPTH} levels")
