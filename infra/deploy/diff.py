"""What a deployment would change: the template that runs, against the one that would be deployed.

CloudFormation keeps the processed template of a stack, so the comparison reads and creates nothing (a change set of a
stack that does not exist yet would leave one behind). Where code and templates are uploaded to differs each time and
is no change; other code shows in the parameter Revision.
"""

from collections.abc import Iterator, Mapping
from typing import Any

# Where an artifact lies; its content is the Revision's matter.
_PLACES = {"Code", "Content", "TemplateURL", "S3Bucket", "S3Key", "BodyS3Location"}


def changes(before: Mapping[str, Any], after: Mapping[str, Any], stack: str = "") -> Iterator[str]:
    """A line for each resource that would be added, removed or changed, with the properties that differ."""
    old, new = before.get("Resources", {}), after.get("Resources", {})
    where = f"{stack}/" if stack else ""
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield f"+ {where}{name} ({new[name]['Type']})"
        elif name not in new:
            yield f"- {where}{name} ({old[name]['Type']})"
        else:
            for path, was, now in _differences(old[name], new[name]):
                yield f"~ {where}{name} {path}: {_short(was)} -> {_short(now)}"


def parameter_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """A line for each parameter whose value would be another."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"~ parameter {name}: {_short(before.get(name))} -> {_short(after.get(name))}"


def _differences(was: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            if key not in _PLACES:
                yield from _differences(was.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif was != now:
        yield path, was, now


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
