"""How a route is asked for a document: by its own structured output, by a forced tool, or by JSON mode and the prompt.

The first mode that can say the schema is taken, unless the route names one; whatever the mode, the finished text is
validated all the same. Which one was taken is shown (`make schemas`, the attempt's fact).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from weir.light_tuples import LightTuple
from weir.providers.profiles import Profile, SchemaNotExpressible

type Mode = Literal["native", "tool", "json"]
MODES: tuple[Mode, ...] = ("native", "tool", "json")
# Dialects in which every property is required, so that null may stand for what is absent; and those of no strict mode.
_NULL_IS_ABSENT = {"openai"}
_LOOSE = {"any", "tool"}


class StructuredOutput(LightTuple):
    """What goes into a request for a document.

    `schema` is None in JSON mode, where `prompt` holds it. `is_object` tells whether the document is an object, which
    is all that JSON mode can promise. `passed_over` says of each mode before this one why it was not taken.
    """

    name: str
    mode: Mode
    schema: Mapping[str, Any] | None
    prompt: str | None
    is_object: bool
    null_is_absent: bool = False
    strict: bool = True
    passed_over: tuple[tuple[Mode, str], ...] = ()

    @property
    def sent_bytes(self) -> int:
        """How much text of it a provider reads with the request, and counts as input: UTF-8."""
        schema = json.dumps(self.schema, ensure_ascii=False, separators=(",", ":")) if self.schema else ""
        return len((schema + (self.prompt or "")).encode("utf-8", "replace"))


def structured_output(
    name: str,
    schema: dict[str, Any],
    profile: Profile,
    wanted: Mode | Literal["auto"] = "auto",
    adapt: Callable[[str], Mapping[str, Any]] | None = None,
    absent: bool | None = None,
) -> StructuredOutput:
    """How `profile` is asked for the document `name` of that JSON Schema.

    `adapt` gives the schema in a dialect, and `absent` says whether it has fields whose null means that they are
    absent, where that was worked out before.

    Raises:
        SchemaNotExpressible: the mode that is wanted cannot say it.
    """
    if adapt is None:
        from weir.providers.schema_rules import DIALECTS, adapt_schema, has_absent

        absent = has_absent(schema)

        def adapt(dialect: str) -> Mapping[str, Any]:
            return adapt_schema(schema, DIALECTS[dialect])

    passed_over: list[tuple[Mode, str]] = []
    root = schema
    if "$ref" in schema:
        root = schema.get("$defs", {}).get(schema["$ref"].removeprefix("#/$defs/"), {})
    is_object = root.get("type") == "object"
    for mode in MODES if wanted == "auto" else (wanted,):
        if mode == "json":
            prompt = _prompt(schema)
            return StructuredOutput(name, mode, None, prompt, is_object, passed_over=tuple(passed_over))
        dialect = profile.native if mode == "native" else profile.tool
        try:
            if dialect is None:
                raise SchemaNotExpressible("", profile.name, f"no structured output of mode {mode!r}")
            return StructuredOutput(
                name,
                mode,
                adapt(dialect),
                None if profile.reads_schema or mode == "tool" else _prompt(schema),
                is_object,
                null_is_absent=bool(absent) and dialect in _NULL_IS_ABSENT,
                strict=dialect not in _LOOSE,
                passed_over=tuple(passed_over),
            )
        except SchemaNotExpressible as error:
            if wanted != "auto":
                raise
            passed_over.append((mode, str(error)))
    raise AssertionError("JSON mode says any schema")


def _prompt(schema: dict[str, Any]) -> str:
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return (
        "Answer with one JSON document that is valid against this JSON Schema, and with nothing else: "
        f"no Markdown fence, no comment.\n{text}"
    )
