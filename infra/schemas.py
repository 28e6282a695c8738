"""`make schemas`: how each model is asked for each schema, and what cannot be asked for, before anybody asks.

    python -m infra.schemas [--models models.toml] [--keys] [--stamp FILE]

Without a models' file the one endpoint of WEIR_UPSTREAM_BASE_URL and WEIR_UPSTREAM_MODEL is shown, and without those
every provider's profile. `--keys` looks each key up where it is kept, and shows none. `--stamp` writes what was found
for the build, so that a start need not find it again. Ends with 1 where something cannot be asked for.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from weir.errors import WeirError
from weir.generate.checks import find, problems, unknown_caps
from weir.generate.documents import build_schema
from weir.generate.settings import models_digest, read_models, routes_from_environment
from weir.providers.profiles import PROFILES
from weir.providers.routes import Route, Routes, parse_routes
from weir.providers.secret import Secret
from weir.schemas import schema_names, schemas_digest


def main(argv: list[str]) -> int:
    """0 where everything can be asked for, 1 where something cannot, 2 for a file that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.schemas",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", help="the models' file, TOML or JSON; by default WEIR_MODELS")
    parser.add_argument("--keys", action="store_true", help="look up each key where it is kept")
    parser.add_argument("--stamp", type=Path, help="write what was found, for the build")
    given = parser.parse_args(argv)
    try:
        chosen = chosen_routes(given.models, os.environ)
        routes = list(chosen.routes.values())
        print("\n".join(table(routes)))
        wrong = [*problems(routes), *unknown_caps(chosen)]
        if given.keys:
            wrong += asyncio.run(missing_keys(routes))
    except WeirError as error:
        print(f"schemas: {error}", file=sys.stderr)
        return 2
    for problem in wrong:
        print(f"schemas: {problem}", file=sys.stderr)
    if given.stamp and not wrong:
        given.stamp.parent.mkdir(parents=True, exist_ok=True)
        given.stamp.write_text(stamp(given.models))
    return 1 if wrong else 0


def stamp(models: str | None = None) -> str:
    """What the build finds of the schemas, and of the models' file, for a start that need not find it again."""
    found = {name: build_schema(name) for name in schema_names()}
    checked = models_digest(read_models(models)) if models else None
    return json.dumps({"digest": schemas_digest(), "schemas": found, "models": checked})


def chosen_routes(models: str | None, environment: Mapping[str, str]) -> Routes:
    """The routes of a models' file, of the two settings, or one of each provider. Raises RoutesError."""
    if models:
        return parse_routes(read_models(models))
    if environment.get("WEIR_MODELS") or environment.get("WEIR_UPSTREAM_BASE_URL"):
        return routes_from_environment(environment)
    every = {name: Route(name, profile, "", "any") for name, profile in PROFILES.items()}
    return Routes(every, next(iter(every)))


def table(routes: list[Route]) -> list[str]:
    """The mode of each schema and model, and why no better one."""
    width = max(map(len, [route.name for route in routes]))
    lines = []
    for schema in schema_names():
        lines.append(schema)
        for route in routes:
            found = find(schema, route)
            why = "; ".join(f"not {mode}: {reason}" for mode, reason in found.passed_over)
            lines.append(f"  {route.name:{width}}  {found.mode or 'not to be asked for':6}  {why}".rstrip())
    return lines


async def missing_keys(routes: list[Route]) -> list[str]:
    """The routes whose key is not where it should be."""
    missing = []
    for route in routes:
        if route.key and route.key != "role":
            try:
                await Secret(route.key).get()
            except WeirError as error:
                missing.append(f"model {route.name}: {error}")
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
