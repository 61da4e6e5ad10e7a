"""From the rows of a score list to manifest rows: numbers checked, votes read, photos found, repeats settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import StatisticsError, correlation

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import roles, votes
from halfiqa_ray.data.lists.cells import key
from halfiqa_ray.data.lists.numbers import NumberStyle, looks_like_number
from halfiqa_ray.data.lists.score_list import ScoreList
from halfiqa_ray.data.manifest import Listing, Row, Scale
from halfiqa_ray.data.photos.listing import PhotoIndex, find_photos
from halfiqa_ray.data.photos.names import one_form
from halfiqa_ray.data.problems import DataError, Problem, RowError

VOTE_ROLES = ("c1", "c2", "c3", "c4", "c5")
NUMBER_ROLES = ("mos", *VOTE_ROLES, "total", "std", "zscore")
LEVEL_SCALE: Scale = (1.0, 5.0)
ZSCORE_SCALE: Scale = (0.0, 100.0)
FEW, RISING = 10, 0.8  # rows for a correlation to say anything, and the lowest of two scales of one MOS


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
    listing.notes += [*scores.notes, *([] if photos.photos else photos.left_out())]
    parsed = _parse_all(scores, columns, listing)
    has_votes = all(role in columns for role in VOTE_ROLES)
    if has_votes:
        parsed = _settle_votes(parsed, listing)
    elif len(parsed) > 1 and scale == ZSCORE_SCALE and (highest := max(row.mos for row in parsed)) <= 10:
        bound, meant = next((top, low) for top, low in ((1, 0), (5, 1), (10, 0)) if highest <= top)
        listing.notes.append(
            f"every MOS is {bound} or less though the scale is 0 to 100: is data.mos_scale [{meant}, {bound}] meant?"
        )
    folder, seen = photos.choose_folder(folders, [row.name for row in parsed])
    if len(seen) > 1:
        others = ", ".join(other or "the root" for other in seen if other != folder)
        listing.notes.append(f"photos are taken from {folder or 'the root'}; they are also in {others}")
    by_stem = by_form = 0
    found: dict[str, list[Row]] = defaultdict(list)
    for numbers in parsed:
        try:
            row = _row(numbers, photos, folder, listing.mos_scale or scale)
        except RowError as error:
            listing.problems.append(Problem(error.kind, str(error), scores.file, numbers.line))
            continue
        found[row.image_id].append(row)
        listed = numbers.name.strip().replace("\\", "/")
        same_form = one_form(row.image_id).endswith(one_form(listed))
        by_stem += not same_form
        by_form += same_form and not row.image_id.endswith(listed)
    if by_stem:
        listing.notes.append(f"{by_stem:,} photos have another extension than the list says; matched without it")
    if by_form:
        listing.notes.append(f"{by_form:,} names are written in another Unicode form than the photos'; matched as one")
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
    split = split_place(settings, scores)
    if split is not None:
        columns = {**columns, "split": split}
    listing = read_rows(scores, columns, find_photos(settings.root), folders, scale, source_note)
    listing.split_column = None if split is None or scores.written is None else scores.written[split].strip()
    return listing


def split_place(settings: DataSettings, scores: ScoreList) -> int | None:
    """The column that holds each photo's split: the one of the settings, else the only one called so.

    Raises DataError when the named one is not there, or when several are and one of them is needed.
    """
    if settings.split_column is not None:
        return scores.named(settings.split_column, "data.split_column")
    found = [place for place, name in enumerate(scores.keys) if "split" in name or name == key("set")]
    needed = settings.split == "column" or (settings.split == "auto" and settings.split_file is None)
    if len(found) > 1 and needed:
        raise DataError(
            f"{scores.file} has several split columns, {scores.shown(found)}: set data.split_column to one of them"
        )
    return found[0] if len(found) == 1 else None


def _parse_all(scores: ScoreList, columns: Mapping[str, int], listing: Listing) -> list[Numbers]:
    numbers = [columns[role] for role in NUMBER_ROLES if role in columns]
    style = NumberStyle.of(line.cells[place] for line in scores.lines for place in numbers if place < len(line.cells))
    nameless = roles.unnamed_beside(scores, columns["mos"])
    parsed = []
    for line in scores.lines:
        try:
            parsed.append(_parse(scores.cells(line), line.number, columns, style, nameless))
        except RowError as error:
            if scores.is_second_header(line):
                raise DataError(
                    f"{scores.file}, row {line.number} is another header, {line.cells[:8]}, than the list's: it has "
                    f"{scores.described()}. Write the two lists into two files"
                ) from None
            name = "".join(line.cells[columns["name"] : columns["name"] + 1]).strip()
            listing.problems.append(Problem(error.kind, f"{name}: {error}", scores.file, line.number))
    if not parsed:
        problem = listing.problems[0] if listing.problems else None
        first = f"; the first problem: row {problem.row}: {problem.message}" if problem else ""
        raise DataError(f"{scores.file} has no usable row{first}")
    return parsed


def _parse(
    cells: Sequence[str], line: int, columns: Mapping[str, int], style: NumberStyle, nameless: Sequence[int]
) -> Numbers:
    def optional(role: str, what: str) -> float | None:
        place = columns.get(role)
        return None if place is None or not cells[place].strip() else style.read(cells[place], what)

    if odd := [cells[place] for place in nameless if looks_like_number(cells[place])]:
        raise RowError(
            "bad_columns",
            f"right of the MOS {cells[columns['mos']]!r} stand {odd}, in columns without a name: which is the MOS? "
            "Name every column",
        )
    voted = None
    if all(role in columns for role in VOTE_ROLES):
        voted = tuple(style.read(cells[columns[role]], f"vote {role}") for role in VOTE_ROLES)
    deviation = optional("std", "the MOS deviation")
    if deviation is not None and deviation < 0:
        raise RowError("bad_number", f"the MOS deviation is {deviation:g}, negative")
    return Numbers(
        line,
        cells[columns["name"]],
        style.read(cells[columns["mos"]], "the MOS"),
        voted,
        optional("total", "the number of votes"),
        deviation,
        optional("zscore", "the z-score MOS"),
        cells[columns["split"]].strip() or None if "split" in columns else None,
    )


def _settle_votes(parsed: list[Numbers], listing: Listing) -> list[Numbers]:
    """Votes as fractions, MOS on 1 to 5, by what the whole list shows; rows that disagree become problems.

    The votes decide the scale of the list's own MOS: it is that of the levels where most rows have the mean of their
    votes. Where none has, and some MOS are above 5, it is another scale, and has to rise with the votes.
    """
    counts = votes.are_counts([row.votes for row in parsed if row.votes])
    valid: list[tuple[Numbers, tuple[float, ...], float]] = []
    for row in parsed:
        try:
            fractions = votes.shares(row.votes or (), counts, row.total)
            valid.append((row, fractions, votes.mean_level(fractions)))
        except RowError as error:
            listing.problems.append(Problem(error.kind, f"{row.name}: {error}", listing.file, row.line))
    agreeing = sum(abs(row.mos - mean) <= votes.MOS_TOLERANCE for row, _, mean in valid)
    zscores = 2 * agreeing < len(valid) and 2 * sum(row.mos > LEVEL_SCALE[1] for row, _, _ in valid) > len(valid)
    listing.mos_scale = LEVEL_SCALE
    listing.notes.append(
        f"votes are {'counts' if counts else 'fractions'}; "
        + (
            "the list's MOS is on 0-100 and kept as mos_zscore, mos is the mean of the votes"
            if zscores
            else "MOS is on 1-5"
        )
    )
    if zscores:
        _check_rising([(row.mos, mean) for row, _, mean in valid], listing)
    settled = []
    for row, fractions, mean in valid:
        try:
            settled.append(_settle(row, fractions, mean, zscores))
        except RowError as error:
            listing.problems.append(Problem(error.kind, f"{row.name}: {error}", listing.file, row.line))
    return settled


def _settle(row: Numbers, fractions: tuple[float, ...], mean: float, zscores: bool) -> Numbers:
    agrees = abs(row.mos - mean) <= votes.MOS_TOLERANCE
    if zscores:
        _check_range(row.mos, ZSCORE_SCALE)
        if agrees:
            raise RowError("mos_disagrees", f"the MOS {row.mos:g} is on 1 to 5, and that of the other rows on 0 to 100")
        return replace(row, votes=fractions, mos=mean, zscore=row.mos)
    _check_range(row.mos, LEVEL_SCALE)
    if not agrees:
        raise RowError("mos_disagrees", f"the MOS is {row.mos:g}, but the mean of the votes is {mean:.4f}")
    return replace(row, votes=fractions)


def _check_rising(pairs: Sequence[tuple[float, float]], listing: Listing) -> None:
    """Raise DataError when MOS and means of votes are no two scales of one thing: votes from 5 to 1, for one."""
    if len(pairs) < FEW:
        return
    try:
        found = correlation(*zip(*pairs, strict=True))
    except StatisticsError:  # all alike
        return
    if found < RISING:
        raise DataError(
            f"{listing.file}: its MOS and the means of its votes correlate with {found:.2f} only: are c1 to c5 the "
            "votes for bad to excellent, and is the MOS of the same photos?"
        )


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
