"""Score lists as rows of text cells, each with its place in the file: delimited text, and xlsx."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from halfiqa_ray import storage
from halfiqa_ray.data import content
from halfiqa_ray.data.lists import delimited, workbook
from halfiqa_ray.data.lists.cells import NAME_COLUMNS, Line, header_place, is_header, key, starts_with_picture
from halfiqa_ray.data.lists.numbers import looks_like_number
from halfiqa_ray.data.lists.numbers import number as number
from halfiqa_ray.data.problems import DataError, RowError

MAXIMUM_BYTES = 2**30  # of a list, and of an xlsx when unpacked
ADVICE = "write it as CSV or xlsx with the columns image_name and mos"


@dataclass(frozen=True)
class ScoreList:
    """A list's cells. ``written``: the header as it is written, or None when the file begins with data."""

    file: str
    written: list[str] | None
    lines: list[Line]
    sha256: str
    notes: tuple[str, ...] = ()  # for the user: what was recognised and left out

    @cached_property
    def header(self) -> list[str] | None:
        """The columns' names in lower case."""
        return None if self.written is None else [cell.strip().lower() for cell in self.written]

    @cached_property
    def keys(self) -> list[str]:
        """The columns' names as they are compared (`cells.key`); "" where a column has none."""
        found = [key(cell) for cell in self.written or ()]
        return ["" if name.startswith("unnamed:") else name for name in found]  # as pandas calls them

    @cached_property
    def _widest(self) -> int:
        if self.written is not None:
            return len(self.written)
        return Counter(len(line.cells) for line in self.lines).most_common(1)[0][0]  # the first may be the odd one

    @cached_property
    def columns(self) -> int:
        """How many cells each row should have: up to the last column with a name, else as many as most rows have."""
        if self.written is not None:
            return max((place + 1 for place, name in enumerate(self.keys) if name), default=0)
        width = self._widest
        while width > 1 and not any(cell.strip() for line in self.lines for cell in line.cells[width - 1 : width]):
            width -= 1
        return width

    def cells(self, line: Line) -> list[str]:
        """A row's cells, with empty ones for the columns without a name that it leaves out. Raises RowError.

        A cell too many is never cut off, even an empty one: a decimal comma may have made it.
        """
        if not self.columns <= len(line.cells) <= self._widest:
            shown = ",".join(line.cells)[:100]
            raise RowError("bad_columns", f"{len(line.cells)} cells, expected {self.columns}: {shown!r}")
        return line.cells + [""] * (self._widest - len(line.cells))

    def column(self, *names: str) -> int | None:
        """The place of the first of ``names`` that the header has. Raises DataError when several are called so."""
        for name in names:
            places = [place for place, found in enumerate(self.keys) if found == key(name)]
            if len(places) > 1:
                raise DataError(
                    f"{self.file} has several columns called {name}: {self.shown(places)}; keep one of them"
                )
            if places:
                return places[0]
        return None

    def named(self, name: str, setting: str) -> int:
        """The place of a column that ``setting`` names, as it is written or compared. Raises DataError."""
        written = [cell.strip() for cell in self.written or ()]
        exact = [place for place, cell in enumerate(written) if cell == name.strip()]
        fitting = exact or [place for place, found in enumerate(self.keys) if found and found == key(name)]
        if len(fitting) != 1:
            found = f"several columns called {name!r}" if fitting else f"no column {name!r}"
            raise DataError(f"{self.file} has {found} ({setting}); it has {self.described()}")
        return fitting[0]

    def shown(self, places: Sequence[int]) -> str:
        """Some columns' names as they are written, with their numbers from 1."""
        return ", ".join(f"{(self.written or ())[place].strip()!r} (column {place + 1})" for place in places)

    def described(self) -> str:
        """The header as it is written, or that there is none and how the list begins, for messages."""
        if self.written is not None:
            return f"the columns {[cell.strip() for cell in self.written]}"
        first = self.lines[0]
        if self.columns == 1:
            return (
                f"rows of one cell, with no comma, semicolon, tab or bar in them: row {first.number} is {first.cells}"
            )
        return (
            f"no header that is understood (a column of names is called {', '.join(NAME_COLUMNS)}); row {first.number} "
            f"is {first.cells[:8]}"
        )

    @property
    def begins_with_words(self) -> bool:
        """Whether a list without a header that is understood begins with one that is not: no photo and no number."""
        cells = self.lines[0].cells
        return self.written is None and not starts_with_picture(cells) and not any(map(looks_like_number, cells))

    def is_second_header(self, line: Line) -> bool:
        """Whether a row among the data names columns in another order than the header: of two lists in one file."""
        return is_header(line.cells) and [key(cell) for cell in line.cells][: self.columns] != self.keys[: self.columns]


def read(uri: str, wanted: Sequence[str] = ("mos",), name_column: str | None = None) -> ScoreList:
    """Read a list; what it is is known by its content. Raises DataError that names the file.

    ``wanted``: columns that tell the sheet of a workbook; ``name_column``: what else the column of names may be called.
    """
    try:
        data = storage.read_bytes(uri, MAXIMUM_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"there is no list {uri}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the list {uri}: {error}") from error
    names = () if name_column is None else (name_column,)
    notes: list[str] = []
    if _is_workbook(data):
        lines, notes = workbook.lines_of(uri, data, MAXIMUM_BYTES, wanted, names)
    else:
        _refuse_others(uri, data)
        lines, _ = delimited.lines_of(uri, data, names)
    if not lines:
        raise DataError(f"the list {uri} is empty")
    digest = hashlib.sha256(data).hexdigest()
    place = header_place(lines, names)
    if place is None:
        return ScoreList(uri, None, lines, digest, tuple(notes))
    if place:
        notes.append(f"rows {lines[0].number} to {lines[place - 1].number} of the list lie above its header: left out")
    return ScoreList(uri, lines[place].cells, lines[place + 1 :], digest, tuple(notes))


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


def _is_workbook(data: bytes) -> bool:
    """Whether it is an xlsx; a damaged ZIP may be one, and is told of as such."""
    if not data.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises many types on damaged files
        return True
    return "xl/workbook.xml" in names or any(name.startswith("xl/") and name.endswith(".xml") for name in names)


def _refuse_others(uri: str, data: bytes) -> None:
    """Raise DataError for what is known to be no delimited text."""
    found = content.what(data)
    if found == "a Python pickle":
        raise DataError(f"{uri} is {found}: it is never opened, as that can run any program; {ADVICE}")
    if found is not None:
        raise DataError(f"{uri} is {found}, no list of scores" + ("" if "run `" in found else f": {ADVICE}"))
    if _is_json(data):
        raise DataError(f"{uri} is JSON, no list of scores: {ADVICE}")
    if data.lstrip()[:1] == b"\x80" or uri.lower().endswith((".pkl", ".pickle", ".npy", ".mat", ".parquet")):
        raise DataError(f"{uri} is no list of scores by its name: {ADVICE}")


def _is_json(data: bytes) -> bool:
    """Whether the file is one JSON value, or one a line, that is an object or an array."""
    text = data.strip()
    if text[:1] not in (b"{", b"["):
        return False
    for part in (text, text.split(b"\n", 1)[0]):
        try:
            return isinstance(json.loads(part), dict | list)
        except ValueError:
            continue
    return False
