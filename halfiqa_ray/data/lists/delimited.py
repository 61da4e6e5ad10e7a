"""Lists of delimited text: encoding, delimiter and header are decided from the whole list, and a tie is refused.

Excel's first line `sep=;` says the delimiter, and is no data. Otherwise each delimiter gives one reading of the list,
and the list is read where one of them alone makes sense of it: by a header that is understood, else by rows that begin
with a photo's name, else by rows of numbers after their first cell.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from halfiqa_ray.data.lists.cells import Line, header_place, starts_with_picture
from halfiqa_ray.data.lists.numbers import looks_like_number
from halfiqa_ray.data.problems import DataError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SEPARATOR = re.compile(r"\"?sep=([^\w\"'\r\n])\"?[,;\t|]*(\r\n|\r|\n)", re.IGNORECASE)
NOTHING = "\x1f"  # a delimiter that no list has
MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)


@dataclass(frozen=True)
class Reading:
    """The list as one delimiter gives it."""

    delimiter: str
    lines: list[Line]
    names: tuple[str, ...]

    @cached_property
    def has_header(self) -> bool:
        """Whether a header is understood, of more than one column."""
        place = header_place(self.lines, self.names)
        return place is not None and len(self.lines[place].cells) > 1

    @property
    def is_wide(self) -> bool:
        """Whether rows have several cells, as a rule."""
        return Counter(len(line.cells) for line in self.lines).most_common(1)[0][0] > 1

    def most(self, fits: Callable[[Sequence[str]], bool]) -> bool:
        """Whether most rows are such."""
        return 2 * sum(fits(line.cells) for line in self.lines) > len(self.lines)

    def __str__(self) -> str:
        """The first row, with the delimiter's name."""
        return f"with the {DELIMITERS.get(self.delimiter, repr(self.delimiter))} row 1 is {self.lines[0].cells[:6]}"


def lines_of(uri: str, data: bytes, names: tuple[str, ...] = ()) -> tuple[list[Line], str]:
    """The rows that are not empty, and the delimiter ("" where rows have one cell). Raises DataError naming the file.

    ``names``: what else than `NAME_COLUMNS` the column of names may be called.
    """
    text = _text(uri, data)
    if said := SEPARATOR.match(text):
        return _parse(uri, text[said.end() :], said[1], 2), said[1]
    there = [delimiter for delimiter in DELIMITERS if delimiter in text]
    if not there:
        return _parse(uri, text, NOTHING, 1), ""
    readings, failure = [], None
    for delimiter in there:
        try:
            if lines := _parse(uri, text, delimiter, 1):
                readings.append(Reading(delimiter, lines, names))
        except DataError as error:
            failure = failure or error
    if not readings:
        if failure is not None:
            raise failure
        return [], ""
    chosen = _choose(uri, readings)
    return (chosen.lines, chosen.delimiter) if chosen else (_parse(uri, text, NOTHING, 1), "")


def _choose(uri: str, readings: Sequence[Reading]) -> Reading | None:
    """The one reading that makes sense; None when rows have one cell whatever the delimiter. Raises DataError."""
    wide = [reading for reading in readings if reading.is_wide]
    named = [reading for reading in readings if reading.has_header]
    if not named and len(wide) < 2:
        return wide[0] if wide else None
    for fitting in (
        named,
        [reading for reading in wide if reading.most(_is_name_and_numbers)],
        [reading for reading in wide if reading.most(_is_numbers)],
    ):
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            break
    said = "; ".join(map(str, fitting or wide))
    raise DataError(
        f"{uri} can be read in several ways: {said}. Give it a header (image_name and mos, with its delimiter between "
        "them), or write decimal points and put names in quotes"
    )


def _is_numbers(cells: Sequence[str]) -> bool:
    return len(cells) > 1 and all(looks_like_number(cell) for cell in cells[1:] if cell.strip())


def _is_name_and_numbers(cells: Sequence[str]) -> bool:
    return starts_with_picture(cells) and _is_numbers(cells)


def _text(uri: str, data: bytes) -> str:
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{uri}, row {row} is not {encoding.upper().removesuffix('-SIG')} text (byte {error.start}: "
            f"{data[error.start : error.start + 8]!r}); save it as UTF-8 CSV"
        ) from error
    if "\0" in text:
        raise DataError(f"{uri} is no text (it holds zero bytes), or UTF-16 that does not say so: save it as UTF-8 CSV")
    return text


def _parse(uri: str, text: str, delimiter: str, first: int) -> list[Line]:
    """The rows that are not empty, numbered by the line of the file that they begin in; ``first``: that of ``text``."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines, start = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append(Line(start + first - 1, [_plain(cell) for cell in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{uri}, row {start + first - 1}: not readable as CSV ({error})") from error
    return lines


def _plain(cell: str) -> str:
    """`="00001"` is how Excel's users keep the text 00001 in a CSV."""
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') and len(cell) > 2 else cell
