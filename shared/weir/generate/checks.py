"""What must not be found out by the first request: whether each route can be asked for each document, and whether a
schema can hold the loop.

The build checks it, `make schemas` shows it, and a start checks it where nothing was built.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from weir.errors import ConfigurationError
from weir.generate.documents import Documents
from weir.providers.profiles import SchemaNotExpressible
from weir.providers.routes import Route, Routes
from weir.providers.structured_output import Mode
from weir.schemas import checked_schemas, load_schema, schema_names


class SchemaCheckError(ConfigurationError):
    """A schema cannot be asked for, or can hold the loop; the message names it, the model and the field."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How one route is asked for one document: `mode` is None where it cannot be. `passed_over` says of each better
    mode why it was not taken."""

    schema: str
    route: str
    mode: Mode | None
    passed_over: tuple[tuple[Mode, str], ...]


def find(schema: str, route: Route) -> Finding:
    """How `route` is asked for the document `schema`."""
    try:
        found = Documents().request(schema, route)
    except SchemaNotExpressible as error:
        wanted: Mode = "tool" if route.structured_output == "tool" else "native"
        return Finding(schema, route.name, None, ((wanted, str(error)),))
    return Finding(schema, route.name, found.mode, found.passed_over)


def problems(routes: Iterable[Route]) -> Iterator[str]:
    """All that is wrong with the schemas, and with asking these routes for them."""
    from pydantic_streaming import hazards_of

    for name in schema_names():
        yield from (f"schema {name}: {hazard}" for hazard in hazards_of(load_schema(name)))
    yield from _not_to_be_asked(routes)


def unknown_caps(routes: Routes) -> Iterator[str]:
    """The caps of a models' file that would hold for nothing: no schema has their name."""
    for name in routes.schema_caps:
        if name not in schema_names():
            yield f"schemas.{name}: expected one of {', '.join(schema_names())}, got a schema that is not there"


def _not_to_be_asked(routes: Iterable[Route]) -> Iterator[str]:
    for route in routes:
        for name in schema_names():
            found = find(name, route)
            if found.mode is None:
                yield f"schema {name}, model {route.name}: {found.passed_over[0][1]}"


def check_start(routes: Mapping[str, Route]) -> None:
    """Check what the build has not: all of it where nothing was built, else the routes that name a mode.

    Raises:
        SchemaCheckError: names the schema, the model and the field.
    """
    fixed = [route for route in routes.values() if route.structured_output != "auto"]
    # What the build found of the schemas themselves still holds, and spares INIT the import of what looks at them.
    wrong = list(problems(fixed) if checked_schemas() is None else _not_to_be_asked(fixed))
    if wrong:
        raise SchemaCheckError("; ".join(wrong[:5]))
