"""Where a provider's strict mode makes a model write every field, null stands for a field that is absent.

A field with a default, whose own type has no null, was asked for as "this type, or null" (providers.schema_rules). The
members `"name": null` of such fields are taken out of the text here, on its way to the validator, so that the default
holds; any other null stays, and is the validator's to judge. The caller's deltas are the model's own text.

The text is read once, token by token, in whatever pieces it comes; what cannot be followed (no JSON, a place that the
schema does not know) is passed on as it is.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from weir.providers.schema_rules import alternatives, null_is_absent, resolve

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+|[ \t\n\r]+', re.DOTALL)

type Schema = dict[str, Any]


class NullAsAbsent:
    """Takes the text of one document in pieces, and gives it back without the nulls that stand for nothing."""

    def __init__(self, schema: Schema) -> None:
        self._definitions: Mapping[str, Schema] = schema.get("$defs", {})
        self._rest = ""  # of a token that is not whole
        self._open: list[_Container] = []
        self._due: list[Schema] = self._variants(
            [{key: value for key, value in schema.items() if key != "$defs"}]
        )

    def feed(self, text: str) -> str:
        """Take the next piece; give what of it is known to stay."""
        text = self._rest + text
        out: list[str] = []
        at = 0
        for match in _TOKEN.finditer(text):
            if match.end() == len(text) and text[match.end() - 1] not in '{}[]:,"':
                break  # a word or white space may go on
            if match.start() != at:
                break  # a string that has not closed
            self._token(match.group(), out)
            at = match.end()
        self._rest = text[at:]
        return "".join(out)

    def close(self) -> str:
        """The text has ended: give what was held."""
        out: list[str] = []
        rest, self._rest = self._rest, ""
        if rest and (match := _TOKEN.fullmatch(rest)):
            self._token(match.group(), out)
        elif rest:
            out.append(rest)
        for container in self._open:
            out.append(container.held)
            container.held = ""
        return "".join(out)

    def _token(self, token: str, out: list[str]) -> None:
        here = self._open[-1] if self._open else None
        if token.isspace():
            self._write(token, here, out)
        elif token in "{[":
            self._release(here, out)
            out.append(token)
            inside = self._due
            self._open.append(_Container(token == "{", inside))
            self._due = [] if token == "{" else self._items(inside, 0)
        elif token in "}]":
            if here is not None:
                # A comma without a member behind it is no JSON, and must not become some.
                out.append("," if here.owed else here.held)
                self._open.pop()
            out.append(token)
        elif token == ",":
            if here is None:
                out.append(token)
            elif here.dropped:
                here.dropped, here.owed = (
                    False,
                    True,
                )  # the comma goes with its member, if another one follows
            elif here.is_object:
                here.held += token  # until the next member is known to stay
            else:
                out.append(token)
                here.index += 1
            if here is not None and not here.is_object:
                self._due = self._items(here.variants, here.index)
            if here is not None:
                here.name = None
        elif here is not None and here.is_object and here.name is None:
            here.name, here.owed = token, False
            here.held += token
            self._due, here.absent = self._member(here.variants, token)
        elif here is not None and here.is_object and token == ":":
            here.held += token
        elif token == "null" and here is not None and here.is_object and here.absent and here.held:
            self._drop(here)
        else:
            self._release(here, out)
            out.append(token)
            if here is not None:
                here.written = True

    def _write(self, token: str, here: "_Container | None", out: list[str]) -> None:
        if here is not None and here.held:
            here.held += token
        else:
            out.append(token)

    def _release(self, here: "_Container | None", out: list[str]) -> None:
        if here is not None and here.held:
            out.append(here.held)
            here.held = ""
        if here is not None:
            here.written = True

    def _drop(self, here: "_Container") -> None:
        # The comma before it goes too; with no member before it, the one behind it goes.
        here.held = ""
        here.dropped = not here.written

    def _variants(self, nodes: list[Schema]) -> list[Schema]:
        """The schemas that may hold here, unions opened."""
        found: list[Schema] = []
        todo, seen = list(nodes), 0
        while todo and seen < 200:
            seen += 1
            node = resolve(todo.pop(), self._definitions)
            if not isinstance(node, dict):
                continue
            if (members := alternatives(node)) is not None:
                todo += members
            elif isinstance(parts := node.get("allOf"), list):
                todo += parts
            else:
                found.append(node)
        return found

    def _member(self, variants: list[Schema], name: str) -> tuple[list[Schema], bool]:
        """What may stand under a name, and whether null means there that it is absent."""
        try:
            key = _unquoted(name)
        except ValueError:
            return [], False
        having = [node for node in variants if key in node.get("properties", {})]
        absent = bool(having) and all(null_is_absent(node, key, self._definitions) for node in having)
        return self._variants([node["properties"][key] for node in having]), absent

    def _items(self, variants: list[Schema], index: int) -> list[Schema]:
        found: list[Schema] = []
        for node in variants:
            prefix = node.get("prefixItems", [])
            if index < len(prefix):
                found.append(prefix[index])
            elif isinstance(items := node.get("items"), dict):
                found.append(items)
        return self._variants(found)


class _Container:
    """An object or a list that is open: which schemas it may be of, and what of it is held back."""

    __slots__ = ("absent", "dropped", "held", "index", "is_object", "name", "owed", "variants", "written")

    def __init__(self, is_object: bool, variants: list[Schema]) -> None:
        self.is_object = is_object
        self.variants = variants
        self.name: str | None = None
        self.absent = False
        self.held = ""  # a comma, a name and its colon, until the value is known not to be dropped
        self.dropped = False  # the first member was, and its comma is still to come
        self.owed = False  # that comma came, and no member behind it yet
        self.written = False
        self.index = 0


def _unquoted(token: str) -> str:
    found = json.loads(token)
    if not isinstance(found, str):
        raise ValueError(token)
    return found
