"""The cutter: a stack of open containers that is told where each part of the text ends.

    frame           between parts it reads        parts
    MembersFrame    `,` `}` and `"key":`          values, each by its own Leaf
    ItemsFrame      `,` `]`                       elements, in runs where they are flat
    EntriesFrame    `,` `}`                       `"key": value`, in runs where they are flat
    TextFrame       `"`                           pieces of a string

What stands between parts is checked here, character by character, and is all the JSON that this project reads by
itself. Whatever is not what it should be is shown to Pydantic's parser (syntax.py).
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from weir.core.validation.frames import Frame, MembersFrame
from weir.core.validation.huge import EntriesFrame, TextFrame
from weir.core.validation.lists import ItemsFrame
from weir.core.validation.nodes import Entries, Items, Members, Node
from weir.core.validation.scanner import MEMBER_RUN, RUN, RUN_DEPTH, TOO_DEEP, Slot, skip_space
from weir.core.validation.slices import NotJson, Surprise
from weir.core.validation.values import Value

__all__ = ["HUGE", "MAX_CUT_DEPTH", "Cutter"]

# A value whose text is longer is cut inside if it can be: validating 16 KB takes 0.1 to 0.3 ms.
HUGE = 16384
# Beyond it slices could be accepted that are too deep where they stand; the parser's limit is 201.
MAX_CUT_DEPTH = 150
# A key or another piece of the text between parts is not longer in earnest.
MAX_GLUE = 4096
# An element that is read anew with each look is no longer than this.
MAX_TAIL = 512

_KEY = re.compile(r'"((?:[^"\\\x00-\x1f]++|\\.)*+)"[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
# Pieces of a string end between escapes, and never between the two of a surrogate pair.
_PIECE = re.compile(
    r'(?:[^"\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\[^u])*+'
)

# What a value can begin with.
VALUES = '"{[-0123456789tfn'
# What a frame waits for.
FIRST, NEXT, VALUE, AFTER = range(4)


class Cutter:
    """Takes the text of one document in pieces of at most 16 KB and appends completed values to `out`.

    `cut` raises what frames raise; after that the cutter is of no use. `rest` is the text that is not part of
    anything complete yet: it and `skeleton` tell the parser where an error is.
    """

    def __init__(self, root: Members, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        self.root = MembersFrame(root, "", keeps, allow_nan, out)
        self.allow_nan = allow_nan
        self.out = out
        # Whether the root object has closed, and the document if instances are kept.
        self.closed = False
        self.model: BaseModel | None = None
        # Characters that can complete a value; while the text has none of them it need not be looked at. "" is any.
        self.closers = ""
        self._stack: list[tuple[Frame, int]] = []
        self._frame: Frame = self.root
        self._state = -1
        self._slot: Slot | None = None
        self._parts: list[str] = []
        self._held = 0
        self._whole = False
        self._text = ""
        self._at = 0

    @property
    def between(self) -> bool:
        """Whether what comes next stands between two values, where any character may be wrong."""
        return self._slot is None

    @property
    def rest(self) -> str:
        """The text from the beginning of the part being read on."""
        return "".join(self._parts) + self._text[self._at :]

    @property
    def skeleton(self) -> str:
        """The shortest text that leads the parser to where `rest` begins."""
        if self._state < 0:
            return ""
        if self.closed:
            return "{}"
        frames = [*self._stack, (self._frame, self._state)]
        return "".join(_opened(frame, state) for frame, state in frames)

    def loc(self) -> tuple[int | str, ...]:
        """Return the loc of the container being read."""
        return tuple(item for frame, _ in self._stack for item in frame.loc())

    def cut(self, text: str) -> None:
        """Take the next piece of the text."""
        self._text = self._text[self._at :] + text if self._slot is None else text
        self._at = 0
        while self._step():
            pass
        if self._slot is None and len(self._text) - self._at > MAX_GLUE:
            raise Surprise(f"more than {MAX_GLUE} characters between two values")
        self._expect()

    def _step(self) -> bool:
        """Read on by one part or one piece of glue; False when more text is needed."""
        if self._slot is not None:
            return self._in_slot(self._slot)
        frame = self._frame
        if isinstance(frame, TextFrame):
            return self._in_text(frame)
        text = self._text
        at = self._at = skip_space(text, self._at)
        if at == len(text):
            return False
        char = text[at]
        if self.closed:
            raise NotJson
        if self._state < 0:
            return self._root(char)
        if self._state == VALUE:
            return self._value(char)
        if self._state == AFTER:
            if char == ",":
                self._state = NEXT
                self._at = at + 1
                return True
            if char == frame.closer:
                return self._close()
            raise NotJson
        if char == frame.closer and self._state == FIRST:
            return self._close()
        if isinstance(frame, ItemsFrame):
            return self._item(frame, char)
        return self._entry(frame, char)

    def _root(self, char: str) -> bool:
        if char != "{":
            # Another kind of JSON value is no document either, but that is for Pydantic to say, in its words.
            if char in VALUES or (self.allow_nan and char in "NI"):
                raise Surprise("the text is not an object")
            raise NotJson
        self._state = FIRST
        self._at += 1
        return True

    def _item(self, frame: ItemsFrame, char: str) -> bool:
        node = frame.node
        if not node.may_omit and not (frame.hands_out and node.element.open):
            if self._run(RUN, frame):
                return True
            text, at, closers = self._text, self._at, node.closers
            if (
                len(text) - at < MAX_TAIL
                and text.find(closers[0], at + 1) < 0
                and text.find(closers[1], at + 1) < 0
            ):
                # Not complete for sure; with what comes next it is soonest read from its beginning.
                return False
        return self._value(char)

    def _run(self, run: re.Pattern[str], frame: ItemsFrame | EntriesFrame) -> bool:
        """Take the flat parts that begin here, together, if there are any."""
        at = self._at
        match = run.match(self._text, at, at + HUGE)
        assert match is not None  # it matches the empty string
        end = match.end()
        if end == at:
            return False
        if len(self._stack) + 1 + RUN_DEPTH > MAX_CUT_DEPTH:
            raise Surprise(f"deeper than {MAX_CUT_DEPTH} levels")
        ended = match[2] is not None
        frame.batch(self._text[at : end if ended else end - 1])
        self._at = end
        self._state = AFTER if ended else NEXT
        return True

    def _entry(self, frame: Frame, char: str) -> bool:
        if char != '"':
            raise NotJson
        if isinstance(frame, EntriesFrame):
            if self._run(MEMBER_RUN, frame):
                return True
        match = _KEY.match(self._text, self._at)
        if match is None:
            # Not all of it is there, or it is no key.
            self._ask_parser()
            return False
        key = match[1]
        if "\\" in key:
            try:
                key = from_json(f'"{key}"')
            except ValueError:
                raise NotJson from None
        if isinstance(frame, EntriesFrame):
            frame.key = match[0]
        else:
            assert isinstance(frame, MembersFrame)
            frame.begin(key)
        self._at = match.end()
        self._state = VALUE
        return True

    def _ask_parser(self) -> None:
        try:
            from_json(self.skeleton + self._text[self._at :])
        except ValueError as error:
            if not str(error).startswith("EOF while parsing"):
                raise NotJson from None

    def _value(self, char: str) -> bool:
        if char not in VALUES and not (self.allow_nan and char in "NI"):
            raise NotJson
        self._state = VALUE
        if not isinstance(self._frame, EntriesFrame):
            node = self._frame.leaf().open
            if node is not None and char == node.opener and self._frame.hands_out:
                self._push(node, self._frame.here())
                self._at += 1
                return True
        self._slot = Slot()
        self._parts = []
        self._held = 0
        # The parts of a dict's huge entry are not known by a schema of their own.
        self._whole = isinstance(self._frame, EntriesFrame)
        return True

    def _in_slot(self, slot: Slot) -> bool:
        text, at = self._text, self._at
        end = slot.end(text, at) if at < len(text) else -1
        if end == TOO_DEEP:
            raise NotJson
        # Opened by its length alone, so that the pieces in which it comes make no difference.
        if not self._whole and self._held + (len(text) if end < 0 else end) - at > HUGE and self._open_huge():
            return True
        if end < 0:
            self._parts.append(text[at:])
            self._held += len(text) - at
            self._text, self._at = "", 0
            return False
        self._deep(slot.deepest)
        self._frame.part("".join(self._parts) + text[at:end] if self._parts else text[at:end])
        self._parts = []
        self._slot = None
        self._at = end
        self._state = AFTER
        return True

    def _open_huge(self) -> bool:
        """Go back to the beginning of the value and cut it inside, if its schema allows that."""
        self._whole = True
        frame = self._frame
        node = frame.leaf().huge if frame.takes_all else None
        text = self.rest
        if node is None or not text.startswith(node.opener):
            return False
        self._text, self._at = text, 1
        self._parts, self._held, self._slot = [], 0, None
        self._push(node, None)
        return True

    def _in_text(self, frame: TextFrame) -> bool:
        match = _PIECE.match(self._text, self._at)
        assert match is not None
        if match.end() > self._at:
            frame.piece(match[0])
            self._at = match.end()
        if self._text.startswith('"', self._at):
            return self._close()
        if self._at < len(self._text):
            self._ask_parser()  # half an escape, or none
        return False

    def _push(self, node: Node, path: str | None) -> None:
        self._stack.append((self._frame, self._state))
        if len(self._stack) > MAX_CUT_DEPTH:
            raise Surprise(f"deeper than {MAX_CUT_DEPTH} levels")
        kind: Any
        if isinstance(node, Members):
            kind = MembersFrame
        elif isinstance(node, Items):
            kind = ItemsFrame
        else:
            kind = EntriesFrame if isinstance(node, Entries) else TextFrame
        self._frame = kind(node, path, self._frame.keeps, self.allow_nan, self.out)
        self._state = FIRST

    def _close(self) -> bool:
        frame = self._frame
        self._at += 1
        value, emitted = frame.close()
        if not self._stack:
            self.closed = True
            self.model = value if frame.keeps else None
            return True
        self._frame, _ = self._stack.pop()
        self._frame.take(value, frame.dump, emitted)
        self._state = AFTER
        return True

    def _deep(self, levels: int) -> None:
        if len(self._stack) + 1 + levels > MAX_CUT_DEPTH:
            raise Surprise(f"deeper than {MAX_CUT_DEPTH} levels")

    def _expect(self) -> None:
        frame = self._frame
        if self._slot is not None:
            self.closers = self._slot.closers
        elif isinstance(frame, TextFrame):
            self.closers = '"'
        elif isinstance(frame, ItemsFrame):
            self.closers = "{]" if frame.hands_out and frame.node.element.open else frame.node.closers
        else:
            # Nothing can close before the next value begins, but the object.
            between = self._state in (FIRST, NEXT, AFTER) and not self.closed
            self.closers = ":}" if between else ""


def _opened(frame: Frame, state: int) -> str:
    if isinstance(frame, TextFrame):
        return '"'
    if isinstance(frame, ItemsFrame):
        return ("[", "[0,", "[" + "0," * (frame.count > 0), "[0 ")[state]
    return ("{", '{"":0,', '{"":', '{"":0 ')[state]
