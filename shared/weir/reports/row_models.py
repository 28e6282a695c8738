"""The API's model of a row, made from the table's columns: what a column says of itself is what /docs says of it."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from weir.ledger.row import JoinStatus
from weir.ledger.table import COLUMNS, Column


class Model(BaseModel):
    """What the API sends: a member that is not documented fails the test that compares rows with these models."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


# What a column's type is in JSON, and the members whose values are a closed set.
_JSON: dict[str, Any] = {
    "varchar": str,
    "bigint": int,
    "double": float,
    "boolean": bool,
    "map(varchar,varchar)": dict[str, str],
    "array(varchar)": list[str],
}
_CLOSED: dict[str, Any] = {
    "entry": Literal["request", "correction", "metering"],
    "join_status": JoinStatus,
    "usage_source": Literal["provider", "estimated", "none"],
}
# What the API says that no column holds.
_BESIDE: dict[tuple[str, ...], dict[str, Any]] = {
    ("usage",): {"total_tokens": (int | None, Field(description="Input and output, where both are known"))},
    ("cost",): {"currency": (Literal["USD"], Field(description="Of every amount"))},
}
_TITLES = {
    (): ("RowResponse", "One request, or what came of one after its month was closed."),
    ("usage",): ("UsageResponse", "Tokens over all attempts."),
    ("cost",): ("CostResponse", "What a request cost; a lower bound where `unpriced` has reasons."),
    ("cost", "components"): ("ComponentsResponse", "The charges; they sum to the total exactly."),
    ("cost", "phases"): ("PhasesResponse", "The charge for duration by what the time went to."),
}


def _field(column: Column, alias: str | None) -> tuple[Any, Any]:
    kind = _CLOSED.get(column.name, _JSON.get(column.type, str))
    description = f"{column.description} ({column.unit})" if column.unit else column.description
    examples = [str(Decimal("0.00046086672"))] if column.unit == "USD" else None
    return (kind | None if column.nullable else kind), Field(
        description=description, examples=examples, alias=alias
    )


def _model(path: tuple[str, ...], made: dict[tuple[str, ...], type[BaseModel]]) -> type[BaseModel]:
    members: dict[str, Any] = {}
    for column in COLUMNS:
        if column.path[:-1] == path:
            name = column.path[-1]
            taken = hasattr(BaseModel, name)  # a model has a method of that name
            members[f"document_{name}" if taken else name] = _field(column, name if taken else None)
        elif column.path[: len(path)] == path and (inner := column.path[: len(path) + 1]) not in made:
            made[inner] = _model(inner, made)
            members[inner[-1]] = (made[inner], Field(description=_TITLES[inner][1]))
    name, said = _TITLES[path]
    return create_model(name, __base__=Model, __doc__=said, **members, **_BESIDE.get(path, {}))


if TYPE_CHECKING:

    class RowResponse(Model):
        """One row."""

    class ComponentsResponse(Model):
        """The charges."""

    class PhasesResponse(Model):
        """The phases."""
else:
    _made: dict[tuple[str, ...], type[BaseModel]] = {}
    RowResponse = _model((), _made)
    ComponentsResponse = _made["cost", "components"]
    PhasesResponse = _made["cost", "phases"]
