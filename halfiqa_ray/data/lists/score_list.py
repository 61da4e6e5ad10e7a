"""Score lists as rows of text cells, each with its place in the file: CSV of any common delimiter, and xlsx."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import openpyxl

from halfiqa_ray import storage
from halfiqa_ray.data.problems import DataError, RowError

NAME_COLUMNS = ("image_name", "img_name", "image name", "imagename", "image", "name", "filename")
MAXIMUM_BYTES = 2**30  # of a list, and of an xlsx when unpacked


@dataclass(frozen=True)
class Line:
    """One row: its number in the file (from 1) and its cells."""

    number: int
    cells: list[str]


@dataclass(frozen=True)
class ScoreList:
    """A list's cells. ``header``: lower-case column names, or None when the file begins with data."""

    file: str
    header: list[str] | None
    lines: list[Line]
    sha256: str

    @cached_property
    def columns(self) -> int:
        """How many cells each row should have."""
        if self.header is not None:
            return len(self.header)
        return Counter(len(line.cells) for line in self.lines).most_common(1)[0][0]  # the first may be the odd one

    def column(self, *names: str) -> int | None:
        """The place of the first of ``names`` (lower case) that the header has."""
        header = self.header or []
        return next((header.index(name) for name in names if name in header), None)


def read(uri: str) -> ScoreList:
    """Read a score list; an xlsx is known by its content. Raises DataError that names the file."""
    try:
        data = storage.read_bytes(uri, MAXIMUM_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"there is no list {uri}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the list {uri}: {error}") from error
    lines = _xlsx(uri, data) if data.startswith(b"PK\x03\x04") else _csv(uri, data)
    if not lines:
        raise DataError(f"the list {uri} is empty")
    first = [cell.strip().lower() for cell in lines[0].cells]
    has_header = any(cell in NAME_COLUMNS for cell in first)
    if has_header:
        return ScoreList(uri, first, lines[1:], hashlib.sha256(data).hexdigest())
    return ScoreList(uri, None, lines, hashlib.sha256(data).hexdigest())


def find(setting: str | None, root: str, usual: Sequence[str]) -> str:
    """The list to read: the setting (a path or URI, also below the root), else the first usual name below the root.

    Raises DataError that names what was looked for.
    """
    if setting is not None:
        tried = [setting] if storage.is_remote(setting) or setting.startswith("/") else [setting, f"{root}/{setting}"]
    else:
        tried = [storage.join(root, name) for name in usual]
    for uri in tried:
        if storage.exists(uri):
            return uri
    raise DataError(f"no score list: looked for {', '.join(tried)}; set data.scores to the list, or data.root")


def number(cell: str, what: str) -> float:
    """A finite number. Raises RowError that says ``what`` it should have been."""
    try:
        value = float(cell.replace("_", "?"))  # Python would read 1_0 as 10
    except ValueError:
        raise RowError("bad_number", f"{what} is {cell.strip()!r}, not a number") from None
    if not math.isfinite(value):
        raise RowError("bad_number", f"{what} is {cell.strip()}, not a finite number")
    return value


def _csv(uri: str, data: bytes) -> list[Line]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{uri} is not UTF-8 text (byte {error.start}); save it as UTF-8 CSV") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines, start = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append(Line(start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{uri}, row {start}: not readable as CSV ({error})") from error
    return lines


def _xlsx(uri: str, data: bytes) -> list[Line]:
    """The first sheet. Cells past the header's last are kept, so that a row too long shows."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAXIMUM_BYTES:
                raise DataError(f"{uri} unpacks to more than {MAXIMUM_BYTES:,} bytes: not a score list")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # some writers state a size that would cut the sheet off
        lines = [Line(place, cells) for place, cells in enumerate(_cells(sheet.values), 1) if any(cells)]
        book.close()
    except DataError:
        raise
    except Exception as error:  # zipfile, XML and openpyxl raise many types on damaged files
        raise DataError(f"{uri} is not a readable xlsx workbook: {error}") from error
    width = len(lines[0].cells) if lines else 0
    return [Line(line.number, line.cells + [""] * (width - len(line.cells))) for line in lines]


def _cells(rows: Iterator[Sequence[object]]) -> Iterator[list[str]]:
    for row in rows:
        cells = ["" if value is None else str(value) for value in row]
        while cells and not cells[-1].strip():  # rows come without, or with any number of, empty cells at their end
            cells.pop()
        yield cells
