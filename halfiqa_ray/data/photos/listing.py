"""The photos below a data root, listed once: what is there, what a list's name means, and nothing outside the root."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from pyarrow import fs as pafs

from halfiqa_ray import storage
from halfiqa_ray.data.photos.images import SUFFIXES
from halfiqa_ray.data.problems import DataError, RowError


@dataclass(frozen=True, slots=True)
class Photo:
    """A stored file: its size, and when it was last changed (nanoseconds since 1970)."""

    bytes: int
    modified: int


@dataclass
class PhotoIndex:
    """The photos below ``root`` by their path relative to it (`/` between folders)."""

    root: str
    photos: dict[str, Photo]
    leaving: frozenset[str] = frozenset()  # photos and folders that symbolic links lead out of the root
    dangling: frozenset[str] = frozenset()  # symbolic links to nothing
    special: frozenset[str] = frozenset()  # pipes, sockets and devices with the name of a photo
    misnamed: frozenset[str] = frozenset()  # names that are not UTF-8, with \\x.. in place of the odd bytes
    no_path: frozenset[str] = frozenset()  # keys of an object store that no path can say: with //, ./ or ../ in them
    unreadable: frozenset[str] = frozenset()  # folders that may not be listed
    other: Counter[str] = field(default_factory=Counter)  # files that are no photos, by extension
    hidden: int = 0  # files and folders whose name begins with a dot
    circles: int = 0  # links to a folder that they lie in

    def uri(self, image_id: str) -> str:
        """Where to read a photo."""
        return storage.join(self.root, image_id)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.photos:
            found[posixpath.splitext(path)[0]].append(path)
        return found

    @cached_property
    def _leaving_stems(self) -> frozenset[str]:
        return frozenset(posixpath.splitext(path)[0] for path in self.leaving)

    def find(self, folder: str, name: str) -> str:
        """The photo that a list calls ``name``, relative to ``folder``: by its exact name, else by its name without
        extension (lists say .png where the photos are .jpg). Raises RowError.
        """
        path = posixpath.join(folder, safe_name(name))
        if path in self.photos:
            return path
        stem = posixpath.splitext(path)[0]
        same_stem = self._by_stem.get(stem, [])
        # Names of a list are looked for by the million, in several folders: most roots have no such links.
        if self.leaving and self._leaves(path, stem):
            raise RowError("leaves_root", f"{name!r} is a symbolic link that leads out of {self.root}")
        if len(same_stem) > 1:
            raise RowError("ambiguous_name", f"{name!r} is not there, and several photos have its stem: {same_stem}")
        if not same_stem:
            raise RowError("missing_photo", f"{name!r} is not in {storage.join(self.root, folder)}")
        return same_stem[0]

    def _leaves(self, path: str, stem: str) -> bool:
        above = map(str, PurePosixPath(path).parents)
        return stem in self._leaving_stems or any(place in self.leaving for place in above)

    def choose_folder(self, folders: Sequence[str], names: Iterable[str]) -> tuple[str, list[str]]:
        """The folder of ``folders`` in which most of ``names`` are found (the first of equals), and all that have any.

        One folder serves the whole list, so that photos of two sizes never mix.
        """
        found: Counter[str] = Counter()
        for name in names:
            for folder in folders:
                try:
                    self.find(folder, name)
                except RowError as error:
                    if error.kind == "missing_photo":
                        continue
                found[folder] += 1
        best = max(folders, key=lambda folder: found[folder])
        return best, [folder for folder in folders if found[folder]]


def safe_name(name: str) -> str:
    """A list's name as a path below the root. Raises RowError when it is empty or leads out of it.

    Backslashes count as folder separators: lists made on Windows have them.
    """
    path = name.strip().replace("\\", "/")
    if not path or "\0" in path:
        raise RowError("missing_photo", "the row names no photo")
    if path.startswith(("/", "~")) or ".." in path.split("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):
        raise RowError("leaves_root", f"{name!r} is not a path below data.root")
    return posixpath.normpath(path)


def find_photos(root: str) -> PhotoIndex:
    """List every photo below a local folder or object-store prefix. Hidden names (`.x`) are left out.

    A file is taken for a photo by its extension (images.SUFFIXES). Raises DataError when the root cannot be listed.
    """
    root = storage.absolute(root)
    try:
        return _remote(root) if storage.is_remote(root) else _local(root)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot list the photos in data.root = {root}: {error}") from error


def _is_photo(path: str) -> bool:
    return posixpath.splitext(path)[1].lower() in SUFFIXES


def _remote(root: str) -> PhotoIndex:
    index = PhotoIndex(root, {})
    with storage.opened(root) as (store, base):
        infos = store.get_file_info(pafs.FileSelector(base, recursive=True))
    start = len(base.rstrip("/")) + 1
    for info in sorted(infos, key=lambda info: info.path):
        path = info.path[start:]
        marker = info.type == pafs.FileType.Directory and _is_photo(path) and not path.endswith("/")
        if marker or (info.type == pafs.FileType.File and not {"", ".", ".."}.isdisjoint(path.split("/"))):
            index.no_path |= {path}  # a marker: an empty object whose key is that of a photo, and a slash
            continue
        if info.type != pafs.FileType.File:
            continue
        if any(part.startswith(".") for part in path.split("/")):
            index.hidden += 1
            continue
        if _is_photo(path):
            changed = info.mtime or datetime.fromtimestamp(0, UTC)
            index.photos[path] = Photo(info.size, int(changed.timestamp() * 1e9))
        else:
            index.other[posixpath.splitext(path)[1].lower()] += 1
    return index


def _local(root: str) -> PhotoIndex:
    if not Path(root).is_dir():
        raise FileNotFoundError("there is no such folder")
    index = PhotoIndex(root, {})
    found: dict[str, set[str]] = defaultdict(set)
    for path, what in _walk(root, "", (os.path.realpath(root),)):
        name = os.fsencode(path).decode(errors="backslashreplace")  # the path itself, but for bytes that are not UTF-8
        if what in ("hidden", "circle", "unreadable", "leaving"):
            found[str(what)].add(name)
        elif not _is_photo(path):
            index.other[posixpath.splitext(name)[1].lower()] += 1
        elif name != path:
            found["misnamed"].add(name)
        elif isinstance(what, os.DirEntry):
            status = what.stat()
            index.photos[path] = Photo(status.st_size, status.st_mtime_ns)
        else:
            found[what].add(path)
    for kind in ("leaving", "dangling", "special", "misnamed", "unreadable"):
        setattr(index, kind, frozenset(found[kind]))
    index.hidden, index.circles = len(found["hidden"]), len(found["circle"])
    return index


What = Literal["hidden", "leaving", "circle", "dangling", "special", "unreadable"]


def _walk(root: str, below: str, above: tuple[str, ...]) -> Iterator[tuple[str, os.DirEntry[str] | What]]:
    """Everything below a folder, in a fixed order: files as they are, and the names of all else with what it is.

    Links to folders are followed inside the root, but never to a folder above (a circle). Raises OSError when the root
    itself cannot be listed.
    """
    try:
        with os.scandir(os.path.join(root, below)) as found:  # noqa: PTH118  # scandir spares a status call a file
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        if not below:
            raise
        yield below, "unreadable"
        return
    for entry in entries:
        path = posixpath.join(below, entry.name)
        if entry.name.startswith("."):
            yield path, "hidden"
            continue
        try:
            linked, folder, file = entry.is_symlink(), entry.is_dir(), entry.is_file()
            if not (folder or file):
                entry.stat()
        except OSError:  # a link to nothing, or to itself
            yield path, "dangling"
            continue
        real = os.path.realpath(entry.path) if linked else posixpath.join(above[-1], entry.name)
        if linked and not _inside(real, above[0]):
            yield path, "leaving" if folder or _is_photo(path) else entry
        elif folder and real in above:
            yield path, "circle"
        elif folder:
            yield from _walk(root, path, (*above, real))
        else:
            yield path, entry if file else "special"


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
