"""The splitter: a stack of open containers that is told where each part of the text ends.

    container          between parts it reads        parts
    ObjectContainer    `,` `}` and `"key":`          values, each by its own schema
    ListContainer      `,` `]`                       elements, in runs where they are flat
    DictContainer      `,` `}`                       `"key": value`, in runs where they are flat
    TextContainer      `"`                           pieces of a string

What stands between parts is checked here, character by character, and is all the JSON that this distribution reads by
itself. Whatever is not what it should be is shown to Pydantic's parser (syntax.py).

A container may be as deep as that parser lets it, but parts are parsed one by one, each from depth 0. So the depth is
counted here, and far from the parser's limit the whole text is left to the parser.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from pydantic_core import ValidationError, from_json

from pydantic_streaming.containers import (
    AFTER,
    ANY,
    FIRST,
    NEXT,
    VALUE,
    Container,
    DictContainer,
    ListContainer,
    TextContainer,
)
from pydantic_streaming.errors import CannotSplit, SyntaxInvalid, ValueInvalid
from pydantic_streaming.objects import ObjectContainer
from pydantic_streaming.plan import ContainerPlan, DictPlan, ListPlan, ObjectPlan, TextPlan
from pydantic_streaming.scanner import (
    BARE_END,
    KEY,
    MEMBER_RUN,
    RUN,
    RUN_DEPTH,
    STRING_PIECE,
    TOO_DEEP,
    WHITESPACE,
    ValueScanner,
    skip_space,
)
from pydantic_streaming.syntax import could_go_on, first_error
from pydantic_streaming.values import Value
from pydantic_streaming.whole import INLINE_MAX_BYTES

__all__ = ["HUGE", "MAX_SPLIT_DEPTH", "Splitter"]

# A value whose text is longer is split inside if it can be: validating 16 KB takes 0.1 to 0.3 ms.
HUGE = 16384
# The same where its end has not come yet: what is wrong in it is then known before. Opening an element costs as much
# as a hundred tokens, so a shorter one is sooner waited for.
LONG = 1024
# A key or another piece of the text between parts is not longer in earnest.
MAX_GLUE = 4096
# An element that is read anew with each scan is no longer than this.
MAX_TAIL = 512
# A scan costs 5 to 10 us, so one for each 512 tokens is next to nothing, though no value can have closed.
MAX_PATIENCE = 2048
# The parser's limit is 201.
MAX_SPLIT_DEPTH = 150

# What a value can begin with.
VALUES = '"{[-0123456789tfn'

CONTAINERS = {
    ObjectPlan: ObjectContainer,
    ListPlan: ListContainer,
    DictPlan: DictContainer,
    TextPlan: TextContainer,
}


class Splitter:
    """Takes the text of one document in pieces of at most 16 KB and appends completed values to `out`.

    `split` raises what containers raise; after that the splitter is of no use. `rest` is the text that is not part of
    anything complete yet: it and `skeleton` tell the parser where an error is.
    """

    def __init__(self, root: ObjectPlan, keeps: bool, allow_nan: bool, out: list[Value]) -> None:
        self.root = ObjectContainer(root, "", keeps, allow_nan, out)
        self.allow_nan = allow_nan
        self.out = out
        # The open containers, from the outside in: those around the innermost, each with what is read next in it, the
        # innermost, and what is read next in that (-1 before the root has begun).
        self._outer: list[tuple[Container, int]] = []
        self.container: Container = self.root
        self.state = -1
        # Whether the root has closed.
        self.closed = False
        # The document, once the root has closed, if instances are kept.
        self.model: BaseModel | None = None
        # Characters that can complete a value; while the text has neither it need not be scanned. "" is any.
        self.closers = ANY
        # How many characters may come, though none of these is among them, before a value is long.
        self.patience = MAX_PATIENCE
        self._scanner: ValueScanner | None = None
        # The text from the part being read on, except what the scanner has taken, and where reading it goes on.
        self._text = ""
        self._at = 0
        # How many containers are around one that Pydantic has refused as a whole; 0 if none is.
        self._refused = 0
        # How many characters came, and how many of them are parts that have validated: of any depth, of the root.
        self._taken = 0
        self.validated_chars = self.member_chars = 0

    @property
    def between(self) -> bool:
        """Whether what comes next stands between two values, where any character may be wrong."""
        return self._scanner is None

    @property
    def rest(self) -> str:
        """The text from the beginning of the part being read on."""
        return ("" if self._scanner is None else self._scanner.text) + self._text[self._at :]

    def split(self, text: str) -> None:
        """Take the next piece of the text."""
        self._text = self._text[self._at :] + text if self._scanner is None else text
        self._at = 0
        self._taken += len(text)
        known = len(self.out)
        while self._step():
            if len(self.out) != known:
                known = len(self.out)
                self.validated_chars = self._taken - len(self.rest)
                if not self._outer:
                    self.member_chars = self.validated_chars
        if self._scanner is None and len(self._text) - self._at > MAX_GLUE:
            raise CannotSplit(f"more than {MAX_GLUE} characters between two values")
        self._expect()

    def _step(self) -> bool:
        """Read on by one part or one piece of glue; False when more text is needed."""
        if self._scanner is not None:
            return self._in_value(self._scanner)
        container = self.container
        if isinstance(container, TextContainer):
            return self._in_text(container)
        text, at = self._text, self._at
        if at == len(text):
            return False
        if (char := text[at]) in WHITESPACE:
            at = self._at = skip_space(text, at)
            if at == len(text):
                return False
            char = text[at]
        if self.closed:
            raise SyntaxInvalid
        if self.state < 0:
            return self._root(char)
        if self.state == VALUE:
            return self._value(char)
        if self.state == AFTER:
            if char == ",":
                self.state = NEXT
                self._at = at + 1
                return True
            if char == container.closer:
                return self._close()
            raise SyntaxInvalid
        if char == container.closer and self.state == FIRST:
            return self._close()
        if isinstance(container, ListContainer):
            return self._item(container, char)
        return self._entry(container, char)

    def _root(self, char: str) -> bool:
        if char != "{":
            if char in VALUES or (self.allow_nan and char in "NI"):
                raise self._no_object()
            raise SyntaxInvalid
        self.state = FIRST
        self._at += 1
        return True

    def _no_object(self) -> Exception:
        """What Pydantic says of a root of another kind, which it says whatever is inside and however it ends."""
        try:
            self.root.plan.cls.__pydantic_validator__.validate_json("[]")
        except ValidationError as error:
            details = first_error(error)
            if details["type"] == "model_type" and not details["loc"]:
                return ValueInvalid(details)
        return CannotSplit("the text is not an object")

    def _item(self, container: ListContainer, char: str) -> bool:
        plan = container.plan
        if not plan.may_omit and not (container.hands_out and plan.element.open):
            text, at, (closer, end) = self._text, self._at, plan.closers
            if closer == ",":
                ended = BARE_END.search(text, at) is not None
            else:
                ended = text.find(closer, at + 1) >= 0 or text.find(end, at + 1) >= 0
            if ended:
                if self._run(RUN, container):
                    return True
            elif char in plan.begins and len(text) - at < MAX_TAIL:
                # Not complete for sure; with what comes next it is soonest read from its beginning.
                return False
        return self._value(char)

    def _run(self, run: re.Pattern[str], container: ListContainer | DictContainer) -> bool:
        """Take the flat parts that begin here, together, if there are any."""
        at = self._at
        match = run.match(self._text, at, at + HUGE)
        assert match is not None  # it matches the empty string
        end = match.end()
        if end == at:
            return False
        self.deepen(RUN_DEPTH)
        ended = match[2] is not None
        try:
            container.batch(self._text[at : end if ended else end - 1])
        except ValueInvalid as invalid:
            if len(invalid.text) <= LONG:
                raise
            # Once more, by itself: then it can be said what is wrong first.
            self._at = at + invalid.begin
            self.state = NEXT
            if isinstance(container, DictContainer):
                return self._key(container)
            return self._value(self._text[self._at])
        self._at = end
        self.state = AFTER if ended else NEXT
        return True

    def _entry(self, container: Container, char: str) -> bool:
        if char != '"':
            raise SyntaxInvalid
        if (
            isinstance(container, DictContainer)
            and container.path is None
            and self._run(MEMBER_RUN, container)
        ):
            return True
        return self._key(container)

    def _key(self, container: Container) -> bool:
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
                raise SyntaxInvalid from None
        if isinstance(container, DictContainer):
            container.begin(match[0], key)
        else:
            assert isinstance(container, ObjectContainer)
            container.begin(key)
        self._at = match.end()
        self.state = VALUE
        return True

    def _ask_parser(self) -> None:
        if not could_go_on(self.skeleton + self._text[self._at :]):
            raise SyntaxInvalid

    def _value(self, char: str) -> bool:
        if char not in VALUES and not (self.allow_nan and char in "NI"):
            raise SyntaxInvalid
        self.state = VALUE
        plan = self.container.value_schema().open if self.container.hands_out else None
        if plan is not None and char == plan.opener:
            self.push(plan, self.container.here())
            self._at += 1
            return True
        self._scanner = ValueScanner()
        return self._in_value(self._scanner)

    def _in_value(self, scanner: ValueScanner) -> bool:
        text, at = self._text, self._at
        end = scanner.end(text, at) if at < len(text) else -1
        if end == TOO_DEEP:
            raise SyntaxInvalid
        chars = scanner.chars + (len(text) if end < 0 else end) - at
        # Opened by its length alone, so that the pieces in which it comes make no difference.
        if chars > (LONG if end < 0 else HUGE) and self._try_inside(scanner, huge=chars > HUGE):
            return True
        if end < 0:
            scanner.hold(text[at:])
            self._text, self._at = "", 0
            if chars > INLINE_MAX_BYTES:
                # Of no use to split: validating it would hold up the event loop, and a child process does not.
                raise CannotSplit(
                    f"a value of more than {INLINE_MAX_BYTES} characters that cannot be split inside"
                )
            return False
        self.deepen(scanner.deepest)
        try:
            self.container.part(scanner.text + text[at:end])
        except ValueInvalid:
            # What would have been known first if the text had come in smaller pieces.
            if chars <= LONG or not self._open_inside(huge=False):
                raise
            self._refused = self._refused or len(self._outer)
            return True
        self._scanner = None
        self._at = end
        self.state = AFTER
        return True

    def _try_inside(self, scanner: ValueScanner, *, huge: bool) -> bool:
        """Split the value inside if its schema allows that, and that was not asked before."""
        if scanner.tried_huge or (scanner.tried and not huge):
            return False
        scanner.tried, scanner.tried_huge = True, huge
        return self._open_inside(huge=huge)

    def _open_inside(self, *, huge: bool) -> bool:
        """Go back to the beginning of the value and split it inside, if its schema allows that."""
        container, text = self.container, self.rest
        plan = container.value_schema().inside if container.takes_all else None
        if plan is None or not text.startswith(plan.opener) or (isinstance(plan, TextPlan) and not huge):
            return False
        self._text, self._at, self._scanner = text, 1, None
        self.push(plan, None)
        return True

    def _in_text(self, container: TextContainer) -> bool:
        match = STRING_PIECE.match(self._text, self._at)
        assert match is not None
        if match.end() > self._at:
            container.part(match[0])
            self._at = match.end()
        if self._text.startswith('"', self._at):
            return self._close()
        if self._at < len(self._text):
            self._ask_parser()  # half an escape, or none
        return False

    def _close(self) -> bool:
        self._at += 1
        self.container.closing = True
        value = self.pop()
        if self._refused > len(self._outer):
            raise CannotSplit("a value is refused as a whole and accepted in parts")
        if self.closed:
            self.model = value if self.root.keeps else None
        self.state = AFTER
        return True

    def _expect(self) -> None:
        held = self._scanner.chars if self._scanner is not None else len(self._text) - self._at
        tried = self._scanner is not None and self._scanner.tried
        may_open = not tried and self.container.takes_all and self.container.reads_nested
        self.patience = max(LONG - held, 1) if may_open else MAX_PATIENCE
        if self._scanner is not None:
            self.closers = self._scanner.closer, self._scanner.closer
        else:
            self.closers = ANY if self.state < 0 or self.closed else self.container.expected(self.state)

    @property
    def skeleton(self) -> str:
        """The shortest text that leads the parser to where the next part begins."""
        if self.state < 0:
            return ""
        if self.closed:
            return "{}"
        return "".join(
            container.skeleton(state) for container, state in (*self._outer, (self.container, self.state))
        )

    def loc(self) -> tuple[int | str, ...]:
        """Return the loc of the innermost container."""
        return tuple(item for container, _ in self._outer for item in container.loc())

    def place(self) -> tuple[int | str, ...]:
        """Return the loc of what is being validated."""
        return self.loc() if self.container.closing else (*self.loc(), *self.container.loc())

    def push(self, plan: ContainerPlan, path: str | None) -> None:
        """Open a container inside the innermost."""
        self.deepen(1)
        self._outer.append((self.container, self.state))
        kind: Any = CONTAINERS[type(plan)]
        self.container = kind(plan, path, self.container.keeps, self.allow_nan, self.out)
        self.state = FIRST

    def pop(self) -> Any:
        """Close the innermost container, give it to the one around it, and return its value."""
        container = self.container
        value, emitted = container.close()
        if self._outer:
            self.container, _ = self._outer.pop()
            self.container.take(value, container.dump, emitted)
        else:
            self.closed = True
        return value

    def deepen(self, levels: int) -> None:
        """Say that a part goes so many levels deeper.

        Raises:
            CannotSplit: that is too deep to be split.
        """
        if len(self._outer) + 1 + levels > MAX_SPLIT_DEPTH:
            raise CannotSplit(f"deeper than {MAX_SPLIT_DEPTH} levels")
