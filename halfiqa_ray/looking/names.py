"""What a command line calls photos: files, folders, patterns, URLs, and names on standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from halfiqa_ray.data.photos.listing import find_photos
from halfiqa_ray.data.problems import DataError


class NoPhotos(ValueError):
    """A word of the command line that stands for no photo."""


def photo_names(words: Iterable[str], lines: Iterable[str]) -> Iterator[str | NoPhotos]:
    """The photos that the words stand for, each once, in their order; in the place of a word without any, why.

    ``-`` stands for ``lines``, a photo each. A folder stands for the photos below it, by their extension; a pattern
    (``*``, ``?``, ``[]``, ``**``) for what it matches, folders too. A file is a photo whatever it is called.
    """
    seen: set[str] = set()
    for word in words:
        for name in (line.rstrip("\r\n") for line in lines) if word == "-" else (word,):
            for photo in _photos(name) if name else ():
                if isinstance(photo, NoPhotos) or photo not in seen:
                    yield photo
                if isinstance(photo, str):
                    seen.add(photo)


def _photos(name: str) -> Iterator[str | NoPhotos]:
    if "://" in name:
        yield name
    elif Path(name).is_dir():
        yield from _below(name)
    elif Path(name).exists() or not glob.has_magic(name):
        yield name  # a file that is not there is said so where it is read
    else:
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
        for match in found:
            if Path(match).is_dir():
                yield from () if "**" in name else _below(match)  # with ** the files below are matches themselves
            else:
                yield match
        if not found:
            yield NoPhotos(f"{name}: no file has such a name")


def _below(folder: str) -> Iterator[str | NoPhotos]:
    try:
        index = find_photos(folder)
    except DataError as error:
        yield NoPhotos(str(error))
        return
    for path in index.photos:
        yield str(Path(folder) / path)
    if not index.photos:
        yield NoPhotos(f"{folder}: there is no photo in this folder")
