"""The digest by which a new version of generate is published: what is built, and what it is told.

SAM publishes a version when a function's own code or the text of its environment changes. A changed layer, key or
timeout would leave the URL on the old version, and CloudFormation would report success.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def revision(artifacts: list[Path], parameters: Mapping[str, str]) -> str:
    """SHA-256, in hex, of the artifacts' files and the parameters but Revision itself.

    Raises:
        FileNotFoundError: an artifact is not there.
    """
    digest = hashlib.sha256()
    for folder in artifacts:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: expected what `make build` makes, got nothing")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                # Lambda sees name, content and whether it may be run; a time is no difference.
                _add(digest, str(path.relative_to(folder)), str(path.stat().st_mode & 0o111 != 0))
                _add(digest, hashlib.sha256(path.read_bytes()).hexdigest())
    for name, value in sorted(parameters.items()):
        if name != "Revision":
            _add(digest, name, value)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", *texts: str) -> None:
    for text in texts:
        encoded = text.encode()
        # With its length: ("ab", "c") is not ("a", "bc").
        digest.update(len(encoded).to_bytes(8) + encoded)
