"""Which photos are for training, validation and test: published, or made alike in MOS and spatial information."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halfiqa_ray.data.lists import name_list
from halfiqa_ray.data.lists.name_list import NameList
from halfiqa_ray.data.manifest import Row, Scale
from halfiqa_ray.data.problems import Problem

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPELLINGS = {"training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "testing": TEST}
GROUP = 10  # of which one is for validation and one for test
MOS_BINS = 4


@dataclass(frozen=True)
class FileSplit:
    """What a published split says of our photos."""

    splits: dict[str, str | None]  # by image_id
    problems: list[Problem]
    unlisted: int  # photos that the file does not name
    unused: int  # names in the file that are none of our photos


def normalise(name: str | None) -> str | None:
    """One spelling of a split's name: train, validation, test; other names (test_same_photo) in lower case."""
    plain = (name or "").strip().lower()
    return SPELLINGS.get(plain, plain) or None


def from_file(image_ids: Sequence[str], published: NameList) -> FileSplit:
    """The split of each photo by a published file; photos it does not name, or not clearly, get None."""
    matches = name_list.match(image_ids, published.values)
    problems = list(published.problems)
    for image_id, reason in sorted(matches.ambiguous.items()):
        problems.append(Problem("ambiguous_name", f"{reason}: no split", published.file, None, image_id))
    splits = {
        image_id: normalise(published.values[matches.names[image_id]]) if image_id in matches.names else None
        for image_id in image_ids
    }
    unlisted = len(splits) - len(matches.names) - len(matches.ambiguous)
    return FileSplit(splits, problems, unlisted, matches.unused)


def own(rows: Sequence[Row], scale: Scale | None, seed: int) -> dict[str, str]:
    """Splits of 8 : 1 : 1 that are alike in MOS and in spatial information, by image_id.

    Photos are binned by MOS (four equal bins of the scale), sorted by spatial information in each bin, and cut into
    consecutive groups of ten; in each group a hash of seed and image_id picks one for validation and one for
    test. What is left over of the bins forms groups of its own, in the same order; the very last, smaller group is
    filled up with places that nobody has, so that each photo's chance stays one in ten. The result depends on the
    seed, the photos and their values alone, not on their order. Crops of one photo are treated as photos.
    The recipe is ours: the paper asks for alike distributions and does not say how (models of You et al. take
    every n-th photo of the same order).
    """
    return _cut(rows, scale, seed, GROUP, (VALIDATION, TEST))


def with_validation(rows: Sequence[Row], scale: Scale | None, seed: int, share: float) -> dict[str, str]:
    """One in ``1 / share`` of training photos ``rows`` for validation, the others for training, by image_id.

    By the recipe of `own`: the two parts are alike in MOS and in spatial information.
    """
    return _cut(rows, scale, seed, round(1 / share), (VALIDATION,))


def split_hash(splits: Mapping[str, str | None]) -> str:
    """SHA-256 (hex) of a split: of the sorted lines image_id, tab, split, newline (no split: empty)."""
    lines = (f"{image_id}\t{split or ''}\n" for image_id, split in sorted(splits.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _bin(mos: float | None, scale: Scale | None) -> int:
    if mos is None or scale is None:
        return MOS_BINS  # photos without MOS are alike in spatial information only
    low, high = scale
    return min(MOS_BINS - 1, max(0, int((mos - low) / (high - low) * MOS_BINS)))


def _cut(rows: Sequence[Row], scale: Scale | None, seed: int, size: int, names: tuple[str, ...]) -> dict[str, str]:
    """Groups of ``size`` neighbours, each of which gives one photo to every split of ``names``."""
    bins: dict[int, list[Row]] = {}
    for row in rows:
        bins.setdefault(_bin(row.mos, scale), []).append(row)
    splits: dict[str, str] = {}
    left: list[Row] = []
    for number in sorted(bins):
        ordered = sorted(bins[number], key=lambda row: (row.spatial_information or 0.0, row.image_id))
        whole = len(ordered) // size * size
        splits |= _pick(ordered[:whole], seed, size, names)
        left += ordered[whole:]
    return splits | _pick(left, seed, size, names)


def _pick(ordered: Sequence[Row], seed: int, size: int, names: tuple[str, ...]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for start in range(0, len(ordered), size):
        group = [row.image_id for row in ordered[start : start + size]]
        places = [*group, *(f"\0{place}" for place in range(size - len(group)))]
        drawn = sorted(places, key=lambda place: hashlib.sha256(f"{seed}\0{group[0]}\0{place}".encode()).digest())
        chosen = dict(zip(drawn, names, strict=False))
        splits |= {image_id: chosen.get(image_id, TRAIN) for image_id in group}
    return splits
