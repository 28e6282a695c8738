"""The example of a README that shows files: what stands in each, and what running them prints."""

import re
from pathlib import Path

FILE = re.compile(r"^`(\S+)`[^:]*:\n```\w+\n(.*?)^```", re.M | re.S)
PRINTED = re.compile(r"^prints\n```text\n(.*?)\n```", re.M | re.S)


def files_and_output(readme: Path) -> tuple[dict[str, str], str]:
    """The blocks of code by the name that stands before each, and the text behind `prints`."""
    text = readme.read_text()
    printed = PRINTED.search(text)
    assert printed is not None, f"{readme}: expected a text block behind a line `prints`"
    return dict(FILE.findall(text)), printed[1]
