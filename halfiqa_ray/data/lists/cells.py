"""Rows of text cells, and which of them is the header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from halfiqa_ray.data.photos.names import is_photo

NAME_COLUMNS = (
    *("image_name", "img_name", "image", "name", "filename", "img", "image_id", "image_file", "image_filename"),
    *("file", "file_path", "path", "image_path", "img_path", "photo", "photo_name", "picture", "picture_name"),
)
ABOVE = 20  # rows of a title, at most, above the header


def key(name: str) -> str:
    """A column's name as it is compared: `Image Name`, `image-name` and `ImageName` are image_name."""
    return re.sub(r"[\s_.\-]+", "", name.strip().lstrip("#").strip("'\"\ufeff")).lower()


NAME_KEYS = frozenset(map(key, NAME_COLUMNS))


@dataclass(frozen=True)
class Line:
    """One row: its number in the file (from 1) and its cells."""

    number: int
    cells: list[str]


def is_header(cells: Sequence[str], names: Iterable[str] = ()) -> bool:
    """Whether a row names columns: one of them is of names (`NAME_COLUMNS`, or ``names``), and no cell is a photo."""
    known = NAME_KEYS.union(map(key, names))
    return any(key(cell) in known for cell in cells) and not any(map(_is_picture, cells))


def header_place(lines: Sequence[Line], names: Iterable[str] = ()) -> int | None:
    """Which of the lines is the header; None when data begin before one is found.

    Above it may be a title: rows in which no photo is named.
    """
    several = max((len(line.cells) for line in lines[: 10 * ABOVE]), default=0) > 1
    for place, line in enumerate(lines[:ABOVE]):
        filled = sum(bool(cell.strip()) for cell in line.cells)
        if (filled > 1 or not several) and is_header(line.cells, names):
            return place
        if any(map(_is_picture, line.cells)):
            return None
    return None


def starts_with_picture(cells: Sequence[str]) -> bool:
    """Whether the first cell is a photo's name with its extension."""
    return bool(cells) and _is_picture(cells[0])


def _is_picture(cell: str) -> bool:
    return is_photo(cell.strip())
