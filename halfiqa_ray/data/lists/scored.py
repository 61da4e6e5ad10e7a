"""From the rows of a score list to manifest rows: numbers checked, votes read, photos found, repeats settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import votes
from halfiqa_ray.data.lists.score_list import Line, ScoreList, number
from halfiqa_ray.data.manifest import Listing, Row, Scale
from halfiqa_ray.data.photos.listing import PhotoIndex, find_photos
from halfiqa_ray.data.problems import DataError, Problem, RowError

VOTE_ROLES = ("c1", "c2", "c3", "c4", "c5")
LEVEL_SCALE: Scale = (1.0, 5.0)
ZSCORE_SCALE: Scale = (0.0, 100.0)


@dataclass(frozen=True)
class Numbers:
    """The parsed cells of one row."""

    line: int
    name: str
    mos: float
    votes: tuple[float, ...] | None
    total: float | None
    mos_std: float | None
    zscore: float | None
    split: str | None


def read_rows(
    scores: ScoreList,
    columns: Mapping[str, int],
    photos: PhotoIndex,
    folders: Sequence[str],
    scale: Scale,
    source_note: str = "",
) -> Listing:
    """Turn a score list into manifest rows and problems.

    ``columns`` maps roles to places in a row: name, mos, and where the list has them c1..c5, total, std, zscore,
    split. Photos are looked for in the one of ``folders`` (below the root) that has most of them. ``scale`` holds
    for lists without votes. With votes the MOS is on 1 to 5: a list whose own MOS is on another scale (KonIQ-10k's
    sets file: 0 to 100) gives it as ``mos_zscore``, and ``mos`` is the mean of its votes. Raises DataError when the
    list has no usable row.
    """
    listing = Listing(
        photos.root, [], [], file=scores.file, file_sha256=scores.sha256, mos_scale=scale, source_note=source_note
    )
    parsed = _parse_all(scores, columns, listing)
    has_votes = all(role in columns for role in VOTE_ROLES)
    if has_votes:
        parsed = _settle_votes(parsed, listing)
    elif len(parsed) > 1 and scale == ZSCORE_SCALE and max(row.mos for row in parsed) <= LEVEL_SCALE[1]:
        listing.notes.append("every MOS is 5 or less though the scale is 0 to 100: is data.mos_scale [1, 5] meant?")
    folder, seen = photos.choose_folder(folders, [row.name for row in parsed])
    if len(seen) > 1:
        others = ", ".join(other or "the root" for other in seen if other != folder)
        listing.notes.append(f"photos are taken from {folder or 'the root'}; they are also in {others}")
    by_stem = 0
    found: dict[str, list[Row]] = defaultdict(list)
    for numbers in parsed:
        try:
            row = _row(numbers, photos, folder, listing.mos_scale or scale)
        except RowError as error:
            listing.problems.append(Problem(error.kind, str(error), scores.file, numbers.line))
            continue
        found[row.image_id].append(row)
        by_stem += not row.image_id.endswith(numbers.name.strip().replace("\\", "/"))
    if by_stem:
        listing.notes.append(f"{by_stem:,} photos have another extension than the list says; matched without it")
    for image_id, rows in found.items():
        listing.rows += _settle_repeats(image_id, rows, listing)
    listing.problems.sort(key=lambda problem: problem.row or 0)
    return listing


def read_split_rows(
    settings: DataSettings,
    scores: ScoreList,
    columns: Mapping[str, int],
    folders: Sequence[str],
    scale: Scale,
    source_note: str,
) -> Listing:
    """`read_rows` of the photos below ``settings.root``, with the list's split column where it has one.

    Raises DataError as `read_rows` and `split_column` do.
    """
    split = split_column(settings, scores)
    if split is not None and scores.header is not None:
        columns = {**columns, "split": scores.header.index(split)}
    listing = read_rows(scores, columns, find_photos(settings.root), folders, scale, source_note)
    listing.split_column = split
    return listing


def split_column(settings: DataSettings, scores: ScoreList) -> str | None:
    """The column that holds each photo's split: the one of the settings, else the only one called so.

    Raises DataError when the named one is not there, or when several are and one of them is needed.
    """
    header = scores.header or []
    if settings.split_column is not None:
        if settings.split_column.lower() not in header:
            raise DataError(
                f"{scores.file} has no column {settings.split_column!r} (data.split_column); it has {header}"
            )
        return settings.split_column.lower()
    found = [name for name in header if "split" in name or name == "set"]
    needed = settings.split == "column" or (settings.split == "auto" and settings.split_file is None)
    if len(found) > 1 and needed:
        raise DataError(f"{scores.file} has several split columns, {found}: set data.split_column to one of them")
    return found[0] if len(found) == 1 else None


def _parse_all(scores: ScoreList, columns: Mapping[str, int], listing: Listing) -> list[Numbers]:
    parsed = []
    for line in scores.lines:
        try:
            parsed.append(_parse(line, columns, scores.columns))
        except RowError as error:
            name = "".join(line.cells[columns["name"] : columns["name"] + 1]).strip()
            listing.problems.append(Problem(error.kind, f"{name}: {error}", scores.file, line.number))
    if not parsed:
        first = f"; the first problem: {listing.problems[0]}" if listing.problems else ""
        raise DataError(f"{scores.file} has no usable row{first}")
    return parsed


def _parse(line: Line, columns: Mapping[str, int], width: int) -> Numbers:
    cells = line.cells
    if len(cells) != width:
        raise RowError("bad_columns", f"{len(cells)} cells, expected {width}: {','.join(cells)[:100]!r}")

    def optional(role: str, what: str) -> float | None:
        place = columns.get(role)
        return None if place is None or not cells[place].strip() else number(cells[place], what)

    voted = None
    if all(role in columns for role in VOTE_ROLES):
        voted = tuple(number(cells[columns[role]], f"vote {role}") for role in VOTE_ROLES)
    deviation = optional("std", "the MOS deviation")
    if deviation is not None and deviation < 0:
        raise RowError("bad_number", f"the MOS deviation is {deviation:g}, negative")
    return Numbers(
        line.number,
        cells[columns["name"]],
        number(cells[columns["mos"]], "the MOS"),
        voted,
        optional("total", "the number of votes"),
        deviation,
        optional("zscore", "the z-score MOS"),
        cells[columns["split"]].strip() or None if "split" in columns else None,
    )


def _settle_votes(parsed: list[Numbers], listing: Listing) -> list[Numbers]:
    """Votes as fractions, MOS on 1 to 5, by what the whole list shows; rows that disagree become problems."""
    counts = votes.are_counts([row.votes for row in parsed if row.votes])
    zscores = median(row.mos for row in parsed) > LEVEL_SCALE[1]
    listing.mos_scale = LEVEL_SCALE
    listing.notes.append(
        f"votes are {'counts' if counts else 'fractions'}; "
        + (
            "the list's MOS is on 0-100 and kept as mos_zscore, mos is the mean of the votes"
            if zscores
            else "MOS is on 1-5"
        )
    )
    settled = []
    for row in parsed:
        try:
            fractions = votes.shares(row.votes or (), counts, row.total)
            mean = votes.mean_level(fractions)
            if zscores:
                _check_range(row.mos, ZSCORE_SCALE)
                settled.append(replace(row, votes=fractions, mos=mean, zscore=row.mos))
                continue
            _check_range(row.mos, LEVEL_SCALE)
            if abs(row.mos - mean) > votes.MOS_TOLERANCE:
                raise RowError("mos_disagrees", f"the MOS is {row.mos:g}, but the mean of the votes is {mean:.4f}")
            settled.append(replace(row, votes=fractions))
        except RowError as error:
            listing.problems.append(Problem(error.kind, f"{row.name}: {error}", listing.file, row.line))
    return settled


def _check_range(mos: float, scale: Scale) -> None:
    if not scale[0] <= mos <= scale[1]:
        raise RowError("mos_out_of_range", f"MOS {mos:g} is not within {scale[0]:g} to {scale[1]:g}")


def _row(numbers: Numbers, photos: PhotoIndex, folder: str, scale: Scale) -> Row:
    try:
        _check_range(numbers.mos, scale)
    except RowError as error:
        raise RowError(error.kind, f"{numbers.name}: {error}") from None
    image_id = photos.find(folder, numbers.name)
    photo = photos.photos[image_id]
    if photo.bytes == 0:
        raise RowError("empty_photo", f"{photos.uri(image_id)} holds no bytes")
    return Row(
        image_id,
        photos.uri(image_id),
        photo.bytes,
        photo.modified,
        line=numbers.line,
        mos=numbers.mos,
        levels=numbers.votes,
        mos_std=numbers.mos_std,
        mos_zscore=numbers.zscore,
        split=numbers.split,
    )


def _settle_repeats(image_id: str, rows: list[Row], listing: Listing) -> list[Row]:
    """Equal repeats count once; where they differ nobody can say which is right, and all are left out."""
    if len(rows) == 1:
        return rows
    lines = ", ".join(str(row.line) for row in rows)
    agree = all(replace(row, line=None) == replace(rows[0], line=None) for row in rows)
    verdict = "with the same values: the first is kept" if agree else "with different values: none is kept"
    for row in rows[1:] if agree else rows:
        message = f"{image_id} is named in rows {lines}, {verdict}"
        listing.problems.append(Problem("duplicate_name", message, listing.file, row.line, image_id, row.uri))
    return rows[:1] if agree else []
