"""Lists that say something of named photos (splits, source photos), and which photo a name means."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from halfiqa_ray.data.lists import score_list
from halfiqa_ray.data.problems import DataError, Problem


@dataclass(frozen=True)
class NameList:
    """One column of a CSV: ``values`` by name (None where the cell is empty), ``lines`` of the names."""

    file: str
    sha256: str
    values: dict[str, str | None]
    lines: dict[str, int]
    problems: list[Problem]


@dataclass(frozen=True)
class Matches:
    """``names`` by image_id; ``ambiguous``: why an image could not be matched; ``unused``: names of no image."""

    names: dict[str, str]
    ambiguous: dict[str, str]
    unused: int


def read(scores: score_list.ScoreList, *columns: str) -> NameList | None:
    """The first of ``columns`` (lower case) that the list has; None when it has none of them.

    A name with two different values has none, and is a problem. Raises DataError without a column of names.
    """
    names, place = scores.column(*score_list.NAME_COLUMNS), scores.column(*columns)
    if names is None:
        raise DataError(f"{scores.file} has no header with image_name; it begins {scores.lines[0].cells[:4]}")
    if place is None:
        return None
    found = NameList(scores.file, scores.sha256, {}, {}, [])
    for line in scores.lines:
        if len(line.cells) != scores.columns:
            message = f"{len(line.cells)} cells, expected {scores.columns}"
            found.problems.append(Problem("bad_columns", message, scores.file, line.number))
            continue
        name = line.cells[names].strip().replace("\\", "/")
        value = line.cells[place].strip() or None
        if name in found.values and found.values[name] != value:
            message = (
                f"{name!r} is {value!r} here and {found.values[name]!r} in row {found.lines[name]}: it gets neither"
            )
            found.problems.append(Problem("split_conflict", message, scores.file, line.number))
            value = None
        found.values[name] = value
        found.lines.setdefault(name, line.number)
    return found


def match(image_ids: Sequence[str], names: Iterable[str]) -> Matches:
    """Which name means which photo: the full image_id first, then the name without folders, then without extension.

    What matched at one step is out of the next, so that `a.jpg` in the root does not also mean `sub/a.jpg`.
    """
    free_names, free_ids = set(names), list(dict.fromkeys(image_ids))
    matched: dict[str, str] = {}
    ambiguous: dict[str, str] = {}
    steps: list[Callable[[str], str]] = [str, posixpath.basename, _stem, lambda path: _stem(posixpath.basename(path))]
    for step, of_image in enumerate(steps):
        by_name, by_image = defaultdict(list), defaultdict(list)
        for name in free_names:
            by_name[_stem(name) if step >= 2 else name].append(name)
        for image_id in free_ids:
            by_image[of_image(image_id)].append(image_id)
        for key, images in by_image.items():
            fitting = sorted(by_name.get(key, ()))
            if not fitting:
                continue
            if len(fitting) == len(images) == 1:
                matched[images[0]] = fitting[0]
            else:
                reason = f"{', '.join(map(repr, fitting))} and the photos {', '.join(images)} cannot be told apart"
                ambiguous.update(dict.fromkeys(images, reason))
            free_names.difference_update(fitting)
        free_ids = [image_id for image_id in free_ids if image_id not in matched and image_id not in ambiguous]
    return Matches(matched, ambiguous, len(free_names))


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]
