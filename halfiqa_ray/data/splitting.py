"""Where the splits of a data set come from, chosen before any photo is opened, and given to its rows after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data import splits
from halfiqa_ray.data.lists import name_list, score_list
from halfiqa_ray.data.lists.name_list import NameList
from halfiqa_ray.data.manifest import Listing, Row, Scale
from halfiqa_ray.data.problems import DataError, Problem


@dataclass(frozen=True)
class Splitting:
    """Where splits come from: ``source`` is file, column, own, or None where there are none."""

    source: str | None
    published: NameList | None  # the file of the source file
    column: str | None  # of the score list
    cut: float  # share of the training photos that becomes validation photos, of a published split that has none

    @classmethod
    def of(cls, data: DataSettings, listing: Listing, beside: NameList | None) -> Splitting:
        """The splitting that settings ask for; ``beside`` is the split file that lies beside the photos.

        Raises DataError when what is asked for is not there.
        """
        published = _published(data, beside)
        source = _source(data, listing, published)
        return cls(source, published, listing.split_column, _cut(data, listing, published, source))

    @property
    def drawn(self) -> bool:
        """Whether photos are drawn with the seed, alike in MOS and spatial information."""
        return self.source == "own" or self.cut > 0

    @property
    def described(self) -> str:
        """The source, for a person."""
        return {"file": "a published file", "column": f"column {self.column!r}", "own": "our own recipe"}[
            self.source or "own"
        ]

    def assign(self, rows: Sequence[Row], scale: Scale | None, seed: int) -> tuple[list[Problem], list[str]]:
        """Set ``split`` of every row; returns what is wrong with a published file, and what it leaves open."""
        found: list[Problem] = []
        notes: list[str] = []
        if self.published is not None:
            of_file = splits.from_file([row.image_id for row in rows], self.published)
            found, file = of_file.problems, self.published.file
            for row in rows:
                row.split = of_file.splits[row.image_id]
            if of_file.unlisted:
                notes.append(f"{of_file.unlisted:,} photos are not in {file}: they get no split")
            if of_file.unused:
                notes.append(f"{of_file.unused:,} names in {file} are none of these photos")
        elif self.source == "own":
            _give(rows, splits.own(rows, scale, seed))
        else:
            for row in rows:
                row.split = splits.normalise(row.split) if self.source == "column" else None
        if self.cut:
            train = [row for row in rows if row.split == splits.TRAIN]
            _give(train, splits.with_validation(train, scale, seed, self.cut))
        return found, notes


def _give(rows: Sequence[Row], chosen: dict[str, str]) -> None:
    for row in rows:
        row.split = chosen[row.image_id]


def _published(data: DataSettings, beside: NameList | None) -> NameList | None:
    uri = data.split_file
    if uri is None or data.split not in ("auto", "file"):
        return beside if data.split in ("auto", "file") else None
    published = name_list.read(score_list.read(uri), "split", "set")
    if published is None:
        raise DataError(f"{uri} (data.split_file) has no column split: its header must be image_name,split")
    return published


def _source(data: DataSettings, listing: Listing, published: NameList | None) -> str | None:
    """`auto` takes the first there is: a split file (or the split column of source_photos.csv), the score list's
    column, our own when there are scores to make it alike in.
    """
    there = {"file": published is not None, "column": listing.split_column is not None, "own": True, "none": True}
    wanted = data.split
    if wanted == "auto":
        if there["file"] or there["column"]:
            return "file" if there["file"] else "column"
        return "own" if listing.mos_scale is not None else None
    if not there[wanted]:
        hint = "set data.split_file" if wanted == "file" else f"{listing.file or 'this layout'} has no split column"
        raise DataError(f"data.split is {wanted}, but there is none: {hint}")
    return None if wanted == "none" else wanted


def _cut(data: DataSettings, listing: Listing, published: NameList | None, source: str | None) -> float:
    """The share to cut: that of the settings, or the reader's own; 0 where there are validation photos."""
    share = listing.validation_share if data.validation_share is None else data.validation_share
    if published is not None:
        names = {splits.normalise(value) for value in published.values.values()}
    elif source == "column":
        names = {splits.normalise(row.split) for row in listing.rows}
    else:
        return 0.0
    return share if splits.TRAIN in names and splits.VALIDATION not in names else 0.0
