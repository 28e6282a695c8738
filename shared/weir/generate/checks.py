"""What must not be found out by the first request: whether each route can be asked for each document.

The build checks it, `make schemas` shows it, and a start checks it where nothing was built.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from weir.errors import ConfigurationError
from weir.generate.documents import Documents
from weir.providers.routes import Route
from weir.providers.structured_output import Mode, SchemaNotExpressible
from weir.schemas import schema_names


class SchemaCheckError(ConfigurationError):
    """A schema cannot be asked for; the message names it, the model and the field."""


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


def problems(routes: Iterable[Route], names: Sequence[str] | None = None) -> Iterator[str]:
    """All that is wrong with asking these routes for the documents."""
    listed = list(routes)
    for name in schema_names() if names is None else names:
        for route in listed:
            found = find(name, route)
            if found.mode is None:
                yield f"schema {name}, model {route.name}: {found.passed_over[0][1]}"


def check_start(routes: Mapping[str, Route]) -> None:
    """Check the routes that name a mode: where one is chosen for them, each document can be asked for.

    Raises:
        SchemaCheckError: names the schema, the model and the field.
    """
    if wrong := list(problems(route for route in routes.values() if route.structured_output != "auto")):
        raise SchemaCheckError("; ".join(wrong[:5]))
