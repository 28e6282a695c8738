"""The models' file on a laptop: `WEIR_MODELS=models.toml make dev`.

A key never stands in the file, and nobody's secret store is asked: what the file calls `secretsmanager:openai` is taken
from the variable WEIR_KEY_OPENAI. It is put into the local Secrets Manager under a name of this run's own, which the
function's copy of the file has in its place.
"""

import json
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .chosen_upstream import UpstreamSettingsError
from .execution.code import ROOT


@dataclass(frozen=True, slots=True)
class ChosenModels:
    """`models` is the function's copy as JSON, `secrets` the keys by the names that it has for them."""

    names: tuple[str, ...]
    models: str
    secrets: Mapping[str, str]


def chosen_models(environment: Mapping[str, str]) -> ChosenModels | None:
    """What WEIR_MODELS names or holds; None without it.

    Raises:
        UpstreamSettingsError: it cannot be used, or a key is not in the environment.
    """
    given = environment.get("WEIR_MODELS", "")
    if not given:
        return None
    # The local AWS needs nothing of the functions' code, which lies below `shared`: only who has such a file does.
    sys.path.insert(0, str(ROOT / "shared"))
    from weir.generate.settings import read_models
    from weir.providers.routes import RoutesError, parse_routes

    try:
        content = dict(read_models(given))
        routes = parse_routes(content)
    except RoutesError as error:
        raise UpstreamSettingsError(str(error)) from None
    places: dict[str, str] = {}
    kept: dict[str, str] = {}
    for route in routes.routes.values():
        if route.key in ("", "role", *places):
            continue
        variable = variable_of(route.key)
        if not environment.get(variable):
            raise UpstreamSettingsError(
                f"model {route.name}: expected its key, which lies at {route.key}, in {variable}, got nothing"
            )
        name = f"weir/upstream-key-{secrets.token_hex(8)}"
        places[route.key], kept[name] = f"secretsmanager:{name}", environment[variable]
    models: dict[str, dict[str, Any]] = {
        name: {**model, "key": places.get(model.get("key", ""), model.get("key", ""))}
        for name, model in content["models"].items()
    }
    return ChosenModels(routes.names, json.dumps({**content, "models": models}), kept)


def variable_of(key: str) -> str:
    """The variable that holds a key on a laptop: `secretsmanager:weir/openai` is WEIR_KEY_WEIR_OPENAI."""
    return "WEIR_KEY_" + re.sub(r"[^A-Z0-9]+", "_", key.partition(":")[2].upper()).strip("_")
