"""The live view of a stream: what a terminal shows, and what a file gets."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from infra.local.terminal.live_view import LiveView, Terminal, headline, shorten, width

TEXT = '{"title":"Té — a field guide","summary":"' + "words and more words, " * 12 + '🧭"}'


class Clock:
    """Time that passes a tenth of a second at every look."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        self.now_s += 0.1
        return self.now_s


@contextmanager
def terminal_of(columns: int) -> Iterator[tuple[TextIO, int]]:
    """A pseudo-terminal of that width: what is written to it, and the file descriptor to read it from."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with open(slave, "w", encoding="utf-8") as out:
        yield out, master
    os.close(master)


def read_all(master: int) -> str:
    """Everything that was written: a pseudo-terminal gives it in pieces."""
    data = b""
    while select.select([master], [], [], 0)[0]:
        data += os.read(master, 65_536)
    return data.decode()


def play(terminal: Terminal) -> None:
    view = LiveView(terminal, Clock())
    for start in range(0, len(TEXT), 4):
        view.delta(TEXT[start : start + 4])
        if start == 80:
            view.value("/title", "Té — a field guide")
    view.close()
    terminal.line("after")


def screen(written: str) -> list[str]:
    """The lines that remain on a terminal that knows \\r, one up and clear to the end."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", written.replace("\r\n", "\n")):
        if part.endswith("m") and part[0] == "\x1b":
            continue
        if part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[J":
            del lines[row + 1 :]
            lines[row] = lines[row][:column]
        elif part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column] + part
            column += 1
    return lines


def test_a_file_gets_whole_lines_and_no_control_characters() -> None:
    out = io.StringIO()
    play(Terminal(out, {"TERM": "xterm"}))
    written = out.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", written)
    lines = written.splitlines()
    assert max(map(width, lines)) <= 80
    shown = "".join(line[2:] for line in lines[:-1] if not line.startswith("  ✓") and "tokens/s" not in line)
    assert shown.replace(" ", "") == TEXT.replace(" ", ""), "lines are broken at spaces"
    assert [line for line in lines if "✓" in line] == ["  ✓ /title        Té — a field guide"]


def test_a_terminal_keeps_the_same_lines_and_one_line_of_progress() -> None:
    out = io.StringIO()
    play(Terminal(out, {}))
    with terminal_of(80) as (slave, master):
        play(Terminal(slave, {"TERM": "xterm"}))
        written = read_all(master)
    assert "\x1b[1A" in written
    remaining = [line for line in screen(written) if line]
    assert remaining[-1] == "after"
    assert sum("tokens/s" in line for line in remaining) == 1
    assert [line for line in remaining if "tokens/s" not in line] == [
        line for line in out.getvalue().splitlines() if "tokens/s" not in line
    ]


@pytest.mark.parametrize(
    ("environment", "live", "coloured"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_no_color_and_dumb_terminals_are_respected(
    environment: dict[str, str], live: bool, coloured: bool
) -> None:
    with terminal_of(80) as (out, _):
        terminal = Terminal(out, environment)
        assert terminal.live is live
        assert ("\x1b[" in terminal.style.good("ok")) is coloured


def test_a_narrow_terminal_is_not_overrun() -> None:
    with terminal_of(30) as (slave, master):
        play(Terminal(slave, {"TERM": "xterm"}))
        written = read_all(master)
    assert max(map(width, screen(written))) <= 30


def test_control_characters_of_a_model_do_not_reach_the_terminal() -> None:
    out = io.StringIO()
    view = LiveView(Terminal(out, {}), Clock())
    view.delta("a\x1b[2Jb\rc\u202ed")
    view.close()
    assert out.getvalue().splitlines()[0] == "  a [2Jb c d"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"heading": "First", "content": "long"}, "First"),
        ("two\nlines", "two lines"),
        (["a", "b"], '["a", "b"]'),
        (None, "null"),
        ({"n": 1}, '{"n": 1}'),
    ],
)
def test_a_value_has_a_headline(value: object, line: str) -> None:
    assert headline(value) == line


def test_text_is_shortened_by_columns_and_not_by_characters() -> None:
    assert shorten("日本語テキスト", 7) == "日本語…"
    assert shorten("short", 5) == "short"
