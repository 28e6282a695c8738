"""The price book's index: which files it has, when each was checked, who sells tokens, and a version of it all."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "shared" / "weir" / "pricing" / "data"


def write_index(folder: Path = DATA, sellers: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Write `index.json` anew from the files that lie in the folder; return the book's version.

    Without `sellers` those of the index that is there stay.
    """
    target = folder / "index.json"
    if sellers is None:
        sellers = json.loads(target.read_text())["sellers"] if target.exists() else []
    files, digest = {}, sha256(json.dumps(sellers, sort_keys=True).encode())
    for path in sorted(folder.glob("*/*.json")):
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        files[name] = json.loads(content)["as_of"]
        digest.update(name.encode() + b"\0" + content)
    version = f"{max(files.values(), default='')}+{digest.hexdigest()[:12]}"
    lines = ",\n".join("  " + json.dumps(seller) for seller in sellers)
    target.write_text(
        f'{{\n "version": {json.dumps(version)},\n "files": {json.dumps(files, indent=2)},\n'
        f' "sellers": [\n{lines}\n ]\n}}\n'
    )
    return version
