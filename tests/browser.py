"""Chromium, driven over the DevTools protocol by a pipe: commands go in at file descriptor 3, answers and events
come out of 4, each a JSON text that ends with NUL. No port, and no package for it.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE_S = 60.0  # a shared machine may be slow; nothing here waits without reason
_SWITCHES = (
    "--headless",
    "--no-sandbox",  # containers have no user namespaces
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
    # One renderer for all pages, which are ours, and none in reserve.
    "--renderer-process-limit=1",
    "--disable-site-isolation-trials",
    "--disable-features=SpareRendererForSitePerProcess,IsolateOrigins,site-per-process",
    "--disable-extensions",
    "--disable-background-networking",
)
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowUp": 38, "ArrowDown": 40}


class BrowserError(Exception):
    """Chromium refused a command, died, or a page never became what was expected."""


class Browser:
    """One Chromium with a profile of its own; a context manager that ends it."""

    def __init__(
        self, executable: str, profile: Path, time_zone: str = "Europe/Berlin", *switches: str
    ) -> None:
        self._last = 0
        self._buffer = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: dict[str, list[dict[str, Any]]] = {}
        ours, self._commands = _pipe()
        self._read, theirs = _pipe()
        arguments = [executable, *_SWITCHES, *switches, f"--user-data-dir={profile}", "about:blank"]
        self._process = os.posix_spawn(
            executable,
            arguments,
            {**os.environ, "TZ": time_zone},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, ours, 3),
                (os.POSIX_SPAWN_DUP2, theirs, 4),
            ],
            setpgroup=0,
        )
        os.close(ours)
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._commands)
        os.close(self._read)

    def command(self, method: str, parameters: dict[str, Any] | None = None, session: str = "") -> Any:
        """The result of one command. Raises BrowserError."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while self._last not in self._answers:
            self.listen(until - time.monotonic(), method)
        answer = self._answers.pop(self._last)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def listen(self, seconds: float, waiting_for: str) -> None:
        """Take in what Chromium says next."""
        if not select.select([self._read], [], [], max(0.0, seconds))[0]:
            raise BrowserError(f"{waiting_for}: no answer in {PATIENCE_S:.0f} s")
        data = os.read(self._read, 1 << 20)
        if not data:
            raise BrowserError(f"{waiting_for}: Chromium has ended")
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._events.setdefault(message.get("sessionId", ""), []).append(message)

    def events(self, session: str) -> list[dict[str, Any]]:
        """All events of a page so far."""
        return self._events.setdefault(session, [])

    @contextmanager
    def page(self, width: int = 1280, height: int = 900, *, dark: bool = False) -> Iterator["Page"]:
        """A new page in a window of this size, in the light or the dark theme; closed at the end."""
        target = self.command("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.command("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Audits"):
            page.command(f"{domain}.enable")
        page.resize(width, height)
        page.theme(dark)
        try:
            yield page
        finally:
            self.command("Target.closeTarget", {"targetId": target})


class Page:
    """One page: what a reader does with it, and what they see."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def command(self, method: str, **parameters: Any) -> Any:
        return self._browser.command(method, parameters, self._session)

    def resize(self, width: int, height: int) -> None:
        phone = width < 600
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=2 if phone else 1, mobile=phone)  # fmt: skip

    def theme(self, dark: bool) -> None:
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str, ready: str = "true") -> None:
        """Go to `url` and wait until the expression `ready` holds."""
        self.command("Page.navigate", url=url)
        self.until(f"location.href !== 'about:blank' && document.readyState === 'complete' && ({ready})")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, as JSON; a promise is awaited."""
        done = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise BrowserError(
                f"{expression}: {details.get('exception', details).get('description', details)}"
            )
        return done["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression holds. Raises BrowserError with the page's text."""
        until = time.monotonic() + PATIENCE_S
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > until:
                text = self.evaluate("document.body.innerText")
                raise BrowserError(f"never became true: {expression}; the page says:\n{text[:2000]}")
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """The text of the first element, as it is shown."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def click_at(self, x: float, y: float) -> None:
        """Press and release the mouse at a place of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def tap_at(self, x: float, y: float) -> None:
        """Touch a place of the window with a finger."""
        self.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key where the focus is."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    def complaints(self) -> list[str]:
        """What the console and the browser's own audits say is wrong: errors, exceptions, policy violations."""
        found = []
        for event in self._browser.events(self._session):
            method, given = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                details = given["exceptionDetails"]
                found.append(str(details.get("exception", {}).get("description", details["text"])))
            elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(one.get("value", one.get("description"))) for one in given["args"]))
            elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                found.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
            elif method == "Audits.issueAdded" and given["issue"]["code"] == "ContentSecurityPolicyIssue":
                found.append(json.dumps(given["issue"]["details"]))
        return found

    def screenshot(self, path: Path, *, whole: bool = True, height: float | None = None) -> None:
        """A PNG of the whole page, of its first `height`, or of the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # Lets the last drawing happen: two frames.
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        options: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.command("Page.getLayoutMetrics")["cssContentSize"]
            clip = {**size, "height": height or size["height"], "scale": 1}
            options |= {"captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", **options)["data"]))


def find_chromium() -> str | None:
    """Chromium's path, or None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _pipe() -> tuple[int, int]:
    """A pipe whose ends lie above the numbers that Chromium gets."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
