"""How each route is asked for each document: worked out once a process, and again where a provider refuses a schema."""

from functools import lru_cache, partial
from typing import Any

from weir.providers.profiles import SchemaNotExpressible
from weir.providers.routes import Route
from weir.providers.structured_output import (
    MODES,
    Mode,
    StructuredOutput,
    structured_output,
)
from weir.schemas import checked_schemas, load_schema

MAX_KNOWN = 200


class Documents:
    """The requests for documents by schema and route; what a provider refused is remembered as long as the process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, frozenset[str] | None], StructuredOutput] = {}
        self._lowered: dict[tuple[str, str], Mode] = {}

    def request(
        self, schema: str, route: Route, properties: frozenset[str] | None = None
    ) -> StructuredOutput:
        """How `route` is asked for a document, or for some of its properties.

        Raises:
            SchemaNotExpressible: the mode that the route names cannot say it.
        """
        key = (schema, route.name, properties)
        known = self._known.get(key)
        if known is None:
            wanted = self._lowered.get((schema, route.name), route.structured_output)
            made = checked_schemas() if properties is None else None
            if made is None or schema not in made:
                document = document_schema(schema, properties)
                # Providers take letters, digits, dashes and lines of a name; only ours has a tilde.
                known = structured_output(schema.replace("~", "_"), document, route.profile, wanted)
            else:
                # What the build worked out: a cold start's first byte does not wait for it again.
                built = made[schema]
                known = structured_output(
                    schema, built["document"], route.profile, wanted, partial(_built, built)
                )
            if len(self._known) >= MAX_KNOWN:  # callers bring schemas without end
                self._known.clear()
                self._lowered.clear()
            self._known[key] = known
        return known

    def lower(self, schema: str, route: Route) -> bool:
        """Take the next mode, because the provider refused this one's schema; False if there is none."""
        if route.structured_output != "auto":
            return False
        mode = self.request(schema, route).mode
        lower = MODES[MODES.index(mode) + 1 :]
        if route.profile.tool is None:
            lower = tuple(name for name in lower if name != "tool")
        if not lower:
            return False
        self._lowered[schema, route.name] = lower[0]
        self._known = {key: value for key, value in self._known.items() if key[:2] != (schema, route.name)}
        return True


def _built(built: dict[str, Any], dialect: str) -> dict[str, Any]:
    adapted = built["dialects"][dialect]
    if "refused" in adapted:
        raise SchemaNotExpressible(*adapted["refused"])
    schema: dict[str, Any] = adapted["schema"]
    return schema


def build_schema(name: str) -> dict[str, Any]:
    """What the build works out of a schema: itself, and its form in each dialect or why there is none."""
    from weir.providers.schema_rules import DIALECTS, adapt_schema, has_absent

    document = document_schema(name)
    dialects: dict[str, dict[str, Any]] = {}
    for key, dialect in DIALECTS.items():
        try:
            dialects[key] = {"schema": adapt_schema(document, dialect)}
        except SchemaNotExpressible as error:
            dialects[key] = {"refused": [error.field, dialect.name, error.expected]}
    return {"document": document, "dialects": dialects, "absent": has_absent(document)}


@lru_cache(maxsize=MAX_KNOWN)
def document_schema(name: str, properties: frozenset[str] | None = None) -> dict[str, Any]:
    """The JSON Schema of a document as its text is written, or of some of its properties."""
    made = checked_schemas() or {}
    schema: dict[str, Any] = (
        made[name]["document"]
        if name in made
        else load_schema(name).model_json_schema(by_alias=True, mode="validation")
    )
    if properties is None:
        return schema
    root = root_of(schema)
    kept = {key: value for key, value in root["properties"].items() if key in properties}
    required = [key for key in root.get("required", ()) if key in properties]
    return {**root, "$defs": schema.get("$defs", {}), "properties": kept, "required": required}


def root_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the document itself: a recursive one stands among the definitions."""
    reference = schema.get("$ref", "")
    found: dict[str, Any] = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), schema)
    return found
