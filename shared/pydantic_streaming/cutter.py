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

from pydantic import BaseModel
from pydantic_core import from_json

from pydantic_streaming.frames import AFTER, ANY, FIRST, NEXT, VALUE, Frame, MembersFrame
from pydantic_streaming.huge import EntriesFrame, TextFrame
from pydantic_streaming.lists import ItemsFrame
from pydantic_streaming.nodes import Members
from pydantic_streaming.scanner import (
    BARE_END,
    KEY,
    MEMBER_RUN,
    RUN,
    RUN_DEPTH,
    STRING_PIECE,
    TOO_DEEP,
    Slot,
    skip_space,
)
from pydantic_streaming.slices import NotJson, Surprise
from pydantic_streaming.stack import Stack
from pydantic_streaming.syntax import may_go_on
from pydantic_streaming.values import Value
from pydantic_streaming.whole import INLINE_MAX_BYTES

__all__ = ["HUGE", "Cutter"]

# A value whose text is longer is cut inside if it can be: validating 16 KB takes 0.1 to 0.3 ms.
HUGE = 16384
# A key or another piece of the text between parts is not longer in earnest.
MAX_GLUE = 4096
# An element that is read anew with each look is no longer than this.
MAX_TAIL = 512

# What a value can begin with.
VALUES = '"{[-0123456789tfn'


class Cutter(Stack):
    """Takes the text of one document in pieces of at most 16 KB and appends completed values to `out`.

    `cut` raises what frames raise; after that the cutter is of no use. `rest` is the text that is not part of
    anything complete yet: it and `skeleton` tell the parser where an error is.
    """

    def __init__(self, root: Members, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        super().__init__(root, keeps, allow_nan, out)
        # The document, once the root has closed, if instances are kept.
        self.model: BaseModel | None = None
        # Characters that can complete a value; while the text has neither it need not be looked at. "" is any.
        self.closers = ANY
        self._slot: Slot | None = None
        # The text from the part being read on, except what the slot has taken, and where reading it goes on.
        self._text = ""
        self._at = 0

    @property
    def between(self) -> bool:
        """Whether what comes next stands between two values, where any character may be wrong."""
        return self._slot is None

    @property
    def rest(self) -> str:
        """The text from the beginning of the part being read on."""
        return ("" if self._slot is None else self._slot.text) + self._text[self._at :]

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
        frame = self.frame
        if isinstance(frame, TextFrame):
            return self._in_text(frame)
        text = self._text
        at = self._at = skip_space(text, self._at)
        if at == len(text):
            return False
        char = text[at]
        if self.closed:
            raise NotJson
        if self.state < 0:
            return self._root(char)
        if self.state == VALUE:
            return self._value(char)
        if self.state == AFTER:
            if char == ",":
                self.state = NEXT
                self._at = at + 1
                return True
            if char == frame.closer:
                return self._close()
            raise NotJson
        if char == frame.closer and self.state == FIRST:
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
        self.state = FIRST
        self._at += 1
        return True

    def _item(self, frame: ItemsFrame, char: str) -> bool:
        node = frame.node
        if not node.may_omit and not (frame.hands_out and node.element.open):
            text, at, (closer, end) = self._text, self._at, node.closers
            if closer == ",":
                ended = BARE_END.search(text, at) is not None
            else:
                ended = text.find(closer, at + 1) >= 0 or text.find(end, at + 1) >= 0
            if ended:
                if self._run(RUN, frame):
                    return True
            elif char in node.begins and len(text) - at < MAX_TAIL:
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
        self.deepen(RUN_DEPTH)
        ended = match[2] is not None
        frame.batch(self._text[at : end if ended else end - 1])
        self._at = end
        self.state = AFTER if ended else NEXT
        return True

    def _entry(self, frame: Frame, char: str) -> bool:
        if char != '"':
            raise NotJson
        if isinstance(frame, EntriesFrame) and self._run(MEMBER_RUN, frame):
            return True
        match = KEY.match(self._text, self._at)
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
        self.state = VALUE
        return True

    def _ask_parser(self) -> None:
        if not may_go_on(self.skeleton + self._text[self._at :]):
            raise NotJson

    def _value(self, char: str) -> bool:
        if char not in VALUES and not (self.allow_nan and char in "NI"):
            raise NotJson
        self.state = VALUE
        if not isinstance(self.frame, EntriesFrame):
            node = self.frame.leaf().open
            if node is not None and char == node.opener and self.frame.hands_out:
                self.push(node, self.frame.here())
                self._at += 1
                return True
        self._slot = Slot()
        return True

    def _in_slot(self, slot: Slot) -> bool:
        text, at = self._text, self._at
        end = slot.end(text, at) if at < len(text) else -1
        if end == TOO_DEEP:
            raise NotJson
        chars = slot.chars + (len(text) if end < 0 else end) - at
        # Opened by its length alone, so that the pieces in which it comes make no difference.
        if chars > HUGE and self._open_huge(slot):
            return True
        if end < 0:
            slot.hold(text[at:])
            self._text, self._at = "", 0
            if chars > INLINE_MAX_BYTES:
                # Of no use to cut: validating it would hold up the event loop, and a child process does not.
                raise Surprise(
                    f"a value of more than {INLINE_MAX_BYTES} characters that cannot be cut inside"
                )
            return False
        self.deepen(slot.deepest)
        self.frame.part(slot.text + text[at:end])
        self._slot = None
        self._at = end
        self.state = AFTER
        return True

    def _open_huge(self, slot: Slot) -> bool:
        """Go back to the beginning of the value and cut it inside, if its schema allows that."""
        if slot.tried:
            return False
        slot.tried = True
        frame, text = self.frame, self.rest
        # The values of a huge dict are not known by a schema of their own.
        node = frame.leaf().huge if frame.takes_all and not isinstance(frame, EntriesFrame) else None
        if node is None or not text.startswith(node.opener):
            return False
        self._text, self._at, self._slot = text, 1, None
        self.push(node, None)
        return True

    def _in_text(self, frame: TextFrame) -> bool:
        match = STRING_PIECE.match(self._text, self._at)
        assert match is not None
        if match.end() > self._at:
            frame.part(match[0])
            self._at = match.end()
        if self._text.startswith('"', self._at):
            return self._close()
        if self._at < len(self._text):
            self._ask_parser()  # half an escape, or none
        return False

    def _close(self) -> bool:
        self._at += 1
        value = self.pop()
        if self.closed:
            self.model = value if self.root.keeps else None
        self.state = AFTER
        return True

    def _expect(self) -> None:
        if self._slot is not None:
            self.closers = self._slot.closer, self._slot.closer
        else:
            self.closers = ANY if self.state < 0 or self.closed else self.frame.expected(self.state)
