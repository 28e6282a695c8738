"""Asking once more after a violation: what of the first answer is kept, and what is asked for again.

The members of the top-level object that were complete and valid are kept as the text that they were, and so are the
elements before the wrong one of a list; the second answer is spliced on behind them. What is validated is one text
again, by the whole model from its first character, so a retry is as exact as a first answer. Where nothing can be told
apart (a model that is not split, a violation of the document as a whole, a text too large to be looked at again without
stopping the loop) everything is asked again; of what has left as text, which is not taken back, the second answer's own
members are then left out.
"""

import json
import re
import sys
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from pydantic_streaming import Violation, plan_for
from weir.providers.call import Message, Role, TextPart

MAX_KEPT_CHARS = 100_000
_decode = json.JSONDecoder().raw_decode
_BLANKS = " \t\n\r"
_SPACE = re.compile(rf"[{_BLANKS}]*")
# Behind a member's name: a list and what is first in it, or less than that.
_LIST_BEGUN = re.compile(rf"[{_BLANKS}]*:[{_BLANKS}]*\[[{_BLANKS}]*(?=[^{_BLANKS}])")
_LIST_TO_BEGIN = re.compile(rf"[{_BLANKS}]*:?[{_BLANKS}]*\[?[{_BLANKS}]*")


@dataclass(frozen=True, slots=True)
class Retry:
    """The second question.

    `messages` follow the conversation; `properties` names the fields to ask for, None for all of them; `prefix` is
    the kept text, an object without its closing brace, or empty, and `kept` the names in it; `open_list` is the name of
    a list at its end that goes on, "" if there is none; `released` is the part of `prefix` that has left as text;
    `kept_paths` are the values sent that hold, and `discarded_paths` those that do not.
    """

    reason: str
    messages: list[Message]
    properties: frozenset[str] | None
    prefix: str
    kept: frozenset[str]
    open_list: str
    released: str
    kept_paths: frozenset[str]
    discarded_paths: list[str]


def plan_retry(
    model: type[BaseModel],
    text: str,
    violations: Sequence[Violation],
    sent_paths: Sequence[str],
    properties: Collection[str],
    released: str = "",
    *,
    apart: bool = True,
) -> Retry | None:
    """Decide what to keep of a first answer `text` that broke `model`, whose values `sent_paths` went out.

    `properties` are the fields in their order: none where the document is no object. `apart` says whether some can be
    asked for without the others: not where the provider would compile a grammar for them, which takes longer than the
    tokens that it spares. `released` is text that has left and is not taken back: the kept text begins with it. None
    where no answer could mend what has left.
    """
    reason = "; ".join(
        f"{'/'.join(map(str, item.loc)) or 'document'}: {item.message}" for item in violations[:5]
    )
    wrong = {str(item.loc[0]) if item.loc else None for item in violations}
    kept: dict[str, str] = {}
    if _apart(model, text) and None not in wrong:
        kept = {name: raw for name, raw in completed_members(text).items() if name not in wrong}
    gone = completed_members(released + "}") if released else {}
    missing = [name for name in properties if name not in kept] if apart else []
    if not missing or not kept.keys() <= set(properties):
        return _everything(reason, sent_paths, released, gone, {*properties, *wrong} - gone.keys())
    # The list must come first in what is asked for, to be gone on with where it ended.
    elements = _elements_before(model, text, violations, missing[0])
    if not kept and not elements:
        return _everything(reason, sent_paths, released, gone, {*properties, *wrong} - gone.keys())
    more = [f"{json.dumps(name)}:{raw}" for name, raw in kept.items() if name not in gone]
    closing = "}"
    which = f"Give a JSON object of the missing fields alone: {', '.join(sorted(missing))}."
    if elements:
        more.append(f"{json.dumps(missing[0])}:[{','.join(elements)}")
        closing = "]}"
        which += f" Begin with {missing[0]}: give only the elements that follow the {len(elements)} above."
    prefix = ",".join([released, *more]) if gone else "{" + ",".join(more)
    kept_paths = frozenset(
        path for path in sent_paths if _first(path) in kept or _index(path, missing[0]) < len(elements)
    )
    ask = f"The document above is right as far as it goes; what followed broke its schema ({reason}). {which}"
    return Retry(
        reason,
        [_said("assistant", prefix + closing), _said("user", ask)],
        frozenset(missing),
        prefix,
        frozenset(kept),
        missing[0] if elements else "",
        released,
        kept_paths,
        [path for path in sent_paths if path not in kept_paths],
    )


def _everything(
    reason: str, sent_paths: Sequence[str], released: str, gone: Collection[str], to_mend: Set[str | None]
) -> Retry | None:
    ask = f"Your answer broke its schema ({reason}). Give the whole document again, as JSON that follows it."
    if not released:
        return Retry(
            reason, [_said("user", ask)], None, "", frozenset(), "", "", frozenset(), list(sent_paths)
        )
    if not gone or not to_mend - {None}:
        return None
    messages = [
        _said("assistant", released + "}"),
        _said("user", f"{ask} Begin with the members above as they are."),
    ]
    return Retry(
        reason, messages, None, released, frozenset(gone), "", released, frozenset(), list(sent_paths)
    )


def _apart(model: type[BaseModel], text: str) -> bool:
    """Whether parts of the text can be kept."""
    return plan_for(model).split and len(text) <= MAX_KEPT_CHARS


def _elements_before(
    model: type[BaseModel], text: str, violations: Sequence[Violation], name: str
) -> list[str]:
    """The elements of the list `name` before its first wrong one, as raw JSON; none where it is no such list."""
    if not _apart(model, text) or plan_for(model).describe().get(name) != "elements":
        return []
    first = sys.maxsize
    for item in violations:
        match item.loc:
            case (member, int() as index, *_) if member == name:
                first = min(first, index)
            case (member, *_) if member != name:
                pass
            case _:
                return []  # of the list, or of the document, as a whole
    return completed_elements(text, name)[:first]


def _said(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def _tokens(path: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _first(path: str) -> str:
    return next(iter(_tokens(path)), "")


def _index(path: str, name: str) -> int:
    """The index of the element of the list `name` that `path` is in, beyond every list where it is in none."""
    match _tokens(path):
        case [first, index, *_] if first == name and index.isdigit():
            return int(index)
        case _:
            return sys.maxsize


def completed_members(text: str) -> dict[str, str]:
    """The members of a top-level object that are complete in a text that may break off, as raw JSON by name.

    A name that comes twice is left out: neither value can be said to be the one.
    """
    members: dict[str, str] = {}
    repeated: set[str] = set()
    for name, start, end in _members(text):
        if end is not None:
            repeated.update({name} & members.keys())
            members[name] = text[start:end]
    return {name: raw for name, raw in members.items() if name not in repeated}


def completed_elements(text: str, name: str) -> list[str]:
    """The elements of the top-level list `name` that are complete, as raw JSON; none if the name comes twice."""
    starts = [start for member, start, _ in _members(text) if member == name]
    if len(starts) != 1 or text[starts[0] : starts[0] + 1] != "[":
        return []
    elements: list[str] = []
    at = starts[0]
    try:
        while text[at : at + 1] in ("[", ","):
            start = _skip(text, at + 1)
            _, end = _decode(text, start)
            at = _skip(text, end)
            if text[at : at + 1] in (",", "]"):  # a number may go on where the text breaks off
                elements.append(text[start:end])
    except (ValueError, RecursionError):
        pass
    return elements


def _members(text: str) -> Iterator[tuple[str, int, int | None]]:
    """Each member of a top-level object: its name, and where its value begins and ends, None if it may go on."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return
    following = ","
    while following == ",":
        try:
            name, at = _decode(text, _skip(text, at + 1))
        except (ValueError, RecursionError):
            return  # here the text broke off, or was wrong: what came before is what is complete
        at = _skip(text, at)
        if not isinstance(name, str) or text[at : at + 1] != ":":
            return
        start = _skip(text, at + 1)
        try:
            _, end = _decode(text, start)
        except (ValueError, RecursionError):
            end = len(text)
        at = _skip(text, end)
        following = text[at : at + 1]
        yield name, start, end if following and following in ",}" else None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


class Splice:
    """Joins the second answer to the kept text: `{"a":1` and ` {"b":2}` become one object.

    With an open list, `{"a":1,"b":[2` and `{"b":[3],"c":4}` do; an answer that does not begin with the list is taken
    alone. An answer that does not begin with a brace is passed on as it is, and so is refused for what it is. One whose
    first member was kept gives the whole document again, asked or not, and `whole` says so: it is taken alone, or,
    where text has been released, behind that and without the members that are in it.
    """

    def __init__(self, prefix: str, kept: frozenset[str], open_list: str = "", released: str = "") -> None:
        self.whole = False
        self._prefix = prefix
        self._kept = kept
        self._open_list = open_list
        self._released = released
        self._without: _Without | None = None
        self._held = ""

    def feed(self, text: str) -> str:
        """Take text of the answer; return the text of the joined document, in order, as soon as it is known."""
        if self._without is not None:
            return self._without.feed(text)
        if not self._prefix:
            return text
        self._held += text
        opened = self._held.lstrip(_BLANKS)
        joined = opened if opened and opened[0] != "{" else self._join(opened)
        if joined:
            self._prefix = ""
        return joined

    def _join(self, opened: str) -> str:
        """The joined text, empty as long as it cannot be told."""
        inner = opened[1:].lstrip(_BLANKS)
        if not inner:
            return ""
        name, end = None, 0
        if inner[0] == '"':
            try:
                name, end = _decode(inner)
            except ValueError:
                return ""  # its name is not complete
        if self._open_list and name == self._open_list:
            if begun := _LIST_BEGUN.match(inner, end):
                rest = inner[begun.end() :]
                return self._prefix + ("" if rest[0] == "]" else ",") + rest
            if _LIST_TO_BEGIN.fullmatch(inner, end):
                return ""
        if self._open_list or name in self._kept:
            self.whole = True
            if not self._released:
                return opened
            self._without = _Without(completed_members(self._released + "}"))
            return self._released + self._without.feed(inner)
        self._without = _Without(self._kept)  # what is asked for may come with more than that
        return self._prefix + self._without.feed(inner)


_OUTSIDE, _INSIDE = re.compile(r'[{}\[\],"]'), re.compile(r'["\\]')


class _Without:
    """An object's text behind its brace, but for the members of some names; each other one has a comma before it.

    Where no member begins, all goes through as it is, and so is refused for what it is.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._held = ""
        self._depth = 0
        self._reads: Literal["name", "value", "rest"] = "name"
        self._comma = ""  # that was read, and is not given
        self._drops = self._in_string = False

    def feed(self, text: str) -> str:
        """Take text, in order; return the text that stays, as soon as that is known."""
        self._held += text
        out: list[str] = []
        while self._held and (self._name(out) if self._reads == "name" else self._value(out)):
            pass
        return "".join(out)

    def _name(self, out: list[str]) -> bool:
        """Read a member's name; False where more has to come."""
        opened = self._held.lstrip(_BLANKS)
        if not opened:
            return False
        if opened[0] != '"':
            self._held, self._reads = self._comma + opened, "rest"
            return True
        try:
            name, _ = _decode(opened)
        except ValueError:
            return False
        self._drops, self._reads, self._held = name in self._names, "value", opened
        if not self._drops:
            out.append(",")
        return True

    def _value(self, out: list[str]) -> bool:
        """Read on to the comma behind a member; False where more has to come."""
        end, ended = (len(self._held), False) if self._reads == "rest" else self._end()
        if not self._drops or self._reads == "rest":
            out.append(self._held[:end])
        self._held = self._held[end:]
        if ended:
            self._reads, self._comma = ("name", ",") if self._held[0] == "," else ("rest", "")
            self._held = self._held.removeprefix(",") if self._comma else self._held
        return ended

    def _end(self) -> tuple[int, bool]:
        """How far the member goes in what is held, and whether it ends there."""
        at = 0
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(self._held, at):
            mark, at = found[0], found.end()
            if self._in_string and mark == "\\":
                if at == len(self._held):
                    return found.start(), False  # what it escapes has to come
                at += 1
            elif mark == '"':
                self._in_string = not self._in_string
            elif mark in "{[":
                self._depth += 1
            elif self._depth:
                self._depth -= mark in "}]"
            else:
                return found.start(), True
        return len(self._held), False
