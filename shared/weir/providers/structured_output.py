"""How a route is asked for a document: by its own structured output, by a forced tool, or by JSON mode and the prompt.

The first mode that can say the schema is taken, unless the route names one; whatever the mode, the finished text is
validated all the same. Which one was taken is shown (`make schemas`, the attempt's fact).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from weir.providers.profiles import Profile
from weir.providers.schema_rules import DIALECTS, SchemaNotExpressible, adapt_schema

type Mode = Literal["native", "tool", "json"]
MODES: tuple[Mode, ...] = ("native", "tool", "json")


@dataclass(frozen=True, slots=True)
class StructuredOutput:
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


def structured_output(
    name: str, schema: dict[str, Any], profile: Profile, wanted: Mode | Literal["auto"] = "auto"
) -> StructuredOutput:
    """How `profile` is asked for the document `name` of that JSON Schema.

    Raises:
        SchemaNotExpressible: the mode that is wanted cannot say it.
    """
    passed_over: list[tuple[Mode, str]] = []
    root = schema
    if "$ref" in schema:
        root = schema.get("$defs", {}).get(schema["$ref"].removeprefix("#/$defs/"), {})
    is_object = root.get("type") == "object"
    for mode in MODES if wanted == "auto" else (wanted,):
        if mode == "json":
            return StructuredOutput(
                name, mode, None, _prompt(schema), is_object, passed_over=tuple(passed_over)
            )
        key = profile.native if mode == "native" else profile.tool
        if key is None:
            reason = SchemaNotExpressible("", profile.name, f"no structured output of mode {mode!r}")
        else:
            dialect = DIALECTS[key]
            try:
                sent = adapt_schema(schema, dialect)
            except SchemaNotExpressible as error:
                reason = error
            else:
                return StructuredOutput(
                    name,
                    mode,
                    sent,
                    None if profile.reads_schema or mode == "tool" else _prompt(schema),
                    is_object,
                    null_is_absent=dialect.all_required,
                    strict=not dialect.untyped,
                    passed_over=tuple(passed_over),
                )
        if wanted != "auto":
            raise reason
        passed_over.append((mode, str(reason)))
    raise AssertionError("JSON mode says any schema")


def _prompt(schema: dict[str, Any]) -> str:
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return (
        "Answer with one JSON document that is valid against this JSON Schema, and with nothing else: "
        f"no Markdown fence, no comment.\n{text}"
    )
