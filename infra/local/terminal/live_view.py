"""A stream on a terminal: tokens as they arrive, a line of progress under them, and values as they are validated.

On a terminal the last two lines are rewritten: the line of tokens that is still growing, and the progress. Into a
file or a pipe go finished lines only, without a control character. NO_COLOR and TERM=dumb are respected
(https://no-color.org).
"""

import json
import os
import time
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, TextIO

_REDRAW_INTERVAL_S = 0.04
_MIN_COLUMNS = 24
_MAX_COLUMNS = 80
_RAGGED_COLUMNS = 20


class Style:
    """Colours, or nothing where they are not wanted."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def bold(self, text: str) -> str:
        """Headings."""
        return self._paint("1", text)

    def faint(self, text: str) -> str:
        """What is only there to be seen passing by."""
        return self._paint("2", text)

    def good(self, text: str) -> str:
        """What was validated."""
        return self._paint("32", text)

    def bad(self, text: str) -> str:
        """What went wrong."""
        return self._paint("31", text)


class Terminal:
    """Where the demo writes: knows whether lines may be rewritten, and how wide they are."""

    def __init__(self, out: TextIO, environment: Mapping[str, str]) -> None:
        self._out = out
        self.live = out.isatty() and environment.get("TERM", "") not in ("", "dumb")
        self.style = Style(colour=self.live and not environment.get("NO_COLOR"))
        self.columns = _MAX_COLUMNS
        if self.live:
            self.columns = max(_MIN_COLUMNS, min(_columns(out), _MAX_COLUMNS))

    def line(self, text: str = "") -> None:
        """One finished line."""
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Text as it is, at once."""
        self._out.write(text)
        self._out.flush()


class LiveView:
    """Shows one stream; `close` leaves the cursor at the beginning of a line."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._started_s = clock()
        self._growing = ""  # the line of tokens that is not full yet
        self._tokens = 0
        self._values = 0
        self._drawn = False
        self._drawn_at_s = 0.0

    def delta(self, text: str) -> None:
        """Text of one token."""
        self._tokens += 1
        finished: list[str] = []
        for character in text:
            character = " " if unicodedata.category(character)[0] == "C" else character
            if width(self._growing) + width(character) > self._terminal.columns - 2:
                full, self._growing = _broken(self._growing)
                finished.append(full)
            self._growing += character
        self._show([self._terminal.style.faint(f"  {line}") for line in finished])

    def value(self, path: str, value: Any) -> None:
        """A field or an element that is complete and valid."""
        self._values += 1
        finished = [self._terminal.style.faint(f"  {self._growing}")] if self._growing else []
        self._growing = ""
        shown = shorten(f"{path:<13} {headline(value)}", self._terminal.columns - 5)
        self._show([*finished, self._terminal.style.good(f"  ✓ {shown}")], at_once=True)

    def close(self) -> None:
        """The stream has ended: what is growing is finished, and the progress becomes a line."""
        finished = [self._terminal.style.faint(f"  {self._growing}")] if self._growing else []
        self._growing = ""
        self._clear()
        for line in [*finished, self._progress()]:
            self._terminal.line(line)

    def _progress(self) -> str:
        elapsed_s = max(self._clock() - self._started_s, 1e-9)
        rate = self._tokens / elapsed_s
        progress = (
            f"  {self._tokens} tokens, {self._values} values valid, {elapsed_s:.1f} s, {rate:.0f} tokens/s"
        )
        return shorten(progress, self._terminal.columns - 1)

    def _show(self, finished: list[str], *, at_once: bool = False) -> None:
        if not self._terminal.live:
            for line in finished:
                self._terminal.line(line)
            return
        now_s = self._clock()
        if not finished and not at_once and now_s - self._drawn_at_s < _REDRAW_INTERVAL_S:
            return
        self._drawn_at_s = now_s
        self._clear()
        growing = self._terminal.style.faint(f"  {self._growing}")
        self._terminal.write("".join(f"{line}\n" for line in finished) + f"{growing}\n{self._progress()}")
        self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            # To the beginning of the growing line, one up, and clear to the end of the screen.
            self._terminal.write("\r\x1b[1A\x1b[J")
            self._drawn = False


def _broken(line: str) -> tuple[str, str]:
    # At the last space, unless that would leave a ragged edge; a JSON text may have none for long.
    head, space, tail = line.rpartition(" ")
    return (head, tail) if space and len(tail) <= _RAGGED_COLUMNS else (line, "")


def width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def shorten(text: str, columns: int) -> str:
    """The text within that many columns, with an ellipsis where something was cut off."""
    if width(text) <= columns:
        return text
    while width(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def headline(value: Any) -> str:
    """What one line can say of a value: of an object its first text, otherwise the value itself."""
    if isinstance(value, dict):
        value = next((member for member in value.values() if isinstance(member, str)), value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split())


def _columns(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or _MAX_COLUMNS
    except (OSError, ValueError):
        return _MAX_COLUMNS
