"""How long finance's dashboard takes over 1,000,000 requests: from the address to the first useful picture (the totals
and the chart of cost over time, drawn), in Chromium, with the API, S3 (moto) and the browser on this machine.

The first look is that of a fresh process: started and imported, as Lambda does in INIT before it hands over a request,
but nothing asked of S3, nothing on its disk, no connection; the browser's cache is empty, too. A reload in the same
process finds the files there, and another question has to be computed anew.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.ledger_export import REQUESTS, month_of_rows
from tests.bench.ledger_report import bucket_of
from tests.bench.tables import Bound, Table, spread
from tests.browser import Browser, find_chromium

FIRST_PICTURE_BOUND_S = 2.0
TIMES = 4
_QUESTION = "from=2026-11-01&to=2026-12-01&tz=UTC"
_ALL = "document.querySelectorAll('[aria-busy=true]').length === 0"
_PICTURE = "document.querySelector('#cost-chart canvas') && document.querySelector('#headline .hero')"


def run() -> list[Table]:
    """One table; none of it where there is no Chromium."""
    chromium = find_chromium()
    columns = ("dashboard over 1,000,000 requests", "s, minimum (median)")
    if chromium is None:
        return [Table("Dashboard", columns, [], notes=("No chromium on PATH: not measured.",))]
    with TemporaryDirectory() as name, bucket_of(month_of_rows(Path(name) / "rows", REQUESTS)) as bucket:
        first, again, other = [], [], []
        for number in range(TIMES):
            folder = Path(name) / str(number)
            folder.mkdir()
            with _served(folder, bucket) as url, Browser(chromium, folder / "profile") as browser:
                with browser.page():
                    pass  # Chromium's own start is not the page's
                first.append(_picture(browser, f"{url}/?{_QUESTION}"))
                again.append(_picture(browser, f"{url}/?{_QUESTION}"))
                # It asks what nobody has asked before: nothing kept answers it.
                other.append(_picture(browser, f"{url}/?{_QUESTION}&by=tag:name{number}"))
    rows = [
        ("first look in a fresh process: fetch, open, compute, draw", spread(first, 2)),
        ("the same again", spread(again, 2)),
        ("the same range split by another tag", spread(other, 2)),
    ]
    bounds = [
        Bound(
            "first useful picture, fresh process, 1,000,000 requests", min(first), FIRST_PICTURE_BOUND_S, "s"
        )
    ]
    return [Table("Dashboard", columns, rows, bounds)]


def _picture(browser: Browser, url: str) -> float:
    with browser.page() as page:
        began = time.perf_counter()
        page.open(url, _PICTURE)
        took = time.perf_counter() - began
        page.until(_ALL)  # what a look leaves undone would delay the next one
        return took


@contextmanager
def _served(folder: Path, bucket: dict[str, str]) -> Iterator[str]:
    """The finance function's application over a bucket with the month, in a process of its own."""
    command = [sys.executable, "-m", __name__]
    own = {"WEIR_MONTHLY_BUDGET_USD": "5000", "TMPDIR": str(folder), "AWS_LAMBDA_FUNCTION_NAME": "finance"}
    server = subprocess.Popen(command, env=os.environ | bucket | own, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def _serve() -> None:
    """Print the address, and serve until somebody ends it."""
    import uvicorn

    from functions.finance import app as finance

    class AfterNovember(finance.Services):
        def now(self) -> datetime:
            return datetime(2026, 12, 8, tzinfo=UTC)

    config = uvicorn.Config(finance.create_app(AfterNovember()), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    print(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", flush=True)
    thread.join()


if __name__ == "__main__":
    _serve()
