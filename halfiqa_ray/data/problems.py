"""What can be wrong with a row of a list or with a photo, in words that name the file and the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from halfiqa_ray import schema
from halfiqa_ray.data.photos import images

KINDS = {
    **images.KINDS,
    "leaves_root": "the name leads out of data.root",
    "bad_name": "the file's name is not UTF-8",
    "unreadable_folder": "the folder may not be listed",
    "duplicate_name": "the photo is named more than once",
    "ambiguous_name": "the name fits several photos, or several names fit the photo",
    "bad_columns": "the row has the wrong number of columns",
    "bad_number": "a number is missing, not a number or not finite",
    "mos_out_of_range": "the MOS lies outside its scale",
    "bad_votes": "the votes are negative, all zero, not whole, or do not add up",
    "mos_disagrees": "the MOS is not the mean of the votes",
    "split_conflict": "the photo is in more than one split",
}
SHOWN = 3  # problems of each kind that are told

# Perhaps the fault of the storage, or of a machine that is full or slow, not of the photo: worth another try.
PASSING = {"missing_photo", "unreadable_photo", "decoder_died", "decoder_too_slow"}


class DataError(ValueError):
    """The data set cannot be read at all; the text says which file or setting is at fault and what to do."""


class RowError(ValueError):
    """One row cannot be used: ``kind`` is a key of `KINDS`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Problem:
    """One row or photo that cannot be used as it is. ``row`` is the line (CSV) or row (xlsx) in ``file``, from 1."""

    kind: str
    message: str
    file: str | None = None
    row: int | None = None
    image_id: str | None = None
    uri: str | None = None

    def __str__(self) -> str:
        """The message, after file and row."""
        place = f"{self.file}, row {self.row}: " if self.row is not None else f"{self.file}: " if self.file else ""
        return place + self.message


def to_table(problems: Sequence[Problem]) -> pa.Table:
    """The rows of ``errors/`` (schema.ERRORS)."""
    columns = {
        "image_id": [problem.image_id for problem in problems],
        "uri": [problem.uri for problem in problems],
        "error": [problem.kind for problem in problems],
        "message": [str(problem) for problem in problems],
    }
    return pa.table(columns, schema=schema.ERRORS)


def counts(problems: Sequence[Problem]) -> str:
    """How many there are of each kind, in a few words."""
    found = Counter(problem.kind for problem in problems).most_common()
    return ", ".join(f"{count:,} {kind}" for kind, count in found)


def told(problems: Sequence[Problem]) -> list[str]:
    """Lines for a person: how many there are of each kind, what the kind means, and the first of it."""
    lines = []
    for kind, count in Counter(problem.kind for problem in problems).most_common():
        lines.append(f"  {count:7,} {kind}: {KINDS.get(kind, '')}")
        lines += [f"            {problem}" for problem in [one for one in problems if one.kind == kind][:SHOWN]]
    return lines
