"""Asking once more after a violation: what of the first answer is kept, and what is asked for again.

The members of the top-level object that were complete and valid are kept as the text that they were, and the second
answer is spliced on behind them. What is validated is one text again, by the whole model from its first character,
so a retry is as exact as a first answer. Where nothing can be told apart (a model that is not split, a violation of
the document as a whole, a text too large to be looked at again without stopping the loop) everything is asked again.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from pydantic_streaming import Violation, plan_for
from weir.providers.call import Message, Role, TextPart

MAX_KEPT_CHARS = 100_000
_decode = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Retry:
    """The second question.

    `messages` follow the conversation; `properties` names the fields to ask for, None for all of them; `prefix` is
    the kept text, an object without its closing brace, or empty, and `kept` the names in it; `kept_paths` are the
    values sent that hold, and `discarded_paths` those that do not.
    """

    reason: str
    messages: list[Message]
    properties: frozenset[str] | None
    prefix: str
    kept: frozenset[str]
    kept_paths: frozenset[str]
    discarded_paths: list[str]


def plan_retry(
    model: type[BaseModel],
    text: str,
    violations: Sequence[Violation],
    sent_paths: Sequence[str],
    properties: Collection[str],
    released: str = "",
) -> Retry:
    """Decide what to keep of a first answer `text` that broke `model`, whose values `sent_paths` went out.

    `properties` are the fields that may be asked for apart: none where the document is no object, or where the provider
    would compile a grammar for them, which takes longer than the tokens that it spares. `released` is text that has
    left and is not taken back: the kept text begins with it.
    """
    reason = "; ".join(
        f"{'/'.join(map(str, item.loc)) or 'document'}: {item.message}" for item in violations[:5]
    )
    wrong = {str(item.loc[0]) if item.loc else None for item in violations}
    kept: dict[str, str] = {}
    if plan_for(model).split and None not in wrong and len(text) <= MAX_KEPT_CHARS:
        kept = {name: raw for name, raw in completed_members(text).items() if name not in wrong}
    missing = frozenset(properties) - frozenset(kept)
    if not kept or not missing or not kept.keys() <= set(properties):
        ask = f"Your answer broke its schema ({reason}). Give the whole document again, as JSON that follows it."
        return Retry(reason, [_said("user", ask)], None, "", frozenset(), frozenset(), list(sent_paths))
    gone = completed_members(released + "}") if released else {}
    more = [f"{json.dumps(name)}:{raw}" for name, raw in kept.items() if name not in gone]
    prefix = ",".join([released, *more]) if gone else "{" + ",".join(more)
    kept_paths = frozenset(path for path in sent_paths if _first(path) in kept)
    ask = (
        f"The document above is right as far as it goes; what followed broke its schema ({reason}). "
        f"Give a JSON object of the missing fields alone: {', '.join(sorted(missing))}."
    )
    return Retry(
        reason,
        [_said("assistant", prefix + "}"), _said("user", ask)],
        missing,
        prefix,
        frozenset(kept),
        kept_paths,
        [path for path in sent_paths if path not in kept_paths],
    )


def _said(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def _first(path: str) -> str:
    return path.split("/")[1].replace("~1", "/").replace("~0", "~") if path else ""


def completed_members(text: str) -> dict[str, str]:
    """The members of a top-level object that are complete in a text that may break off, as raw JSON by name.

    A name that comes twice is left out: neither value can be said to be the one.
    """
    members: dict[str, str] = {}
    repeated: set[str] = set()
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return {}
    try:
        while True:
            name, at = _decode(text, _skip(text, at + 1))
            at = _skip(text, at)
            if not isinstance(name, str) or text[at : at + 1] != ":":
                break
            start = _skip(text, at + 1)
            _, end = _decode(text, start)
            at = _skip(text, end)
            if text[at : at + 1] not in (",", "}"):
                break  # a number may go on where the text breaks off
            repeated.update({name} & members.keys())
            members[name] = text[start:end]
            if text[at] == "}":
                break
    except (ValueError, RecursionError):
        pass  # here the text broke off, or was wrong: what came before is what is complete
    return {name: raw for name, raw in members.items() if name not in repeated}


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


class Splice:
    """Joins the second answer to the kept text: `{"a":1` and ` {"b":2}` become one object.

    An answer that does not begin with a brace is passed on as it is, and so is refused for what it is. One whose
    first member was kept gives the whole document again, asked or not: it is taken alone, and `whole` says so.
    """

    def __init__(self, prefix: str, kept: frozenset[str]) -> None:
        self.whole = False
        self._prefix = prefix
        self._kept = kept
        self._held = ""

    def feed(self, text: str) -> str:
        """Take text of the answer; return the text of the joined document, in order, as soon as it is known."""
        if not self._prefix:
            return text
        self._held += text
        opened = self._held.lstrip(" \t\n\r")
        if opened and opened[0] != "{":
            self._prefix = ""
            return opened
        inner = opened[1:].lstrip(" \t\n\r")
        if not inner:
            return ""
        first = None
        if inner[0] == '"':
            try:
                first, _ = _decode(inner)
            except ValueError:
                return ""  # its name is not complete
        joined = self._prefix + ("" if inner[0] == "}" else ",") + inner
        self._prefix = ""
        if first in self._kept:
            self.whole = True
            return opened
        return joined
