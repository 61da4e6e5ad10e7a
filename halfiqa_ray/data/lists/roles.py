"""Which column of a list is the name and which the MOS: where several could be, none is, until a setting says which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists.cells import NAME_COLUMNS, key
from halfiqa_ray.data.lists.numbers import NumberStyle, looks_like_number
from halfiqa_ray.data.lists.score_list import ScoreList
from halfiqa_ray.data.problems import DataError, RowError

# Columns of scores by their whole name; by a part of it `mos` and `dmos`, unless another part says what of the MOS.
SCORES = frozenset(
    "score scores rating ratings mean average avg quality zscore meanscore meanrating qualityscore subjectivescore "  # noqa: SIM905
    "meanopinionscore opinionscore averagescore averagerating meanvalue label gt target".split()
)
OF_THE_MOS = frozenset(
    "std sd stdev stddev deviation var variance ci ci95 se sem n num number count counts raters votes lower upper low "  # noqa: SIM905
    "high min max median confidence error split set".split()
)


def name_place(scores: ScoreList, name_column: str | None = None) -> int | None:
    """The column of the photos' names; None when the header has none. Raises DataError when several could be it."""
    if name_column is not None:
        return scores.named(name_column, "data.name_column")
    keys = set(map(key, NAME_COLUMNS))
    places = [place for place, found in enumerate(scores.keys) if found in keys]
    if len(places) > 1 and not _same(scores, places):
        raise DataError(
            f"{scores.file} has several columns that could name the photos: {scores.shown(places)}; set "
            "data.name_column to one of them"
        )
    return places[0] if places else None


def mos_place(settings: DataSettings, scores: ScoreList, has_votes: bool = False) -> int:
    """The column of the MOS, by `data.mos_column` or by its name. Raises DataError that names all that could be it.

    Where there are votes for the five levels they tell whether a column called MOS is one, so that other scores beside
    it are no rivals.
    """
    if settings.mos_column is not None:
        return scores.named(settings.mos_column, "data.mos_column")
    called = [place for place, found in enumerate(scores.keys) if found == "mos"]
    rivals = [place for place in range(len(scores.keys)) if place in called or _is_score(scores, place)]
    if not called:
        of_numbers = [place for place, name in enumerate(scores.keys) if name and _is_of_numbers(scores, place)]
        hint = f"; if it is one of these, name it in data.mos_column: {scores.shown(of_numbers)}" if of_numbers else ""
        raise DataError(f"{scores.file} has no column MOS; it has {scores.described()}{hint}")
    candidates = called if has_votes else rivals
    if len(candidates) > 1 and not _same(scores, candidates):
        ranges = ", ".join(f"{scores.shown([place])}{_range(scores, place)}" for place in candidates)
        raise DataError(
            f"{scores.file} has several columns that could be the MOS: {ranges}; set data.mos_column to one of them"
        )
    return called[0]


def columns(settings: DataSettings, scores: ScoreList, more: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The places of name and MOS, and of the roles in ``more``, where the list has them under one of their names.

    Raises DataError when a name or the MOS is missing or not clear.
    """
    places = {role: scores.column(*names) for role, names in more.items()}
    found = {role: place for role, place in places.items() if place is not None}
    name = name_place(scores, settings.name_column)
    if name is None:
        raise DataError(f"{scores.file} has no column of names; it has {scores.described()}")
    found |= {"name": name, "mos": mos_place(settings, scores, has_votes=all(f"c{n}" in found for n in range(1, 6)))}
    if found.get("zscore") == found["mos"]:
        del found["zscore"]
    return found


def are_named(settings: DataSettings) -> bool:
    """Whether the settings name columns, for which a list needs a header."""
    return settings.name_column is not None or settings.mos_column is not None


def unnamed_beside(scores: ScoreList, place: int) -> list[int]:
    """The columns without a name directly right of ``place``: with numbers there, one name is of several columns."""
    found = []
    for beside in range(place + 1, len(scores.keys)):
        if scores.keys[beside]:
            break
        found.append(beside)
    return found


def _is_score(scores: ScoreList, place: int) -> bool:
    written = (scores.written or ())[place]
    parts = set(re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", written.strip())) - {""}
    parts = {part.lower() for part in parts}
    if parts & OF_THE_MOS:
        return False
    named = scores.keys[place] in SCORES or any(re.fullmatch(r"z?d?mos\d*", part) for part in parts)
    return named and _is_of_numbers(scores, place)


def _column(scores: ScoreList, place: int) -> list[str]:
    return [line.cells[place].strip() for line in scores.lines if place < len(line.cells)]


def _is_of_numbers(scores: ScoreList, place: int) -> bool:
    cells = [cell for cell in _column(scores, place) if cell]
    return 2 * sum(map(looks_like_number, cells)) > len(cells)


def _same(scores: ScoreList, places: Sequence[int]) -> bool:
    first = _column(scores, places[0])
    return all(_column(scores, place) == first for place in places[1:])


def _range(scores: ScoreList, place: int) -> str:
    cells = _column(scores, place)
    style = NumberStyle.of(cells)
    values = []
    for cell in cells:
        try:
            values.append(style.read(cell, ""))
        except RowError:
            continue
    return f" {min(values):g} to {max(values):g}" if values else ""
