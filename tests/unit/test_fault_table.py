"""The table of faults in tests/README.md names each row once, and tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = {str(number) for number in range(1, 65)}
ATTACKS = {f"A{number}" for number in range(1, 20)} - {"A1"}
DEFECTS = {f"D{number}" for number in range(1, 10)}


def table() -> dict[str, list[str]]:
    lines = (TESTS / "README.md").read_text(encoding="utf-8").partition("## Faults")[2].splitlines()
    cells = [line.strip("|").split("|") for line in lines if re.match(r"\| [AD]?\d+ \|", line)]
    rows = [row.strip() for row, *_ in cells]
    assert len(rows) == len(set(rows)), "a row stands twice"
    return {row.strip(): re.findall(r"`([^`]+)`", tests) for row, _, tests in cells}


def test_every_fault_has_its_row_and_every_row_a_test() -> None:
    rows = table()
    assert rows.keys() == ROWS | ATTACKS | DEFECTS
    assert all(rows.values())


def test_every_test_of_the_table_exists() -> None:
    for row, tests in table().items():
        for test in tests:
            file, _, name = test.partition("::")
            source = (TESTS / file).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), f"row {row}: {test}"
