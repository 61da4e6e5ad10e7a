"""Lists in xlsx workbooks: the one visible sheet that has the columns; a formula without a result is shown as it is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from halfiqa_ray.data.lists.cells import Line, header_place, key
from halfiqa_ray.data.problems import DataError


@dataclass(frozen=True)
class Sheet:
    """A sheet with anything on it."""

    title: str
    visible: bool
    lines: list[Line]

    def header(self, names: tuple[str, ...]) -> list[str] | None:
        """Its header, where it has one that is understood."""
        place = header_place(self.lines, names)
        return None if place is None else self.lines[place].cells


def lines_of(
    uri: str, data: bytes, maximum: int, wanted: Sequence[str], names: tuple[str, ...] = ()
) -> tuple[list[Line], list[str]]:
    """The rows of the sheet that is meant, and notes. Raises DataError that names file and sheets.

    Of the visible sheets it is the one with a header that is understood (``names``: what else the column of names may
    be called); of several such the one with one of the ``wanted`` columns; without any header the only one there is.
    A workbook of more than ``maximum`` bytes when unpacked is refused.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > maximum:
                raise DataError(f"{uri} unpacks to more than {maximum:,} bytes: not a score list")
        sheets = _sheets(data)
        chosen = _choose(uri, sheets, wanted, names)
        if chosen is None:
            return [], []
        lines = _with_formulas(data, chosen)
    except DataError:
        raise
    except Exception as error:  # zipfile, XML and openpyxl raise many types on damaged files
        raise DataError(f"{uri} is not a readable xlsx workbook: {error}") from error
    others = [f"{sheet.title!r}{'' if sheet.visible else ' (hidden)'}" for sheet in sheets if sheet is not chosen]
    notes = [f"the sheet {chosen.title!r} is read; other sheets: {', '.join(others)}"] if others else []
    place = header_place(lines, names)
    width = len(lines[place or 0].cells) if lines else 0
    return [Line(line.number, line.cells + [""] * (width - len(line.cells))) for line in lines], notes


def _choose(uri: str, sheets: Sequence[Sheet], wanted: Sequence[str], names: tuple[str, ...]) -> Sheet | None:
    visible = [sheet for sheet in sheets if sheet.visible]
    named = [sheet for sheet in visible if sheet.header(names) is not None]
    hidden = [sheet.title for sheet in sheets if not sheet.visible and sheet.header(names) is not None]
    if hidden and not named:
        raise DataError(f"{uri} has the columns on hidden sheets only, {hidden}: show the one that is meant")
    keys = set(map(key, wanted))
    fitting = [sheet for sheet in named if keys & set(map(key, sheet.header(names) or ()))] or named or visible
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        titles = ", ".join(repr(sheet.title) for sheet in fitting)
        raise DataError(f"{uri} has several sheets that may be the list: {titles}; save the one that is meant as CSV")
    if sheets:
        raise DataError(
            f"{uri} has hidden sheets only, {[sheet.title for sheet in sheets]}: show the one that is meant"
        )
    return None


def _sheets(data: bytes) -> list[Sheet]:
    from openpyxl import load_workbook  # slow to import, and few lists are workbooks

    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        found = [Sheet(sheet.title, sheet.sheet_state == "visible", _lines(sheet)) for sheet in book.worksheets]
    finally:
        book.close()
    return [sheet for sheet in found if sheet.lines]


def _lines(sheet: Any) -> list[Line]:
    """Cells past the header's last are kept, so that a row too long shows."""
    sheet.reset_dimensions()  # some writers state a size that would cut the sheet off
    return [Line(place, cells) for place, cells in enumerate(_cells(sheet.values), 1) if any(cells)]


def _with_formulas(data: bytes, sheet: Sheet) -> list[Line]:
    """The sheet's rows with the formula where its result was never stored: a script wrote it, and nobody saved it."""
    width = max(len(line.cells) for line in sheet.lines)
    if all(len(line.cells) == width and all(line.cells) for line in sheet.lines):
        return sheet.lines
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(data), read_only=True)
    try:
        formulas = {line.number: line.cells for line in _lines(book[sheet.title])}
    finally:
        book.close()
    known = {line.number: line.cells for line in sheet.lines}
    found = []
    for number, written in sorted(formulas.items()):
        cells = list(known.get(number, ()))
        cells += [""] * (len(written) - len(cells))
        for place, text in enumerate(written):
            if not cells[place] and text.startswith("="):
                cells[place] = text
        if any(cells):
            found.append(Line(number, cells))
    return found


def _cells(rows: Iterator[Sequence[object]]) -> Iterator[list[str]]:
    for row in rows:
        cells = [_text(value) for value in row]
        while cells and not cells[-1].strip():  # rows come without, or with any number of, empty cells at their end
            cells.pop()
        yield cells


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))  # 10004473376.0 is how some writers store the name 10004473376
    return str(value)
