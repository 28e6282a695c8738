"""Imports modules, and says of each that cannot be imported where and why: a program, since what is imported stays.

    python infra/local/import_check.py ROOT weir.schemas.recipe functions.generate.app

A module of the schemas' folder has every schema looked up as generate looks it up. Ends with 1 where one cannot be.
"""

import sys
import traceback
from importlib import import_module
from pathlib import Path


def main(root: Path, modules: list[str]) -> int:
    """1 if anything cannot be imported."""
    found = []
    for module in modules:
        try:
            import_module(module)
            if module.startswith("weir.schemas"):
                from weir.schemas import load_schema, schema_names

                for name in schema_names():
                    load_schema(name)
        except Exception as error:
            found.append(f"{place_of(error, root)}{type(error).__name__}: {error}")
    print("\n".join(dict.fromkeys(found)))
    return int(bool(found))


def place_of(error: Exception, root: Path) -> str:
    """`file:line: ` of the last of our lines that an error came through; the message names the file of a schema."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root) and frame.filename != __file__
    ]
    if not frames or type(error).__name__ == "SchemaFileError":
        return ""
    return f"{Path(frames[-1].filename).relative_to(root)}:{frames[-1].lineno}: "


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
