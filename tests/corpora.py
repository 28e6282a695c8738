"""Public corpora that the repository does not carry; README says where they come from."""

import os
from pathlib import Path

import pytest


def corpus(path: str) -> Path:
    """The file or folder of that name below $CORPORA; skips the test, saying so, where it is missing."""
    root = os.environ.get("CORPORA")
    if not root:
        pytest.skip("CORPORA is not set: the public corpora (README, 'Corpora') are needed for this test")
    found = Path(root) / path
    if not found.exists():
        pytest.skip(f"{found} is missing: the public corpora (README, 'Corpora') are needed for this test")
    return found
