"""Which photo was likely meant by a name that fits none: for a message, never for a match."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import cached_property

from halfiqa_ray.data.photos import names
from halfiqa_ray.data.photos.decoding import OTHER_PICTURES

SHOWN = 3


class Likely:
    """Looks for likely photos among ``photos`` (paths); what it needs for that is made when it is first needed."""

    def __init__(self, photos: Collection[str]) -> None:
        self.photos = photos
        self._rounded: dict[int, dict[Hashable, list[str]]] = {}

    def hint(self, path: str) -> str:
        """What to add to the words "there is no such photo"; empty where nothing is likely."""
        base = posixpath.basename(path)
        if (short := names.shortened(path)) is not None:
            text, digits = short
            return _rewritten(self._by_digits(digits).get(text, ()), "shortens long numbers")
        if (number := names.as_number(path)) is not None and (found := self._by_number.get(number)):
            return _rewritten(found, "drops leading zeros")
        if base.startswith("="):
            return ": it is a formula; save the list with its results"
        if names.DATE.fullmatch(base):
            return ": a spreadsheet makes dates of some names; format their column as text and fill it in anew"
        bare, suffix = posixpath.splitext(path)
        if suffix.lower() in OTHER_PICTURES and len(made := self._by_letters.get(_letters(bare), [])) == 1:
            return f": is {made[0]} made from it? Write that name into the list"
        for group in (self._by_letters, self._by_base):
            alike = group.get(_letters(path) if group is self._by_letters else _base(path), [])
            if len(alike) == 1:
                return f": is {alike[0]} meant?"
        return ""

    @cached_property
    def _by_number(self) -> dict[Hashable, list[str]]:
        return self._grouped(lambda path: names.as_number(names.stem(path)))

    @cached_property
    def _by_letters(self) -> dict[Hashable, list[str]]:
        return self._grouped(_letters)

    @cached_property
    def _by_base(self) -> dict[Hashable, list[str]]:
        return self._grouped(_base)

    def _by_digits(self, digits: int) -> dict[Hashable, list[str]]:
        if digits not in self._rounded:
            grouped: dict[Hashable, list[str]] = defaultdict(list)
            for number, paths in self._by_number.items():
                if isinstance(number, int):
                    grouped[names.rounded(number, digits)] += paths
            self._rounded[digits] = grouped
        return self._rounded[digits]

    def _grouped(self, key: Callable[[str], Hashable]) -> dict[Hashable, list[str]]:
        grouped: dict[Hashable, list[str]] = defaultdict(list)
        for path in self.photos:
            grouped[key(path)].append(path)
        grouped.pop(None, None)
        return grouped


def _letters(path: str) -> str:
    return names.one_form(names.stem(path)).casefold()


def _base(path: str) -> str:
    return posixpath.basename(_letters(path))


def _rewritten(found: Sequence[str], how: str) -> str:
    meant = f", likely of {' or '.join(sorted(found)[:SHOWN])}" if found else ""
    return f": a spreadsheet that {how} made it{meant}; format their column as text and fill it in anew"
