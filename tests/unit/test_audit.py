"""An audit without data is no clean one."""

import json

import pytest

from infra.build.audit import exit_status, of_npm, of_python

KNOWN = {"name": "a", "version": "1", "vulns": []}
WEAK = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-2026-1"}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3)"}
NPM = {"metadata": {"dependencies": {"total": 3}}, "vulnerabilities": {}}
NPM_WEAK = {**NPM, "vulnerabilities": {"chart.js": {"severity": "high"}}}


@pytest.mark.parametrize(
    ("packages", "line", "status"),
    [
        ([KNOWN], "lock: nothing known about 1 packages", 0),
        ([KNOWN, WEAK], "lock: b 2: PYSEC-2026-1", 1),
        ([KNOWN, SKIPPED], "lock: nothing known about 1 packages, no data about 1", 3),
        # pip-audit's own words here are "No known vulnerabilities found".
        ([SKIPPED], "lock: no data (Dependency not found on PyPI and could not be audited)", 3),
    ],
)
def test_what_could_not_be_looked_up_is_not_called_clean(
    packages: list[object], line: str, status: int
) -> None:
    verdict = of_python("lock", json.dumps({"dependencies": packages}))
    assert (verdict.line, exit_status([verdict])) == (line, status)


@pytest.mark.parametrize(
    ("text", "line", "status"),
    [
        (json.dumps(NPM), "f/package-lock.json: nothing known about 3 packages", 0),
        (json.dumps(NPM_WEAK), "f/package-lock.json: chart.js: high", 1),
        ('{"message": "405 Method Not Allowed"}', "f/package-lock.json: no data (npm's registry gives no advisories)", 3),
        ("", "f/package-lock.json: no data (npm's registry gives no advisories)", 3),
    ],
)  # fmt: skip
def test_a_registry_without_advisories_is_no_data(text: str, line: str, status: int) -> None:
    verdict = of_npm("f", text)
    assert (verdict.line, exit_status([verdict])) == (line, status)


def test_no_answer_is_no_data() -> None:
    assert of_python("lock", "").line == "lock: no data (pip-audit gave no answer)"
