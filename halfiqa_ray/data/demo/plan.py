"""Which crop gets which damage: a balanced, seeded design for each split of the demo data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from halfiqa_ray.data.demo.distortions import DISTORTIONS, STRENGTHS, Picture, damage, visibility
from halfiqa_ray.data.demo.photos import SPLITS, Area, Photo, area_of, photos_of
from halfiqa_ray.masking.grid import Grid

GRID = Grid(3, 4)
PRISTINE_SHARE = 0.14
PARTIAL_SHARE = 0.46
# Weak damage of one block would go unseen, and then "which blocks matter" has no right answer.
PARTIAL_STRENGTHS = STRENGTHS[1:]
PARTIAL_SHAPES = ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3), (3, 2))  # rows, columns: 2 to 6 blocks
# Least root mean square change of luma, in grey levels: of every damaged block, and of a wholly damaged picture.
VISIBLE_BLOCK, VISIBLE_PICTURE = 5.0, 3.0
# Pictures of one crop, pristine or with different damage: what differs between them is the damage, not the content.
VERSIONS = 6
ATTEMPTS = 40  # draws from one photo before the next is tried


@dataclass(frozen=True)
class Damage:
    """What is to be done to one crop; ``shape`` is the damaged rectangle in blocks, (3, 4) being all."""

    distortion: str = "none"
    strength: int = 0
    shape: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Sample:
    """One finished demo image, its pixels before JPEG, and all that is known about it."""

    split: str
    photo: str
    file: str
    box: tuple[int, int, int, int]  # left, top, width, height in source pixels
    damage: Damage
    blocks: int  # damaged blocks: bit b = block b, row by row from the top left
    pristine: Picture
    pixels: Picture


def damages(count: int, rng: np.random.Generator) -> list[Damage]:
    """``count`` damages: shares of undamaged, partly and wholly damaged pictures, each kind balanced, shuffled."""
    pristine, partial = round(PRISTINE_SHARE * count), round(PARTIAL_SHARE * count)
    shapes = list(islice(cycle(PARTIAL_SHAPES), partial))
    shapes = [shapes[i] for i in rng.permutation(partial)]
    deck = [Damage()] * pristine
    kinds = islice(cycle(product(PARTIAL_STRENGTHS, DISTORTIONS)), partial)
    deck += [Damage(name, strength, shape) for (strength, name), shape in zip(kinds, shapes, strict=True)]
    kinds = islice(cycle(product(STRENGTHS, DISTORTIONS)), count - pristine - partial)
    deck += [Damage(name, strength, (GRID.rows, GRID.columns)) for strength, name in kinds]
    return [deck[i] for i in rng.permutation(count)]


def rectangles(shape: tuple[int, int]) -> list[int]:
    """Bit masks of every place of a rectangle of blocks in the grid; [0] for an empty rectangle."""
    rows, columns = shape
    if not rows * columns:
        return [0]
    return [
        GRID.as_mask([r * GRID.columns + c for r in range(top, top + rows) for c in range(left, left + columns)])
        for top in range(GRID.rows - rows + 1)
        for left in range(GRID.columns - columns + 1)
    ]


def crop_box(area: Area, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A random crop inside ``area`` to be scaled to ``width`` x ``height``: left, top, width, height.

    Raises ValueError when the area is too small: crops are never upscaled.
    """
    fit = min(area.width / width, area.height / height)
    if fit < area.scales[0]:
        raise ValueError(f"a {width} x {height} crop does not fit into {area} without upscaling")
    scale = rng.uniform(area.scales[0], min(fit, area.scales[1]))
    spans = min(round(width * scale), area.width), min(round(height * scale), area.height)
    left = area.left + int(rng.integers(0, area.width - spans[0] + 1))
    top = area.top + int(rng.integers(0, area.height - spans[1] + 1))
    return left, top, spans[0], spans[1]


def _cut(pixels: NDArray[np.uint8], box: tuple[int, int, int, int], width: int, height: int) -> Picture:
    left, top, span_x, span_y = box
    # Cut first, scale after: the filter must not see pixels that belong to another split.
    cut = Image.fromarray(pixels[top : top + span_y, left : left + span_x])
    return np.asarray(cut.resize((width, height), Image.Resampling.LANCZOS))


def is_visible(sample: Sample) -> bool:
    """Whether every damaged block changed by ``VISIBLE_BLOCK``, or a wholly damaged picture by ``VISIBLE_PICTURE``."""
    if not sample.blocks:
        return True
    change = visibility(sample.pristine, sample.pixels, GRID)
    if sample.blocks == GRID.full:
        return float(np.sqrt((change**2).mean())) >= VISIBLE_PICTURE
    damaged = [bool(sample.blocks >> block & 1) for block in range(GRID.blocks)]
    return bool(change[damaged].min() >= VISIBLE_BLOCK)


def make_sample(
    photo: Photo,
    files: list[NDArray[np.uint8]],
    split: str,
    wanted: Damage,
    sizes: tuple[tuple[int, int], ...],
    crop_rng: np.random.Generator,
    damage_rng: np.random.Generator,
) -> Sample:
    """Draw one crop of ``photo`` from an area of ``split``, and damage it as ``wanted`` at a random place.

    ``files`` are the photo's decoded files. ``sizes`` are the allowed (width, height) in pixels; those that do
    not fit the area are left out.
    """
    areas = [area for area in photo.areas if area.split == area_of(split)]
    area = areas[crop_rng.integers(len(areas))]
    least = area.scales[0]
    fitting = [size for size in sizes if size[0] * least <= area.width and size[1] * least <= area.height]
    width, height = fitting[crop_rng.integers(len(fitting))]
    box = crop_box(area, width, height, crop_rng)
    places = rectangles(wanted.shape)
    blocks = places[damage_rng.integers(len(places))]
    pixels = pristine = _cut(files[area.file], box, width, height)
    if blocks:
        pixels = damage(pristine, wanted.distortion, wanted.strength, blocks, GRID, damage_rng)
    return Sample(split, photo.name, photo.files[area.file], box, wanted, blocks, pristine, pixels)


def visible_sample(
    photos: list[Photo],
    pixels: dict[str, list[NDArray[np.uint8]]],
    split: str,
    wanted: Damage,
    sizes: tuple[tuple[int, int], ...],
    crop_seed: Sequence[int],
    damage_seed: Sequence[int],
) -> Sample:
    """Damage the crop of ``crop_seed`` at one place after another, then other crops and photos, until it shows.

    Raises RuntimeError when no photo of the split shows it (blur on nothing but sky).
    """
    rng = np.random.default_rng(damage_seed)
    for _ in range(ATTEMPTS):
        crop_rng = np.random.default_rng(crop_seed)
        sample = make_sample(photos[0], pixels[photos[0].name], split, wanted, sizes, crop_rng, rng)
        if is_visible(sample):
            return sample
    for photo in photos:
        for _ in range(ATTEMPTS):
            sample = make_sample(photo, pixels[photo.name], split, wanted, sizes, rng, rng)
            if is_visible(sample):
                return sample
    raise RuntimeError(f"{wanted} does not show on any of {[photo.name for photo in photos]}")


def samples(counts: dict[str, int], sizes: tuple[tuple[int, int], ...], seed: int) -> Iterator[Sample]:
    """All demo images, split by split; each depends only on (seed, split, its number in the split)."""
    for number, split in enumerate(SPLITS):
        photos = photos_of(split)
        pixels = {photo.name: photo.pixels() for photo in photos}
        for index, wanted in enumerate(damages(counts[split], np.random.default_rng([seed, number]))):
            crop = index // VERSIONS
            start = crop % len(photos)
            order = photos[start:] + photos[:start]
            seeds = [seed, number, 0, crop], [seed, number, 1, index]
            yield visible_sample(order, pixels, split, wanted, sizes, *seeds)
