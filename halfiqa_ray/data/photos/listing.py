"""The photos below a data root, listed once: what is there, what a list's name means, and nothing outside the root."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from pyarrow import fs as pafs

from halfiqa_ray import storage
from halfiqa_ray.data.photos import left_out, names
from halfiqa_ray.data.photos.decoding import HEIF_ADVICE, HEIF_SUFFIXES, OTHER_PICTURES
from halfiqa_ray.data.photos.likely import Likely
from halfiqa_ray.data.photos.names import is_photo
from halfiqa_ray.data.problems import DataError, RowError

TO_NOTHING = "a symbolic link to nothing (of git-annex or DVC: run `git annex get` or `dvc pull` first)"


@dataclass(frozen=True, slots=True)
class Photo:
    """A stored file: its size, and when it was last changed (nanoseconds since 1970, in 64 bits: see `in_64_bits`)."""

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
    targets: frozenset[str] = frozenset()  # folders of what the links in ``leaving`` lead to
    system: Counter[str] = field(default_factory=Counter)  # folders that systems make, by name: not looked into
    written: Counter[str] = field(default_factory=Counter)  # folders that jobs write, by name: not looked into
    hidden: int = 0  # files and folders whose name begins with a dot
    circles: int = 0  # links to a folder that they lie in

    def uri(self, image_id: str) -> str:
        """Where to read a photo."""
        return storage.join(self.root, image_id)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped(self.photos, lambda path: names.one_form(names.stem(path)))

    @cached_property
    def _by_form(self) -> dict[str, list[str]]:
        return _grouped((path for path in self.photos if not path.isascii()), names.one_form)

    @cached_property
    def _by_number(self) -> dict[tuple[str, int], list[str]]:
        found = defaultdict(list)
        for path in self.photos:
            if (number := names.as_number(names.stem(path))) is not None:
                found[posixpath.dirname(path), number].append(path)
        return found

    @cached_property
    def _leaving_stems(self) -> frozenset[str]:
        return frozenset(names.one_form(names.stem(path)) for path in self.leaving)

    @cached_property
    def _likely(self) -> Likely:
        return Likely(self.photos)

    def find(self, folder: str, name: str) -> str:
        """The photo that a list calls ``name``, relative to ``folder``. Raises RowError where it is not clear.

        By its exact name; else by the same name in Unicode's other form; else without a picture's extension (lists say
        .png where the photos are .jpg, or nothing). Nothing else is ever cut off or made up, and where a name fits
        several photos it fits none.
        """
        path = posixpath.join(folder, safe_name(name))
        try:
            return self._find(path, folder, name)
        except RowError as error:
            if error.kind != "missing_photo":
                raise
            raise RowError(error.kind, f"{error}{self._likely.hint(path)}") from None

    def _find(self, path: str, folder: str, name: str) -> str:
        if path in self.photos:
            return path
        if len(same := self._same_form(path)) == 1:
            return same[0]
        # Names of a list are looked for by the million, in several folders: most roots have no such links.
        if self.leaving and self._leaves(path):
            raise RowError("leaves_root", f"{name!r} is a symbolic link that leads out of {self.root}: {self.advice}")
        fitting = same or sorted({found for stem in names.stems(path) for found in self._by_stem.get(stem, ())})
        if not fitting and path in self.dangling:
            raise RowError("missing_photo", f"{name!r} is {TO_NOTHING}")
        if not fitting:
            raise RowError("missing_photo", f"{name!r} is not in {storage.join(self.root, folder)}")
        if (number := names.as_number(path)) is not None:  # a spreadsheet makes 1 of 00001
            fitting = sorted({*fitting, *self._by_number.get((posixpath.dirname(path), number), ())})
        if len(fitting) > 1:
            raise RowError("ambiguous_name", f"{name!r} is not there, and may mean any of several photos: {fitting}")
        return fitting[0]

    def _same_form(self, path: str) -> list[str]:
        return [] if path.isascii() else self._by_form.get(names.one_form(path), [])

    def _leaves(self, path: str) -> bool:
        above = map(str, PurePosixPath(path).parents)
        return bool(names.stems(path) & self._leaving_stems) or any(place in self.leaving for place in above)

    @property
    def advice(self) -> str:
        """What to do about links that lead out of the root."""
        copied = f"copy the photos with what the links lead to (cp -rL {self.root} COPY) and set data.root to the copy"
        above = os.path.commonpath([os.path.realpath(self.root), *self.targets]) if self.targets else "/"
        if len(PurePosixPath(above).parts) < 3:  # all of a disk is no folder of photos
            return copied
        return f"set data.root to {above}, which holds the links and what they lead to, or {copied}"

    def left_out(self) -> list[str]:
        """Sentences that say what else lies below the root, and was left out."""
        notes = []
        pictures = Counter({suffix: count for suffix, count in self.other.items() if suffix in OTHER_PICTURES})
        if pictures:
            advice = f": {HEIF_ADVICE}" if set(pictures) <= HEIF_SUFFIXES else ": export them as JPEG, PNG or TIFF"
            notes.append(
                f"{pictures.total():,} files are no photos of a format that is read, by their extension: "
                f"{_most(pictures)}{advice}"
            )
        if others := self.other - pictures:
            notes.append(f"{others.total():,} files are no photos by their extension: {_most(others)}")
        if self.hidden:
            notes.append(f"{self.hidden:,} files and folders are hidden (their name begins with a dot): left out")
        if self.system:
            notes.append(f"{self.system.total():,} folders that systems make are left out: {_most(self.system)}")
        if self.written:
            notes.append(f"{self.written.total():,} folders that jobs wrote here are left out: {_most(self.written)}")
        if self.circles:
            notes.append(f"{self.circles:,} links lead to a folder that they lie in: not followed")
        return notes

    def choose_folder(self, folders: Sequence[str], names: Iterable[str]) -> tuple[str, list[str]]:
        """The folder of ``folders`` in which most of ``names`` are found (the first of equals), and all that have any.

        One folder serves the whole list, so that photos of two sizes never mix.
        """
        found: Counter[str] = Counter()
        for name in names:
            for folder in folders:
                try:
                    self._find(posixpath.join(folder, safe_name(name)), folder, name)
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

    So are folders that systems make, and those that jobs wrote (whose output may lie below the root). A file is taken
    for a photo by its extension (decoding.SUFFIXES). Raises DataError when the root cannot be listed, and when all
    that it holds are links out of it.
    """
    root = storage.absolute(root)
    try:
        index = _remote(root) if storage.is_remote(root) else _local(root)
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"cannot list the photos in data.root = {root}: {error}") from error
    if index.leaving and not index.photos:
        raise DataError(
            f"all {len(index.leaving):,} photos of data.root = {root} are symbolic links that lead out of it, as DVC, "
            f"git-annex and download caches make them, and such links are not followed: {index.advice}"
        )
    return index


def in_64_bits(nanoseconds: int) -> int:
    """A file's date as the manifest can hold it: beyond the years 1678 to 2262 it wraps, as Arrow's own does."""
    return (nanoseconds + 2**63) % 2**64 - 2**63


def _by_name(folders: Iterable[str]) -> Counter[str]:
    return Counter(posixpath.basename(folder) for folder in sorted(folders))


def _most(counted: Counter[str]) -> str:
    return ", ".join(f"{name or 'no extension'} {count:,}" for name, count in counted.most_common(8))


def _grouped(paths: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[key(path)].append(path)
    return found


def _remote(root: str) -> PhotoIndex:
    index = PhotoIndex(root, {})
    with storage.opened(root) as (store, base):
        infos = store.get_file_info(pafs.FileSelector(base, recursive=True))
    start = len(base.rstrip("/")) + 1
    files = {}
    for info in infos:
        path = info.path[start:]
        marker = info.type == pafs.FileType.Directory and is_photo(path) and not path.endswith("/")
        if marker or (info.type == pafs.FileType.File and not {"", ".", ".."}.isdisjoint(path.split("/"))):
            index.no_path |= {path}  # a marker: an empty object whose key is that of a photo, and a slash
        elif info.type == pafs.FileType.File:
            files[path] = info
    written = left_out.outputs(files.keys())
    folders: dict[str, set[str]] = defaultdict(set)  # that are left out, by why
    for path, info in sorted(files.items()):
        if (reason := left_out.reason(path, written)) is not None:
            index.hidden += reason[0] == "hidden"
            folders[reason[0]].add(reason[1])
        elif is_photo(path):
            changed = info.mtime or datetime.fromtimestamp(0, UTC)
            index.photos[path] = Photo(info.size, in_64_bits(int(changed.timestamp() * 1e9)))
        else:
            index.other[posixpath.splitext(path)[1].lower()] += 1
    index.system, index.written = (_by_name(folders[reason]) for reason in ("system", "written"))
    return index


def _local(root: str) -> PhotoIndex:
    if not Path(root).is_dir():
        raise FileNotFoundError("there is no such folder")
    index = PhotoIndex(root, {})
    found: dict[str, set[str]] = defaultdict(set)
    for path, what in _walk(root, "", (os.path.realpath(root),)):
        name = os.fsencode(path).decode(errors="backslashreplace")  # the path itself, but for bytes that are not UTF-8
        if what in ("hidden", "circle", "unreadable", "leaving", "system", "written"):
            found[str(what)].add(name)
            if what == "leaving":
                index.targets |= {os.path.dirname(os.path.realpath(os.path.join(root, path)))}  # noqa: PTH118, PTH120
        elif not is_photo(path):
            index.other[posixpath.splitext(name)[1].lower()] += 1
        elif name != path:
            found["misnamed"].add(name)
        elif isinstance(what, os.DirEntry):
            status = what.stat()
            index.photos[path] = Photo(status.st_size, in_64_bits(status.st_mtime_ns))
        else:
            found[what].add(path)
    for kind in ("leaving", "dangling", "special", "misnamed", "unreadable"):
        setattr(index, kind, frozenset(found[kind]))
    index.system, index.written = _by_name(found["system"]), _by_name(found["written"])
    index.hidden, index.circles = len(found["hidden"]), len(found["circle"])
    return index


What = Literal["hidden", "leaving", "circle", "dangling", "special", "unreadable", "system", "written"]


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
    output = any(entry.name == "manifest" for entry in entries) and left_out.is_output(posixpath.join(root, below))
    for entry in entries:
        path = posixpath.join(below, entry.name)
        if left_out.is_system(entry.name) and _is_folder(entry):
            yield path, "system"
            continue
        if entry.name.startswith("."):
            yield path, "hidden"
            continue
        if output and entry.name in left_out.OUTPUT_FOLDERS:
            yield path, "written"
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
            yield path, "leaving" if folder or is_photo(path) else entry
        elif folder and real in above:
            yield path, "circle"
        elif folder:
            yield from _walk(root, path, (*above, real))
        else:
            yield path, entry if file else "special"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
