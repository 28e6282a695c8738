"""Known weaknesses of what the locks pin, asked of PyPI's advisories (pip-audit) and npm's: `make audit`.

Decided here: an audit without data is no clean one. pip-audit calls a package that it could not look up "skipped" and
then says that no weakness is known; npm ends with an error. Both are told as what they are.

Exit status: 0 nothing known, 1 a weakness, 3 no data about some of it (0 with --allow-no-data, for a machine that
cannot have any).
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "infra/container/requirements.txt", "infra/sam.lock")
NPM = ("functions/finance",)
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one lock: how many packages were looked up, which were not, and what was found."""

    lock: str
    looked_up: int
    unknown: int
    found: tuple[str, ...] = ()
    reason: str = ""

    @property
    def line(self) -> str:
        """For people."""
        if self.found:
            return f"{self.lock}: {'; '.join(self.found)}"
        if not self.looked_up:
            return f"{self.lock}: no data{f' ({self.reason})' if self.reason else ''}"
        missing = f", no data about {self.unknown}" if self.unknown else ""
        return f"{self.lock}: nothing known about {self.looked_up} packages{missing}"


def of_python(lock: str, text: str) -> Verdict:
    """Read pip-audit's JSON."""
    try:
        dependencies = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Verdict(lock, 0, 0, reason="pip-audit gave no answer")
    looked_up = [one for one in dependencies if "skip_reason" not in one]
    found = tuple(
        f"{one['name']} {one['version']}: {weakness['id']}"
        for one in looked_up
        for weakness in one.get("vulns", ())
    )
    reasons = [one["skip_reason"] for one in dependencies if "skip_reason" in one]
    return Verdict(lock, len(looked_up), len(reasons), found, reasons[0].partition(":")[0] if reasons else "")


def of_npm(folder: str, text: str) -> Verdict:
    """Read `npm audit --json`."""
    lock = f"{folder}/package-lock.json"
    try:
        answer: Mapping[str, Any] = json.loads(text)
        packages = answer["metadata"]["dependencies"]["total"]
        found = tuple(f"{name}: {one['severity']}" for name, one in sorted(answer["vulnerabilities"].items()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Verdict(lock, 0, 0, reason="npm's registry gives no advisories")
    return Verdict(lock, packages, 0, found)


def exit_status(verdicts: list[Verdict]) -> int:
    """1 for a weakness, 3 where something could not be looked up, else 0."""
    if any(one.found for one in verdicts):
        return 1
    return 3 if any(one.unknown or not one.looked_up for one in verdicts) else 0


def output(command: list[str], folder: Path) -> str:
    """What a command prints, however it ends; nothing if there is none or it takes too long."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def main(arguments: list[str]) -> int:
    """Print a line for each lock."""
    pip_audit = [str(Path(sys.executable).parent / "pip-audit"), "--require-hashes", "--disable-pip", "--no-deps",
                 "--format", "json", "--progress-spinner", "off", "--timeout", "10", "--requirement"]  # fmt: skip
    verdicts = [of_python(lock, output([*pip_audit, lock], ROOT)) for lock in LOCKS]
    verdicts += [of_npm(folder, output(["npm", "audit", "--json"], ROOT / folder)) for folder in NPM]
    print("\n".join(one.line for one in verdicts))
    status = exit_status(verdicts)
    if status == 3:
        print(
            "Without data nothing is known, good or bad: run it where the registries give their advisories."
        )
        return 0 if arguments == ["--allow-no-data"] else status
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
