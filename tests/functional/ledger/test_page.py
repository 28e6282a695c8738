"""The dashboard in a real browser: what it shows, and that its policy stops nothing of its own."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from functions.finance import app as finance
from functions.ledger import app as ledger
from tests import log_lines as lines

Browse = Callable[[str], "Seen"]


class Seen(HTMLParser):
    """A page as the browser had it when it was still: text by element id, elements that are hidden, table rows."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.hidden: set[str] = set()
        self.rows: list[list[str]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self._cell = False
        self.feed(markup)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in ("div", "section", "p") and given.get("id"):
            self._open.append(str(given["id"]))
            self.hidden |= {str(given["id"])} if "hidden" in given else set()
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data
        if self._open:
            self.text[self._open[-1]] = self.text.get(self._open[-1], "") + data


class At(finance.Services):
    def now(self) -> datetime:
        return lines.NOON + timedelta(hours=1)


@pytest.fixture
def page_url(bucket: str, context: Any) -> Iterator[str]:
    ledger._store.cache_clear()
    finance._store.cache_clear()
    killed = [
        lines.platform("start", "r2"),
        lines.fact("request.started", "r2"),
        lines.report("r2", status="timeout"),
    ]
    hostile = lines.request("r3", model="<img src=x onerror=alert(1)>", model_returned=None)
    ledger.handler(lines.batch(lines.log_events([*lines.request("r1"), *killed, *hostile])), context)
    config = uvicorn.Config(
        finance.create_app(At()), host="127.0.0.1", port=0, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive(), "the server did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not on PATH (Debian: apt-get install chromium): the page is not looked at")

    def look(url: str) -> Seen:
        switches = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            "--virtual-time-budget=10000",
        ]
        done = subprocess.run(
            [chromium, *switches, "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", url],
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert [line for line in complaints if "422" not in line] == []
        return Seen(done.stdout)

    return look


def test_the_page_shows_rows_totals_and_what_is_not_known(page_url: str, browse: Browse) -> None:
    seen = browse(page_url)
    assert {"error", "empty"} <= seen.hidden and not {"totals", "rows"} & seen.hidden
    hostile, killed, ok = (row for row in seen.rows if row)
    assert ok[1] == "r1" and ok[2] == "ok" and ok[-1] == "$0.000461"
    assert killed[2] == "killedbill only" and killed[4] == "–, –" and killed[-1].endswith("at least")
    assert hostile[3] == "<img src=x onerror=alert(1)>"
    assert "lower bound" in seen.text["caveat"]


def test_the_page_says_when_there_is_nothing_and_when_something_is_wrong(
    page_url: str, browse: Browse
) -> None:
    nothing = browse(f"{page_url}/?tag=nobody")
    assert "empty" not in nothing.hidden and {"rows", "totals", "error"} <= nothing.hidden
    wrong = browse(f"{page_url}/?tag=a+b")
    assert "error" not in wrong.hidden and {"rows", "totals", "empty"} <= wrong.hidden
    assert "tag: expected name=value" in wrong.text["error"]


def test_the_documentation_page_lists_every_operation(page_url: str, browse: Browse) -> None:
    seen = browse(f"{page_url}/docs")
    assert [row[0] for row in seen.rows if row].count("from") == 3
