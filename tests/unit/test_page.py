"""What the dashboard is made of: no other host, nothing inline, and packages that are what the lock says."""

import json
import re
from pathlib import Path

import pytest

FINANCE = Path(__file__).resolve().parents[2] / "functions" / "finance"
PAGES = sorted(FINANCE.glob("page/*.html"))
SCRIPTS = sorted(FINANCE.glob("page/*.js"))


def test_every_package_of_the_page_has_a_hash_and_no_address() -> None:
    lock = json.loads((FINANCE / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages["node_modules/chart.js"]["version"] == "4.6.1"
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package and "hasInstallScript" not in package, name


def test_versions_are_exact() -> None:
    package = json.loads((FINANCE / "package.json").read_text())
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(page: Path) -> None:
    markup = page.read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", markup)
    for address in re.findall(r"""(?:src|href)="([^"]*)\"""", markup):
        assert not re.match(r"https?:|//", address), address
        if "page/" in address and "vendor/" not in address:
            assert (FINANCE / "page" / address.split("page/")[1]).is_file(), address


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_make_no_markup_from_text(script: Path) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text())
