"""A workbook: Summary, Detail and Assumptions, written row by row so that memory does not grow with the rows.

A sheet holds 1,048,576 rows; what is more goes on in Detail 2, Detail 3 and so on. Text is only ever written as text:
never a formula, a link or a number. https://xlsxwriter.readthedocs.io/working_with_memory.html
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

SHEET_ROWS = 1_048_576  # the heading included
_CELL_CHARACTERS = 32_767
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of Detail; `money` cells show 15 decimals."""

    name: str
    money: bool = False


@dataclass(frozen=True, slots=True)
class Formats:
    """How cells look."""

    heading: Format
    money: Format
    date: Format
    time: Format


def write_workbook(
    path: Path,
    summary: Iterable[Sequence[Any]],
    columns: Sequence[Column],
    rows: Iterable[Sequence[Any]],
    assumptions: Iterable[Sequence[Any]],
    *,
    sheet_rows: int = SHEET_ROWS,
) -> list[str]:
    """Write the three kinds of sheets, and return the names of those that hold Detail.

    Cells are text, numbers, Decimal (shown with 15 decimals), booleans, dates, datetimes without a zone, or None.
    """
    with xlsxwriter.Workbook(str(path), {**_OPTIONS, "tmpdir": str(path.parent)}) as book:
        formats = Formats(
            heading=book.add_format({"bold": True}),
            money=book.add_format({"num_format": "0.000000000000000"}),
            date=book.add_format({"num_format": "yyyy-mm-dd"}),
            time=book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"}),
        )
        _listing(book.add_worksheet("Summary"), summary, formats)
        names = ["Detail"]
        sheet = _detail(book, names[0], columns, formats)
        line = 0
        for row in rows:
            line += 1
            if line == sheet_rows:
                names.append(f"Detail {len(names) + 1}")
                sheet = _detail(book, names[-1], columns, formats)
                line = 1
            for place, (column, value) in enumerate(zip(columns, row, strict=True)):
                _write(sheet, line, place, value, formats, formats.money if column.money else None)
        _listing(book.add_worksheet("Assumptions"), assumptions, formats)
    return names


def _detail(book: xlsxwriter.Workbook, name: str, columns: Sequence[Column], formats: Formats) -> Worksheet:
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 1)
    sheet.set_column(0, 0, 38)
    sheet.set_column(1, len(columns) - 1, 18)
    for place, column in enumerate(columns):
        sheet.write_string(0, place, column.name, formats.heading)
    return sheet


def _listing(sheet: Worksheet, lines: Iterable[Sequence[Any]], formats: Formats) -> None:
    """A sheet of lines; a line of one cell is a heading."""
    sheet.set_column(0, 0, 44)
    sheet.set_column(1, 12, 26)
    for number, line in enumerate(lines):
        for place, value in enumerate(line):
            if len(line) == 1:
                sheet.write_string(number, place, str(value), formats.heading)
            else:
                _write(sheet, number, place, value, formats, None)


def _write(
    sheet: Worksheet, line: int, place: int, value: Any, formats: Formats, style: Format | None
) -> None:
    if value is None:
        return
    if isinstance(value, str):
        if len(value) > _CELL_CHARACTERS:  # Excel's limit; the CSV and the Parquet have the whole
            value = value[: _CELL_CHARACTERS - 1] + "…"
        sheet.write_string(line, place, value)
    elif isinstance(value, bool):
        sheet.write_boolean(line, place, value)
    elif isinstance(value, Decimal):
        sheet.write_number(line, place, float(value), formats.money)
    elif isinstance(value, int | float):
        sheet.write_number(line, place, value, style)
    elif isinstance(value, datetime):
        sheet.write_datetime(line, place, value, formats.time)
    elif isinstance(value, date):
        sheet.write_datetime(line, place, value, formats.date)
    else:
        raise TypeError(f"expected text, a number, a date or None in row {line}, got {type(value).__name__}")
