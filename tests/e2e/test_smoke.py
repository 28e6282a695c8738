"""`make smoke STAGE=local`: what an owner runs against a deployment, against the laptop's AWS."""

import subprocess
import sys

import pytest

from tests.unit.cloudformation import ROOT


@pytest.mark.timeout(240)
def test_the_laptops_stack_is_as_believed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.deploy", "smoke", "local"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("outcome", "arrives as it is made", "document", "ledger row", "estimate and row",
                 "alarms that are quiet", "schedule LedgerJobsFunctionCompactOpenDays"):  # fmt: skip
        [line] = [line for line in done.stdout.splitlines() if line.startswith(f"{what} ")]
        assert "  ok  " in line.replace("ok       ", "  ok  "), line
    # The operators' page shows the same checks; what came differs from run to run.
    page = (ROOT / "infra/README.md").read_text()
    shown = page[page.index("the laptop's AWS\ncheck ") :].partition("```")[0]
    assert [line[:55] for line in shown.splitlines()] == [line[:55] for line in done.stdout.splitlines()]
