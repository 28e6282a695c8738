"""The templates as data, read by the laptop's AWS, and ways to look through them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.local.sam.cloudformation import CloudFormation

ROOT = Path(__file__).parents[2]
TEMPLATES = ("template.yaml", "infra/ledger.yaml", "infra/observability.yaml", "infra/reports.yaml")


def load(name: str) -> dict[str, Any]:
    """One of TEMPLATES, by its path in the repository; nothing in it is resolved."""
    return CloudFormation(ROOT / name, region="eu-central-1").document


def walk(node: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every (path, key, value) below a node, list items included with their index as key."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        here = f"{path}/{key}"
        yield here, str(key), value
        yield from walk(value, here)


def resources(document: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of one type, whatever its condition, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in document["Resources"].items()
        if resource["Type"] == kind
    }
