"""The dashboard in a real browser, over the real API: what it says, in every state, by keyboard, and without a
complaint from the console, its own policy or axe. Screenshots are left in .artifacts/screenshots."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.finance import app as finance
from functions.ledger import app as ledger
from functions.ledger_jobs import app as jobs
from tests import log_lines as lines
from tests.bench import ledger_export
from tests.browser import PATIENCE_S, Browser, Page, find_chromium
from tests.buckets import landed, prepare_bucket
from weir.ledger.close import close, correct
from weir.ledger.compact import compact
from weir.ledger.store import Store
from weir.ledger.table import COMPONENTS
from weir.pricing.price_book import PriceBook

ROOT = Path(__file__).resolve().parents[3]
SCREENSHOTS = ROOT / ".artifacts" / "screenshots"
README = SCREENSHOTS / "readme"  # `make screenshots` takes those that finance's README has
CHART = ROOT / "functions/finance/page/vendor/chart.umd.min.js"
AXE = ROOT / ".node-page" / "node_modules" / "axe-core" / "axe.min.js"
# Europe/Berlin, the browser's zone here, is an hour ahead of UTC.
RANGE = "from=2026-11-20&to=2026-11-23"
READY = "!document.querySelector('#report[aria-busy=true], #requests[aria-busy=true]')"
DONE = "document.querySelector('main')?.getAttribute('aria-busy') === 'false'"
HOSTILE = "<img src=x onerror=alert(1)>"
# USD per million tokens in and out, roughly: for what the callers were told. Nobody has a price for the last.
_PRICES = {"gpt-4o-mini": (0.15, 0.6), "claude-haiku-4-5": (1, 5), "gpt-4o": (2.5, 10), "in-house-7b": (0, 0)}


class At(finance.Services):
    """The services at an hour of the story's last day, with a budget."""

    def now(self) -> datetime:
        return lines.NOON + timedelta(hours=6)

    @property
    def export_function(self) -> tuple[Any, str]:
        return InThisProcess(), "export"


class Later(At):
    """The services after November, whose days nobody has to join any more."""

    def now(self) -> datetime:
        return datetime(2026, 12, 8, tzinfo=UTC)


class InThisProcess:
    """Lambda's `invoke` of the ledger jobs, asynchronous as there, by calling its handler here."""

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, int]:
        assert (FunctionName, InvocationType) == ("export", "Event")
        context = SimpleNamespace(aws_request_id="2b7d", function_name="export")
        threading.Thread(target=jobs.handler, args=(json.loads(Payload), context)).start()
        return {"StatusCode": 202}


class Trouble:
    """ASGI middleware, as what stands before the function: holds API requests back, or answers in its stead."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.answers: list[JSONResponse] = []
        self.held = "/api/"  # what is held back begins with this
        self.open = threading.Event()  # cleared by a test, in its own thread
        self.open.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            if scope["path"].startswith(self.held):
                await asyncio.to_thread(self.open.wait, PATIENCE_S)
            if self.answers:
                await self.answers.pop()(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Site:
    """A served application: its URL, and the trouble that can be made for it."""

    def __init__(self, services: finance.Services) -> None:
        for cached in (ledger._store, jobs._store):
            cached.cache_clear()
        self.trouble = Trouble(finance.create_app(services))
        config = uvicorn.Config(self.trouble, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> "Site":
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            assert self._thread.is_alive(), "the server did not start"
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self.trouble.open.set()
        self._server.should_exit = True
        self._thread.join()


def told(requests: int = 720) -> list[dict[str, Any]]:
    """The log of three days: tenants, models, failures, a killed request, a model that nobody has a price for."""
    chance = random.Random(11)
    events: list[dict[str, Any]] = []
    for n in range(requests):
        request_id = f"{chance.getrandbits(32):08x}-59f2-4d1c-9a5e-0242ac120002"
        at_ms = (
            lines.NOON_MS - round((requests - n) / requests * 2.4 * 86_400_000) + chance.randrange(600_000)
        )
        [outcome] = chance.choices(
            ("ok", "invalid_output", "upstream_error", "client_disconnected"), (86, 8, 3, 3)
        )
        [model] = chance.choices(list(_PRICES), (66, 20, 10, 4))
        [tenant] = chance.choices(("acme", "globex", "initech", None), (50, 30, 15, 5))
        counted = lines.usage(chance.randrange(300, 5_000), chance.randrange(250, 2_200))
        wait_ms = chance.uniform(180, 420) * (4 if chance.random() < 0.1 else 1)
        stream_ms = counted["output_tokens"] * chance.uniform(6, 8)
        billed_ms = round(wait_ms + stream_ms + 60)
        price_in, price_out = _PRICES[model]
        told_cost = (counted["input_tokens"] * price_in + counted["output_tokens"] * price_out) / 1e6
        told_cost += billed_ms / 1000 * 0.5 * 1.33334e-5 * chance.uniform(0.97, 1.0) + 2e-7
        members: dict[str, Any] = {
            "at": datetime.fromtimestamp(at_ms / 1000, lines.NOON.tzinfo).isoformat(),
            "tenant": tenant,
            "tags": {"feature": chance.choice(("summaries", "search", "chat"))},
            "model": model,
        }
        last = lines.completed(
            request_id,
            outcome=outcome,
            usage=counted,
            attempts=[{"attempt": 1, "model": model, "outcome": outcome, "usage": counted,
                       "timing": {"wait_ms": wait_ms, "stream_ms": stream_ms}}],
            timing={"duration_ms": billed_ms - 2.0, "wait_ms": wait_ms, "stream_ms": stream_ms, "validate_ms": 14.0,
                    "ttft_ms": wait_ms + 20, "ttlt_ms": wait_ms + stream_ms, "event_loop_gap_ms": None},
            model_returned=model,
            cost={"total": f"{told_cost:.12f}"},
            saved={"output_tokens": chance.randrange(200, 900)} if outcome == "invalid_output" else None,
            **members,
        )  # fmt: skip
        cold = {"initDurationMs": chance.uniform(350, 500)} if chance.random() < 0.08 else {}
        whole = (
            lines.platform("start", request_id, version="$LATEST"),
            lines.fact("request.started", request_id, **members),
            last,
            lines.report(request_id, billed_ms, **cold),
        )
        events += [lines.log_event(line, f"s{n:06d}{part}", at_ms) for part, line in enumerate(whole)]
    killed = [lines.platform("start", "killed"), lines.fact("request.started", "killed"),
              lines.report("killed", status="timeout")]  # fmt: skip
    return [*events, *lines.log_events(killed, "x")]


@pytest.fixture(scope="module")
def story(moto_url: str) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        prepare_bucket(moto_url, patch)
        patch.setenv("WEIR_MONTHLY_BUDGET_USD", "14")
        patch.setenv("WEIR_LEDGER_TASKS", "export")
        with Site(At()) as served:
            context = SimpleNamespace(aws_request_id="7f0c1c4e", function_name="ledger")
            ledger.handler(landed(lines.batch(told())), context)
            yield served


@pytest.fixture
def site(story: Site) -> Site:
    """The story's site, without the trouble that another test made."""
    story.trouble.open.set()
    story.trouble.answers.clear()
    return story


@pytest.fixture
def nothing(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    prepare_bucket(moto_url, monkeypatch)
    with Site(At()) as served:
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHART.exists(), f"{CHART.relative_to(ROOT)} is missing: `make test` puts it there"
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("chromium is not on PATH (Debian: apt-get install chromium): the page is not looked at")
    with Browser(chromium, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in the light theme; whatever it complains about fails the test."""
    with browser.page() as opened:
        yield opened
        assert opened.complaints() == []


def figures(page: Page, selector: str) -> list[list[str]]:
    """The cells of a table's body, as text."""
    rows = f"[...document.querySelectorAll({json.dumps(selector + ' tbody tr')})]"
    found: list[list[str]] = page.evaluate(
        f"{rows}.map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    return found


def labels(page: Page) -> dict[str, str]:
    """What each chart says to somebody who does not see it, by the figure's id."""
    pairs = page.evaluate(
        "[...document.querySelectorAll('canvas')].map((one) => [one.closest('figure').id, one.ariaLabel])"
    )
    return dict(pairs)


def assert_accessible(page: Page) -> None:
    """axe-core's rules for WCAG 2.2 AA find nothing. It is put in by the debugger, past the page's policy."""
    if not AXE.exists():
        pytest.skip(f"no {AXE.relative_to(ROOT)}: `make test` installs it")
    page.evaluate(AXE.read_text() + ";0")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    page.evaluate(f"axe.run({{runOnly: {json.dumps(tags)}}}).then((found) => {{ globalThis.found = found }})")
    wrong = page.evaluate(
        "found.violations.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160))])"
    )
    assert wrong == []
    assert page.evaluate("found.passes.length") > 20, "axe looked at nothing"


def assert_fits(page: Page) -> None:
    """The page does not scroll sideways."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window


def photograph(page: Page, name: str, middle: str | None = None) -> None:
    """A state as a reader sees it, around the element `middle`: in the light, in the dark, and on a phone."""
    for suffix, width, height, dark in (
        ("", 1280, 900, False),
        ("-dark", 1280, 900, True),
        ("-phone", 390, 844, False),
    ):
        page.resize(width, height)
        page.theme(dark)
        to = f"document.querySelector({json.dumps(middle)}).scrollIntoView({{block: 'center'}})"
        page.evaluate(to if middle else "scrollTo(0, 0)")
        page.screenshot(README / f"{name}{suffix}.png", whole=False)
        assert_fits(page)
    page.resize(1280, 900)


# ---- What it says --------------------------------------------------------------------------------------------------


def test_the_first_picture_says_what_it_cost_and_what_is_not_known(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    headline = page.text("#headline")
    assert "at least $" in headline and "721 requests" in headline
    assert "not priced in full" in page.text("#notices") and "Budget:" in page.text("#notices")
    said = labels(page)
    assert said["cost-chart"].startswith("Cost over time by component: at least $")
    assert "the largest part is Output tokens" in said["cost-chart"]
    assert said["ttft-chart"].startswith("Time to first token: p50 ") and "slowest on" in said["ttft-chart"]
    assert said["distribution-chart"].startswith("Cost per request: half cost at most $0.")
    assert {row[0] for row in figures(page, "#waste")} >= {
        "Waiting",
        "Cold start",
        "Failed",
        "Abandoned",
        "Retried",
    }
    assert len(figures(page, "#charges")) == len(COMPONENTS)
    assert "of $14.00, November 2026" in page.text("#budget-body")
    assert "acme" in page.text("#breakdowns")
    assert "Price book" in page.text("#quality") and "bias" in page.text("#quality")
    [killed] = [row for row in figures(page, "#rows") if row[1] == "killed"]
    assert killed[2].split("\n") == ["Killed", "bill only"] and killed[4:6] == ["unknown", "unknown"]
    assert killed[8].startswith("≥\u00a0$")
    page.screenshot(SCREENSHOTS / "light.png")
    page.screenshot(README / "dashboard-light.png", height=1228)


@pytest.mark.parametrize(
    ("budget", "kind", "warning"),
    [
        ("4.5", "Note", "at 70 %"),
        ("3.6", "Note", "at 90 %"),
        ("3", "Alarm", "at 100 %"),
        ("14", "Note", "forecast passes"),
    ],
)
def test_the_budget_warns(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch, budget: str, kind: str, warning: str
) -> None:
    monkeypatch.setenv("WEIR_MONTHLY_BUDGET_USD", budget)
    page.open(f"{site.url}/?{RANGE}", READY)
    [said] = [line for line in page.evaluate("[...document.querySelectorAll('#notices li')].map((one) => one.innerText)")
              if "Budget:" in line]  # fmt: skip
    assert said.startswith(kind) and warning in said


def test_money_is_text_until_it_is_drawn(site: Site, page: Page) -> None:
    """The amounts on the page, exact in their titles, add up to the API's total to the last digit."""
    page.open(f"{site.url}/?{RANGE}", READY)
    report = page.evaluate(f"fetch('api/report?{RANGE}&tz=Europe/Berlin').then((answer) => answer.json())")
    titles = page.evaluate("[...document.querySelectorAll('#charges [title]')].map((one) => one.title)")
    assert [title.removeprefix("at least ") for title in titles] == [
        f"${text}" for text in report["totals"]["components"].values() if text is not None
    ]
    shown = page.evaluate("import('/page/format.js').then(({ sum, round, money }) => [sum(['0.1', '0.2', null]), "
                          "round('0.125', 2), round('0.135', 2), round('-1234.5', 0), money('1234567.005'), "
                          "money(null), money('0.000000000000001', 15), money('0'), money('0.00004', 4)])")  # fmt: skip
    assert shown == ["0.300000000000000000", "0.12", "0.14", "−1,234", "$1,234,567.00",
                     "unknown", "$0.000000000000001", "$0", "<$0.0001"]  # fmt: skip


def test_what_a_model_was_called_is_never_markup(nothing: Site, page: Page, context: Any) -> None:
    hostile = lines.request("hostile", model=HOSTILE, model_returned=None, tags={"feature": HOSTILE})
    ledger.handler(landed(lines.batch(lines.log_events(hostile))), context)
    page.open(f"{nothing.url}/?{RANGE}&by=model", READY)
    assert HOSTILE in page.text("#breakdowns") and HOSTILE in page.text("#rows")
    assert HOSTILE in page.text("#cost-legend")
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    radius = "Chart.getChart(document.querySelector('#ttft-chart canvas')).getDatasetMeta(0).data.map((one) => one.options.radius)"
    assert 3 in page.evaluate(radius), "one hour with one request is a point, as it has no line"


def test_a_tag_may_be_called_like_a_member_of_every_object(nothing: Site, page: Page, context: Any) -> None:
    for n, name in enumerate(("constructor", "__proto__", "search")):
        one = lines.request(f"r{n}", tags={"feature": name})
        ledger.handler(landed(lines.batch(lines.log_events(one, f"e{n}"))), context)
    page.open(f"{nothing.url}/?{RANGE}&by=feature", READY)
    assert page.evaluate("document.querySelector('#failure').hidden")
    legend = page.text("#cost-legend")
    assert "constructor" in legend and "__proto__" in legend and "search" in legend


@pytest.mark.parametrize("by", ["outcome", "tenant", "feature", "model", "function", "tag:feature"])
def test_the_cost_is_split_by_what_the_reader_chooses(site: Site, page: Page, by: str) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    page.evaluate(f"""(() => {{
        const choose = (field, value) => {{ field.value = value; field.dispatchEvent(new Event('change')); }};
        choose(document.querySelector('#by'), {json.dumps(by.split(":")[0])});
        if ({json.dumps(by)}.includes(':')) choose(document.querySelector('#tag-name input'), 'feature');
    }})()""")
    page.until(
        f"document.querySelector('#cost-chart canvas').ariaLabel.startsWith('Cost over time by {by.replace(':', ' ')}:')"
    )
    assert f"by={by.replace(':', '%3A')}" in page.evaluate("location.search")
    assert len(page.text("#cost-legend").split("\n")) >= 1


def test_every_chart_has_its_figures_as_a_table(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    for figure in ("cost-chart", "ttft-chart", "duration-chart", "distribution-chart", "completeness-chart"):
        page.click(f"#{figure} summary")
        page.until(f"document.querySelector('#{figure} tbody tr')")
    # The range as the reader sees it: three days of the browser's zone, or their hours.
    assert len(figures(page, "#cost-chart")) in (3, 72)
    assert_accessible(page)


@pytest.fixture
def corrected(moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, context: Any) -> Iterator[Site]:
    """October is closed with one request whose report comes later, in November."""
    bucket = prepare_bucket(moto_url, monkeypatch)
    monkeypatch.setenv("WEIR_MONTHLY_BUDGET_USD", "0.001")
    store, prices = Store(bucket), PriceBook.load()
    october = datetime(2026, 10, 14, 12, tzinfo=UTC)
    at_ms = round(october.timestamp() * 1000)
    first = [
        lines.log_event(line, f"c{n}", at_ms + n) for n, line in enumerate(lines.request("late-one")[:3])
    ]
    with Site(At()) as served:
        ledger.handler(landed(lines.batch(first)), context)
        compact(store, prices, october.date(), october.date(), tmp_path)
        close(store, "2026-10", lines.NOON, tmp_path)
        report = lines.log_event(lines.report("late-one", 2068), "late", at_ms + 9)
        ledger.handler(landed(lines.batch([report])), context)
        correct(store, prices, "2026-10", lines.NOON, tmp_path)
        yield served


def test_a_range_with_nothing_but_a_correction_shows_it_and_leads_to_its_request(
    corrected: Site, page: Page
) -> None:
    page.open(f"{corrected.url}/?{RANGE}", READY)
    page.until("document.querySelector('#corrections-list a')")
    assert "0 requests" in page.text("#headline") and "No requests in this range" not in page.text("main")
    assert "1 request of 2026-10, which is closed" in page.text("#corrections-said")
    [row] = figures(page, "#corrections-list")
    assert (row[0], row[1]) == ("late-one", "14 Oct 2026, 14:00")
    assert figures(page, "#rows") == []
    assert_accessible(page)
    page.screenshot(SCREENSHOTS / "corrections.png")
    photograph(page, "corrected", "#corrections")
    page.open(page.evaluate("document.querySelector('#corrections-list a').href"), DONE)
    assert "As booked" in page.text("#headline") and "14 Oct 2026, 14:00:00, Europe/Berlin" in page.text(
        "#headline"
    )
    changed = {cells[0]: cells[1:] for cells in figures(page, "#corrections .scroll:last-child")}
    assert changed["Billed ms"] == ["unknown", "2068", "2068"]
    page.screenshot(SCREENSHOTS / "corrected-request.png")


def test_a_closed_month_says_what_was_found_of_it_later(corrected: Site, page: Page) -> None:
    page.open(f"{corrected.url}/?from=2026-10-01&to=2026-11-01", READY)
    page.until("document.querySelector('#corrections-list a')")
    assert "closed with 2026-10, came to" in page.text("#corrections-said")
    assert "1 request" in page.text("#headline")


def test_a_budget_without_a_forecast_says_why_and_nothing_unknown(
    nothing: Site, page: Page, monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    monkeypatch.setenv("WEIR_MONTHLY_BUDGET_USD", "0.0001")
    ledger.handler(landed(lines.batch(lines.log_events(lines.request("only")))), context)
    page.open(f"{nothing.url}/?{RANGE}", READY)
    for place in ("#budget-body", "#notices"):
        said = page.text(place)
        assert "no forecast yet: no whole day has passed since the first request" in said
        assert "unknown" not in said and "null" not in said


# ---- Where it is looked at -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "width", "dark"), [("dark", 1280, True), ("phone", 360, False), ("phone-dark", 360, True)]
)
def test_it_is_readable_in_dark_and_light_and_on_a_phone(
    site: Site, browser: Browser, name: str, width: int, dark: bool
) -> None:
    with browser.page(width, 800, dark=dark) as page:
        page.open(f"{site.url}/?{RANGE}&by=tenant", READY)
        assert_fits(page)
        page.screenshot(SCREENSHOTS / f"{name}.png")
        if name != "phone-dark":
            page.screenshot(README / f"dashboard-{name}.png", height=780 if name == "phone" else 1228)
        assert_accessible(page)
        assert page.complaints() == []


def test_charts_follow_the_theme_while_the_page_is_open(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    ink = "(() => { const chart = Chart.getChart(document.querySelector('#cost-chart canvas')); " \
          "return chart.options.scales.x.ticks.color })()"  # fmt: skip
    light = page.evaluate(ink)
    page.theme(dark=True)
    page.until(f"{ink} !== {json.dumps(light)}")
    assert page.evaluate(ink) == page.evaluate("getComputedStyle(document.querySelector('.hint')).color")


def test_it_works_without_a_mouse(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    seen, unseen = [], []
    for _ in range(300):
        page.press("Tab")
        place, name, outline, visible = page.evaluate("""(() => {
            const focused = document.activeElement, style = getComputedStyle(focused);
            const box = focused.getBoundingClientRect();
            return [[...document.querySelectorAll('*')].indexOf(focused), focused.outerHTML.slice(0, 80),
                style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
                box.width > 0 && box.bottom > 0 && box.top < innerHeight];
        })()""")
        if seen and place == seen[-1][0]:
            continue  # a date has parts of its own
        if name.startswith("<body") or (seen and place == seen[0][0]):
            break
        seen.append((place, name))
        if not (outline and visible):
            unseen.append(name)
    places = [place for place, _ in seen]
    assert places == sorted(places) and len(places) > 40, "focus goes in the order of reading"
    assert unseen == []
    names = " ".join(name for _, name in seen)
    for wanted in (
        "Skip to the figures",
        "30 days",
        'name="from"',
        "<summary",
        'id="by"',
        'id="sort"',
        "requests/",
    ):
        assert wanted in names, wanted


def test_keys_open_filters_and_ask_anew(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    page.evaluate("document.querySelector('#more-filters summary').focus()")
    page.press("Enter")
    page.until("document.querySelector('#more-filters').open")
    page.press("Tab")
    page.press("Tab")
    for key in "gpt-4o":
        page.press(key)
    page.press("Enter")
    page.until("location.search.includes('model=gpt-4o')")
    page.until(READY)
    assert {row[3] for row in figures(page, "#rows")} == {"gpt-4o"}
    assert page.text("#filter-count").strip() == "(1)"


# ---- The reader's question is in the URL -----------------------------------------------------------------------------


def test_filters_zone_and_range_are_kept_in_the_url(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    assert "tz=Europe%2FBerlin" in page.evaluate("location.search")
    assert "20 Nov 2026, 00:00 to 23 Nov 2026, 00:00, Europe/Berlin" in page.text("#status")
    page.evaluate("document.querySelector('[name=tz]').value = 'America/New_York'; "
                  "document.querySelector('[name=outcome]').value = 'ok'; document.querySelector('form .main').click()")  # fmt: skip
    page.until("location.search.includes('New_York') && location.search.includes('outcome=ok')")
    page.until(f"{READY} && document.querySelector('#status').innerText.includes('America/New_York')")
    narrowed = page.text("#status")
    page.open(page.evaluate("location.href"), READY)
    assert page.text("#status") == narrowed
    assert page.evaluate("document.querySelector('[name=to]').value") == "2026-11-22", (
        "the last day that is included"
    )
    page.evaluate("history.back()")
    page.until(f"{READY} && document.querySelector('#status').innerText.includes('Europe/Berlin')")


def test_a_name_in_a_table_narrows_the_report_to_itself(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    page.evaluate(
        "[...document.querySelectorAll('#breakdowns a')].find((one) => one.innerText === 'globex').click()"
    )
    page.until(f"location.search.includes('tenant=globex') && {READY}")
    page.evaluate(
        "[...document.querySelectorAll('#breakdowns a')].find((one) => one.innerText === 'search').click()"
    )
    page.until(f"location.search.includes('tag=feature%3Dsearch') && {READY}")
    assert "globex" in page.text("#breakdowns") and "acme" not in page.text("#breakdowns")


def test_a_feature_narrows_beside_the_tags_that_are_asked_for(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}&tag=feature", READY)
    page.evaluate(
        "[...document.querySelectorAll('#breakdowns a')].find((one) => one.innerText === 'search').click()"
    )
    page.until(f"location.search.includes('feature%3Dsearch') && {READY}")
    assert page.evaluate("new URLSearchParams(location.search).getAll('tag')") == [
        "feature",
        "feature=search",
    ]


def test_rows_are_shown_a_page_at_a_time(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    first = [row[1] for row in figures(page, "#rows")]
    page.click("#next")
    page.until(f"location.search.includes('cursor=') && {READY}")
    second = [row[1] for row in figures(page, "#rows")]
    assert len(first) == len(second) == 25 and not set(first) & set(second), "a page replaces the one before"
    at_second = page.evaluate("location.search")
    page.click("#next")
    page.until(f"location.search !== {json.dumps(at_second)} && {READY}")
    page.evaluate("history.back()")
    page.until(f"document.querySelector('#rows tbody a')?.innerText === {json.dumps(second[0])} && {READY}")
    page.click("#previous")
    page.until(f"!location.search.includes('cursor=') && {READY}")
    assert [row[1] for row in figures(page, "#rows")] == first
    page.evaluate(
        "{ const by = document.querySelector('#sort'); by.value = 'cost'; by.dispatchEvent(new Event('change')) }"
    )
    page.until(f"location.search.includes('sort=cost') && {READY}")
    costs = [float(row[8].removeprefix("≥\u00a0").removeprefix("$")) for row in figures(page, "#rows")]
    assert costs == sorted(costs, reverse=True) and costs[0] > costs[-1]


# ---- One request -------------------------------------------------------------------------------------------------------


def test_one_request_has_a_page_with_its_timeline(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}&outcome=ok", READY)
    page.click("#rows a")
    page.until(f"location.pathname.startsWith('/requests/') && {DONE}")
    assert [row[0] for row in figures(page, "#timeline")][-1] == "Rest"
    assert len(figures(page, "#charges")) == len(COMPONENTS)
    assert "GB-seconds" in page.text("#facts") and "Estimate that the caller was told" in page.text(
        "#quality"
    )
    page.screenshot(SCREENSHOTS / "request.png")
    page.screenshot(README / "request.png", height=1108)
    assert_accessible(page)
    page.resize(360, 800)
    assert_fits(page)
    page.screenshot(SCREENSHOTS / "request-phone.png")
    page.click("#back")
    page.until("location.pathname === '/' && location.search.includes('outcome=ok')")


def test_a_request_that_nobody_knows_is_an_error_in_words(site: Site, browser: Browser) -> None:
    with browser.page() as page:
        page.open(f"{site.url}/requests/nobody?{RANGE}", DONE)
        assert "no request 'nobody'" in page.text("#failure")


# ---- Exports ---------------------------------------------------------------------------------------------------------


def test_an_export_is_started_awaited_and_offered_as_a_link(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}&tenant=acme", READY)
    page.click("#export summary")
    page.evaluate("document.querySelector('#export-format').value = 'csv'")
    page.click("#export-start")
    page.until("document.querySelector('#export-jobs a')")
    address = page.evaluate("document.querySelector('#export-jobs a').href")
    body = httpx.get(address).text
    assert "request_id" in body.splitlines()[0]
    requests = int(page.text("#headline .hero .note").split()[0])
    assert len(body.splitlines()) == requests + 1, "the rows that the filters match, and their header"
    page.screenshot(SCREENSHOTS / "export.png", whole=False)
    assert_accessible(page)


# ---- States --------------------------------------------------------------------------------------------------------------


def test_without_requests_it_says_how_to_make_one(nothing: Site, page: Page) -> None:
    page.open(f"{nothing.url}/?{RANGE}", READY)
    assert "No requests in this range" in page.text("#empty") and "/v1/generations" in page.text("#empty")
    assert page.evaluate(
        "document.querySelector('#report').hidden && document.querySelector('#requests').hidden"
    )
    photograph(page, "empty")
    assert_accessible(page)


def test_filters_that_match_nothing_can_be_taken_away(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}&tenant=nobody", READY)
    assert "No request matches these filters" in page.text("#empty")
    page.click("#empty a")
    page.until(f"{READY} && !document.querySelector('#report').hidden")
    assert "tenant" not in page.evaluate("location.search")


def test_while_it_loads_it_says_so_and_keeps_its_shape(site: Site, page: Page) -> None:
    site.trouble.open.clear()
    page.open(f"{site.url}/?{RANGE}")
    page.until(
        "document.querySelector('#report[aria-busy=true]') && document.querySelector('#requests[aria-busy=true]')"
    )
    assert page.text("#status") == "Loading"
    assert page.evaluate("document.querySelector('#cost-chart').clientHeight") > 200
    page.screenshot(SCREENSHOTS / "loading.png")
    assert_accessible(page)
    site.trouble.open.set()
    page.until(f"{READY} && !document.querySelector('#report').classList.contains('loading')")


def test_totals_and_cost_over_time_are_there_before_the_rest_of_the_report(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.trouble, "held", "/api/report")
    site.trouble.open.clear()
    page.open(f"{site.url}/?{RANGE}", "document.querySelector('#cost-legend li')")
    assert "721 requests" in page.text("#headline") and page.text("#waste") == ""
    first = page.text("#headline"), page.text("#cost-legend")
    site.trouble.open.set()
    page.until(f"{READY} && !document.querySelector('#report').classList.contains('loading')")
    assert (page.text("#headline"), page.text("#cost-legend")) == first


def test_while_athena_works_it_says_so_and_asks_again(site: Site, page: Page) -> None:
    running = {"status": "running", "retry_after_s": 1}
    site.trouble.answers = [JSONResponse(running, 202, {"retry-after": "1"}) for _ in range(4)]
    page.open(f"{site.url}/?{RANGE}")
    page.until("!document.querySelector('#running').hidden")
    assert "Athena is reading the range" in page.text("#running")
    page.screenshot(SCREENSHOTS / "running.png")
    page.until(
        f"{READY} && document.querySelector('#running').hidden && !document.querySelector('#report').hidden"
    )
    assert "721 requests" in page.text("#headline")


def test_an_error_says_what_failed_and_can_be_tried_again(site: Site, browser: Browser) -> None:
    with browser.page() as page:
        problem = {
            "title": "The ledger's storage cannot be read",
            "detail": "GetObject rows/v1: AccessDenied",
        }
        site.trouble.answers = [JSONResponse(problem, 503) for _ in range(3)]
        page.open(f"{site.url}/?{RANGE}", READY)
        assert "The report could not be loaded. GetObject rows/v1: AccessDenied" in page.text("#failure")
        assert "The requests could not be loaded." in page.text("#rows-failure")
        page.screenshot(SCREENSHOTS / "error.png")
        assert_accessible(page)
        page.click("#failure button")
        page.until(f"{READY} && document.querySelector('#failure').hidden")
        assert "721 requests" in page.text("#headline")


def test_a_field_that_the_api_refuses_is_marked(site: Site, browser: Browser) -> None:
    with browser.page() as page:
        page.open(f"{site.url}/?from=2026-11-23&to=2026-11-20", READY)
        assert "from: " in page.text("#failure")
        assert page.evaluate("document.querySelector('[name=from]').getAttribute('aria-invalid')") == "true"


def test_a_million_requests_weigh_as_much_as_a_page_of_them(
    moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: Page
) -> None:
    bucket = prepare_bucket(moto_url, monkeypatch)
    monkeypatch.setenv("WEIR_MONTHLY_BUDGET_USD", "5000")
    for path in ledger_export.month_of_rows(tmp_path / "rows", 1_000_000, joined=1_000):
        boto3.client("s3").upload_file(str(path), bucket, f"rows/v1/{path.parent.name}/rows.parquet")
    with Site(Later()) as served:
        page.open(f"{served.url}/?from=2026-11-01&to=2026-12-01&tz=UTC", READY)
        assert "1,000,000 requests" in page.text("#headline")
        assert len(figures(page, "#rows")) == 25
        assert page.evaluate("document.querySelectorAll('*').length") < 3000
        assert_fits(page)
        photograph(page, "million")
        page.click("#next")
        page.until(f"location.search.includes('cursor=') && {READY}")
        assert len(figures(page, "#rows")) == 25


def test_the_documentation_page_lists_every_operation(site: Site, page: Page) -> None:
    page.open(f"{site.url}/docs", DONE)
    paths = page.evaluate(
        "fetch('openapi.json').then((answer) => answer.json()).then(({ paths }) => Object.keys(paths))"
    )
    assert all(path in page.text("main") for path in paths) and "/api/report" in paths
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert "totals.components.lambda_duration" in page.text("main") and "rows[].cost.total" in page.text(
        "main"
    )
    assert_accessible(page)


# ---- Beyond the report ---------------------------------------------------------------------------------------------

STUDIES = ("latency-cost", "what-if", "comparison", "unpriced", "explained")


def study(page: Page, url: str, name: str) -> None:
    """Open the page and one of its panels: one click."""
    page.open(url, READY)
    page.click(f"#{name} > summary")
    page.until(f"document.querySelector('#{name}').getAttribute('aria-busy') === 'false'")


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("width", [1280, 390])
def test_a_panel_is_one_click_away_fits_and_has_what_the_api_says(
    site: Site, browser: Browser, name: str, width: int
) -> None:
    with browser.page(width, 1100, dark=width < 500) as page:
        # A day has one before it, which the story's first day has not.
        days = "from=2026-11-22&to=2026-11-23" if name == "comparison" else RANGE
        study(page, f"{site.url}/?{days}", name)
        assert_fits(page)
        said = page.text(f"#{name} .study-body")
        expected = {
            "latency-cost": ("Waiting", "Tokens, beside them"),
            "what-if": ("First token 200 ms sooner", "recommended", "unknown"),
            "comparison": ("Volume", "Moved most, by model"),
            "unpriced": ("no price for tokens of in-house-7b", "A price for it"),
            "explained": ("Lambda duration", "GB-second", "since"),
        }[name]
        assert all(words in said for words in expected), said
        page.evaluate(f"document.querySelector('#{name}').scrollIntoView()")
        page.screenshot(SCREENSHOTS / f"{name}-{width}.png", whole=False)
        if width > 500 and name in ("what-if", "comparison"):
            page.screenshot(README / f"{name}.png", whole=False)
        assert_accessible(page)
        assert page.complaints() == []


def test_a_panel_leads_from_its_groups_to_their_requests(site: Site, page: Page) -> None:
    study(page, f"{site.url}/?{RANGE}", "latency-cost")
    page.evaluate("document.querySelector('#latency-cost select').value = 'tenant'")
    page.evaluate("document.querySelector('#latency-cost select').dispatchEvent(new Event('change'))")
    page.evaluate(
        "[...document.querySelectorAll('#latency-cost tbody a')].find((one) => one.innerText === 'acme').click()"
    )
    page.until(READY)
    assert page.evaluate("new URLSearchParams(location.search).get('tenant')") == "acme"


def bar_of(page: Page, figure: str, group: int, at: int) -> tuple[float, float]:
    """The middle of a bar on the screen."""
    place: list[float] = page.evaluate(
        f"(() => {{ const chart = Chart.getChart(document.querySelector('{figure} canvas'));"
        " chart.canvas.scrollIntoView({block: 'center'});"
        f" const bar = chart.getDatasetMeta({group}).data[{at}].getCenterPoint();"
        " const box = chart.canvas.getBoundingClientRect(); return [box.x + bar.x, box.y + bar.y]; })()"
    )
    return place[0], place[1]


def query(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    return found


def test_a_bar_of_what_latency_costs_leads_to_its_requests_by_mouse_finger_and_keyboard(
    site: Site, browser: Browser
) -> None:
    """Of 22 November in Berlin, those first whose streaming cost most."""
    expected = {"from": "2026-11-22", "to": "2026-11-23", "sort": "streaming", "tz": "Europe/Berlin"}
    figure = "#latency-cost figure"
    with browser.page(1280, 1100) as page:
        study(page, f"{site.url}/?{RANGE}", "latency-cost")
        assert "lead to the requests" in page.evaluate(f"document.querySelector('{figure} canvas').ariaLabel")
        page.click_at(*bar_of(page, figure, 2, 2))
        page.until(f"location.search.includes('sort=streaming') && {READY}")
        assert expected.items() <= query(page).items()
        assert page.evaluate("document.activeElement.id") == "requests"
        streamed = [row[8] for row in figures(page, "#rows")]
        assert streamed == sorted(streamed, reverse=True) and "Streaming" in page.text("#rows thead")
        assert page.complaints() == []
    with browser.page(360, 800) as page:
        study(page, f"{site.url}/?{RANGE}", "latency-cost")
        page.tap_at(*bar_of(page, figure, 2, 2))
        page.until(f"document.querySelector('{figure} .lead a')")
        assert "2026-11-22, Streaming" in page.text(f"{figure} .lead") and query(page)["sort"] == "newest"
        assert_fits(page)
        page.screenshot(SCREENSHOTS / "latency-tapped.png", whole=False)
        page.click(f"{figure} .lead a")
        page.until(f"location.search.includes('sort=streaming') && {READY}")
        assert expected.items() <= query(page).items()
    with browser.page(1280, 1100) as page:
        study(page, f"{site.url}/?{RANGE}", "latency-cost")
        page.evaluate(f"document.querySelector('{figure} summary').focus()")
        page.press("Enter")
        page.until(f"document.querySelectorAll('{figure} tbody a').length === 18")
        page.evaluate(f"document.querySelectorAll('{figure} tbody tr')[2].cells[3].firstChild.focus()")
        page.press("Enter")
        page.until(f"location.search.includes('sort=streaming') && {READY}")
        assert expected.items() <= query(page).items()


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ("#cost-chart", {"sort": "output_tokens", "from": "2026-11-22T13:00:00+01:00", "to": "2026-11-22T14:00:00+01:00"}),
        ("#ttft-chart", {"sort": "first_token"}),
        ("#duration-chart", {"sort": "duration"}),
        ("#completeness-chart", {"to": "2026-11-22T13:00:00.000Z"}),
    ],
)  # fmt: skip
def test_a_chart_of_the_report_leads_from_an_hour_to_its_requests(
    site: Site, page: Page, figure: str, expected: dict[str, str]
) -> None:
    page.open(f"{site.url}/?{RANGE}", READY)
    labels = f"Chart.getChart(document.querySelector('{figure} canvas')).data.labels"
    at = page.evaluate(f"{labels}.findIndex((label) => label.includes('22 Nov, 13:00'))")
    page.click_at(*bar_of(page, figure, 0, at))
    page.until(f"location.search.includes('from=2026-11-22T1') && {READY}")
    assert expected.items() <= query(page).items()
    assert page.evaluate("document.activeElement.id") == "requests" and figures(page, "#rows")


def test_a_group_of_a_bar_is_a_filter(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}&by=tenant", READY)
    page.evaluate("document.querySelector('#cost-chart details').open = true")
    page.until("document.querySelector('#cost-chart tbody a')")
    heads = page.evaluate(
        "[...document.querySelectorAll('#cost-chart th[scope=col]')].map((one) => one.innerText)"
    )
    [group] = [at for at, name in enumerate(heads) if name == "(unknown)"]
    page.evaluate(
        f"[...document.querySelectorAll('#cost-chart tbody tr')].map((row) => row.cells[{group}].querySelector('a')).find(Boolean).click()"
    )
    page.until(f"location.search.includes('tenant=') && {READY}")
    assert query(page)["tenant"] == "(unknown)"


@pytest.mark.parametrize("width", [1280, 360])
def test_a_line_of_charges_leads_to_its_requests_and_their_shares(
    site: Site, browser: Browser, width: int
) -> None:
    with browser.page(width, 900, dark=width < 500) as page:
        page.open(f"{site.url}/?{RANGE}", READY)
        page.click("#line-by-line")
        page.until("document.querySelector('#explained').getAttribute('aria-busy') === 'false'")
        assert page.evaluate("document.activeElement.closest('details').id") == "explained"
        report = page.text("#headline")
        rows = "[...document.querySelectorAll('#explained tbody tr')]"
        of_line = f"{rows}.find((row) => row.innerText.includes('claude-haiku'))"
        said = page.evaluate(f"{of_line}.querySelector('a').innerText")
        page.evaluate(f"{of_line}.querySelector('a').click()")
        page.until(f"location.search.includes('line=') && document.querySelector('.of-line') && {READY}")
        heading = page.text(".of-line")
        assert "claude-haiku-4-5" in heading and f"by {said}" in heading and "×" in heading
        assert page.text("#headline") == report, "the report stays"
        assert page.evaluate("document.activeElement.id") == "requests"
        shares = [float(row[9].removeprefix("$")) for row in figures(page, "#rows")]
        assert len(shares) == 25 and shares == sorted(shares, reverse=True)
        assert_fits(page)
        assert_accessible(page)
        page.evaluate("document.querySelector('#requests').scrollIntoView()")
        page.screenshot(SCREENSHOTS / f"line-{width}.png", whole=False)
        if width > 500:
            page.screenshot(README / "line.png", whole=False)
        text = httpx.get(page.evaluate("document.querySelector('.of-line a').href")).text
        assert len(text.splitlines()) - 1 == int(said.split()[0].replace(",", ""))
        page.click("#next")
        page.until(f"location.search.includes('cursor=') && {READY}")
        assert "line=" in page.evaluate("location.search")
        page.evaluate("document.querySelectorAll('.of-line a')[1].click()")
        page.until(f"!location.search.includes('line=') && !document.querySelector('.of-line') && {READY}")
        assert page.complaints() == []


def test_a_line_whose_price_has_changed_since_says_so_and_leads_to_all_requests(
    site: Site, browser: Browser
) -> None:
    with browser.page() as page:
        page.open(f"{site.url}/?{RANGE}&line=0123456789abcdef", READY)
        assert "expected the id of a line" in page.text("#rows-failure")
        page.click("#rows-failure a")
        page.until(f"{READY} && document.querySelector('#rows tbody')")


def test_an_answer_given_again_says_so_and_what_it_saved(nothing: Site, page: Page) -> None:
    again = {"attempts": [], "usage": {**lines.usage(0, 0), "source": "none"}}
    for name, usd in (("cache", "0.002"), ("idempotency_key", "0.003")):
        told_ = lines.request(name, answered_from=name, saved={"output_tokens": 300, "usd": usd}, **again)
        events = lines.log_events(told_, name)
        ledger.handler(
            landed(lines.batch(events)), SimpleNamespace(aws_request_id="7f0c", function_name="ledger")
        )
    page.open(f"{nothing.url}/?{RANGE}", READY)
    said = page.text("#headline")
    assert "$0.005" in said and "repeated by key $0.003" in said and "answered from the cache $0.002" in said
    page.evaluate("[...document.querySelectorAll('#headline a')].at(-1).click()")
    page.until(f"location.search.includes('sort=saved') && {READY}")
    assert [row[2].split("\n")[-1] for row in figures(page, "#rows")] == [
        "repeated by key, saved $0.003000",
        "from the cache, saved $0.002000",
    ]
    page.open(page.evaluate("document.querySelector('#rows a.id').href"), DONE)
    assert "repeated by key" in page.text("#headline") and "saved $0.003000" in page.text("#headline")
    page.screenshot(SCREENSHOTS / "answered-again.png")
    assert_accessible(page)


def test_periods_are_compared_by_a_tag_and_with_other_days(site: Site, page: Page) -> None:
    study(page, f"{site.url}/?{RANGE}", "comparison")
    for name, value in (("tag", "feature"), ("before_from", "2026-11-20"), ("before_to", "2026-11-21")):
        page.evaluate(f"document.querySelector('#comparison [name={name}]').value = '{value}'")
    page.click("#comparison form button")
    page.until(
        "document.querySelector('#comparison .study-body').innerText.includes('Moved most, by tag feature')"
    )
    assert "20 Nov 2026, 00:00 to 21 Nov 2026, 00:00" in page.text("#comparison .study-body")


def test_a_panel_that_cannot_be_worked_out_says_why_and_is_asked_again(site: Site, browser: Browser) -> None:
    with browser.page() as page:  # the console complains of the 503, as it should
        page.open(f"{site.url}/?{RANGE}", READY)
        site.trouble.answers.append(JSONResponse({"detail": "The ledger is away."}, 503))
        page.click("#what-if > summary")
        page.until("document.querySelector('#what-if [role=alert]')")
        assert "The ledger is away." in page.text("#what-if [role=alert]")
        page.click("#what-if [role=alert] button")
        page.until("document.querySelector('#what-if table')")


def test_a_price_for_a_model_without_one_is_checked_and_taken_away_as_a_file(site: Site, page: Page) -> None:
    study(page, f"{site.url}/?{RANGE}", "unpriced")
    page.click("#unpriced tbody summary")
    for name, amount in (("input", "2"), ("output", "4"), ("cached_input", "")):
        page.evaluate(f"document.querySelector('#unpriced input[name={name}]').value = '{amount}'")
    page.click("#unpriced form button")
    page.until("document.querySelector('#unpriced form + p a')")
    said = page.text("#unpriced form + p")
    assert "39 requests of this range would cost $" in said and "until costs reprice --apply" in said
    record = page.evaluate(
        "fetch(document.querySelector('#unpriced form + p a').href).then((one) => one.json())"
    )
    assert record["models"][0]["records"] == [{"prices": {"input": "2", "output": "4"}}]
    page.screenshot(SCREENSHOTS / "unpriced.png")


def test_a_requests_charges_are_taken_apart_on_its_page(site: Site, page: Page) -> None:
    page.open(f"{site.url}/?{RANGE}&outcome=ok", READY)
    address = page.evaluate("document.querySelector('#rows a.id').href")
    page.open(address, DONE)
    page.click("#explain")
    page.until("document.querySelector('#explained table')")
    said = page.text("#explained")
    assert "Output tokens" in said and "attempt 1" in said and "As CSV" in said
    assert_fits(page)
    page.screenshot(SCREENSHOTS / "explained-request.png")
    page.screenshot(README / "explained.png")
