"""Lists that say something of named photos (splits, source photos), and which photo a name means."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from halfiqa_ray.data.lists import roles, score_list
from halfiqa_ray.data.photos import names as photo_names
from halfiqa_ray.data.problems import DataError, Problem, RowError


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
    names, place = roles.name_place(scores), scores.column(*columns)
    if names is None:
        raise DataError(f"{scores.file} has no header with image_name; it has {scores.described()}")
    if place is None:
        return None
    found = NameList(scores.file, scores.sha256, {}, {}, [])
    for line in scores.lines:
        try:
            cells = scores.cells(line)
        except RowError as error:
            found.problems.append(Problem(error.kind, str(error), scores.file, line.number))
            continue
        name = cells[names].strip().replace("\\", "/")
        value = cells[place].strip() or None
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

    As `PhotoIndex.find` reads names: Unicode's two forms are one, and only a picture's extension is cut off. What
    matched at one step is out of the next, so that `a.jpg` in the root does not also mean `sub/a.jpg`.
    """
    free_names, free_ids = set(names), list(dict.fromkeys(image_ids))
    matched: dict[str, str] = {}
    ambiguous: dict[str, str] = {}
    form, stem, base = photo_names.one_form, photo_names.stem, posixpath.basename
    steps: list[tuple[Callable[[str], str], Callable[[str], set[str]]]] = [
        (str, lambda name: {name}),
        (form, lambda name: {form(name)}),
        (lambda image: form(base(image)), lambda name: {form(name)}),
        (lambda image: form(stem(image)), photo_names.stems),
        (lambda image: form(stem(base(image))), photo_names.stems),
    ]
    for of_image, of_name in steps:
        by_key: dict[str, list[str]] = defaultdict(list)
        for image_id in free_ids:
            by_key[of_image(image_id)].append(image_id)
        meant: dict[str, set[str]] = {}  # by name
        meaning: dict[str, list[str]] = defaultdict(list)  # by photo
        for name in sorted(free_names):
            if images := {image for found in of_name(name) for image in by_key.get(found, ())}:
                meant[name] = images
                for image in images:
                    meaning[image].append(name)
        for image, fitting in meaning.items():
            images = set().union(*(meant[name] for name in fitting))
            if len(fitting) == len(images) == 1:
                matched[image] = fitting[0]
            else:
                reason = f"{', '.join(map(repr, fitting))} and the photos {', '.join(sorted(images))}"
                ambiguous[image] = f"{reason} cannot be told apart"
        free_names.difference_update(meant)
        free_ids = [image_id for image_id in free_ids if image_id not in matched and image_id not in ambiguous]
    return Matches(matched, ambiguous, len(free_names))
