"""The directories of a TIFF (TIFF 6.0; BigTIFF): whether its first page is the photo, or a small copy of it.

Decoders show the first page. Raw files and some scanners put a thumbnail there, and the photo further on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from halfiqa_ray.data.content import RAW

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SUB_DIRECTORIES, DNG = (
    *(254, 255, 256, 257, 259, 262),
    *(330, 50706),
)
REDUCED, MASK = 1, 4  # bits of SUBFILE
OLD_REDUCED = 2
SENSOR = (32803, 34892)  # what PHOTOMETRIC says of pixels that are not developed
RAW_COMPRESSIONS = {34713: "Nikon NEF", 32767: "Sony ARW", 65535: "Pentax PEF", 32770: "Samsung SRW", 65000: "Kodak"}
MOST = 64  # directories that are looked at
SMALLER = 4  # a first page with so many times fewer pixels than another one is a thumbnail
SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # of the types of whole numbers, in bytes
FORMS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True)
class _Layout:
    order: str  # of bytes, as struct writes it
    big: bool

    def read(self, data: bytes, form: str, place: int) -> int:
        return int(struct.unpack_from(self.order + form, data, place)[0])


def refusal(data: bytes) -> str | None:
    """Why the first page of a TIFF is not the photo, or None. Damaged directories are the decoder's to tell of."""
    pages = _directories(data)
    if not pages:
        return None
    first = pages[0]
    develop = "develop it, and export it as JPEG, PNG or TIFF"
    if any(DNG in page for page in pages):
        return f"{RAW} (DNG): {develop}"
    if any(_one(page, PHOTOMETRIC) in SENSOR for page in pages):
        return f"{RAW}: {develop}"
    for page in pages:
        if (name := RAW_COMPRESSIONS.get(_one(page, COMPRESSION))) is not None:
            return f"{RAW} ({name}): {develop}"
    if _one(first, SUBFILE) & REDUCED or _one(first, OLD_SUBFILE) == OLD_REDUCED:
        return f"its first page is a thumbnail ({_size(first)}), as it says: export the photo itself as JPEG or PNG"
    if _one(first, SUBFILE) & MASK:
        return "its first page is a mask of transparency: export the photo itself as JPEG, PNG or TIFF"
    largest = max(pages, key=_pixels)
    if _pixels(largest) >= SMALLER * _pixels(first) > 0:
        return (
            f"its first page has {_size(first)} pixels, another one {_size(largest)}: which is the photo? Save "
            "that one as the first page"
        )
    return None


def _directories(data: bytes) -> list[dict[int, list[int]]]:
    """The tags of whole numbers of every page and sub-directory, the first page first."""
    try:
        layout, start = _begin(data)
    except (struct.error, ValueError):
        return []
    waiting, seen = [start], set[int]()
    found: list[dict[int, list[int]]] = []
    while waiting and len(found) < MOST:
        place = waiting.pop(0)
        if place in seen or not 0 < place < len(data):
            continue
        seen.add(place)
        try:
            tags, following = _directory(data, layout, place)
        except struct.error:
            continue
        found.append(tags)
        waiting += [*tags.get(SUB_DIRECTORIES, ()), following]
    return found


def _begin(data: bytes) -> tuple[_Layout, int]:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("no TIFF")
    version = struct.unpack_from(order + "H", data, 2)[0]
    layout = _Layout(order, version == 43)
    return layout, layout.read(data, "Q", 8) if layout.big else layout.read(data, "I", 4)


def _directory(data: bytes, layout: _Layout, place: int) -> tuple[dict[int, list[int]], int]:
    count_form, count_size, entry, inline = ("Q", 8, 20, 8) if layout.big else ("H", 2, 12, 4)
    count = layout.read(data, count_form, place)
    offset = "Q" if layout.big else "I"
    tags: dict[int, list[int]] = {}
    for number in range(min(count, 4096)):
        at = place + count_size + number * entry
        tag, kind = layout.read(data, "H", at), layout.read(data, "H", at + 2)
        if kind not in SIZES:
            continue
        values, size = min(layout.read(data, offset, at + 4), MOST), SIZES[kind]
        where = at + entry - inline
        if values * size > inline:
            where = layout.read(data, offset, where)
        if where + values * size <= len(data):
            tags[tag] = [layout.read(data, FORMS[size], where + place * size) for place in range(values)]
    after = place + count_size + count * entry
    return tags, layout.read(data, offset, after) if after + inline <= len(data) else 0


def _one(page: dict[int, list[int]], tag: int) -> int:
    return (page.get(tag) or [0])[0]


def _pixels(page: dict[int, list[int]]) -> int:
    return _one(page, WIDTH) * _one(page, HEIGHT)


def _size(page: dict[int, list[int]]) -> str:
    return f"{_one(page, WIDTH)} x {_one(page, HEIGHT)}"
