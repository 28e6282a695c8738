"""The bill of materials of an artifact: which packages it holds, of which version, under which licence.

CycloneDX 1.6 as JSON, written beside the licences (licenses/sbom.cdx.json) while the packages' metadata is still there.
Nothing of the machine or the time is in it: two builds of one commit write the same bytes.
https://cyclonedx.org/docs/1.6/json/
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from email.parser import Parser
from pathlib import Path
from typing import Any
from uuid import UUID

FILE = "sbom.cdx.json"


def write_sbom(artifact: str, folder: Path, npm_lock: Path | None = None) -> None:
    """Describe what is unpacked in `folder`, by its *.dist-info, and what npm's lock, if there is one, brings to it."""
    components = [_python(path) for path in sorted(folder.glob("*.dist-info"))]
    if npm_lock is not None and npm_lock.exists():
        packages = json.loads(npm_lock.read_text())["packages"]
        components += [
            _npm(path, one) for path, one in sorted(packages.items()) if path and not one.get("dev")
        ]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": f"weir-{artifact}"}},
        "components": components,
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    document["serialNumber"] = f"urn:uuid:{UUID(bytes=digest[:16], version=4)}"
    destination = folder / "licenses"
    destination.mkdir(exist_ok=True)
    (destination / FILE).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _python(metadata: Path) -> dict[str, Any]:
    fields = Parser().parsestr((metadata / "METADATA").read_text(), headersonly=True)
    expression, text = fields.get("License-Expression"), fields.get("License")
    name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
    return {
        "type": "library",
        "name": name,
        "version": fields["Version"],
        "purl": f"pkg:pypi/{name}@{fields['Version']}",
        "licenses": _licences(expression, text, fields.get_all("Classifier", [])),
    }


def _npm(path: str, package: Mapping[str, Any]) -> dict[str, Any]:
    name = path.rpartition("node_modules/")[2]
    return {
        "type": "library",
        "name": name,
        "version": package["version"],
        "purl": f"pkg:npm/{name.replace('@', '%40')}@{package['version']}",
        "licenses": _licences(package.get("license"), None, []),
    }


def _licences(expression: str | None, text: str | None, classifiers: Iterable[str]) -> list[dict[str, Any]]:
    """As CycloneDX writes them: an SPDX expression where there is one, else the name that the package gives."""
    if expression:
        return [{"expression": expression}]
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ")]
    if not named and text and "\n" not in text.strip():
        named = [text.strip()]
    return [{"license": {"name": one}} for one in sorted(named)]
