"""Whole photos, undamaged and damaged: pictures for models that have learned elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from halfiqa_ray.data.demo.distortions import DISTORTIONS, STRENGTHS, Picture, damage
from halfiqa_ray.data.demo.photos import PHOTOS, Photo
from halfiqa_ray.data.demo.plan import (
    ATTEMPTS,
    GRID,
    PARTIAL_SHAPES,
    PARTIAL_STRENGTHS,
    Damage,
    Sample,
    is_visible,
    rectangles,
)

LONGER_SIDE = 512  # pixels: what the photos of the shipped models' data set have
PARTIAL, ENTIRE = 3, 2  # damaged versions of a photo: some blocks, all blocks
DAMAGED = PARTIAL + ENTIRE
COUNT = len(PHOTOS) * (1 + DAMAGED)


def damages(seed: int) -> list[list[Damage]]:
    """The damages of each photo's versions, the undamaged first: every kind and strength about equally often."""
    rng = np.random.default_rng([seed, 0])
    count = len(PHOTOS) * PARTIAL
    kinds = islice(cycle(product(PARTIAL_STRENGTHS, DISTORTIONS)), count)
    partial = [Damage(n, s, shape) for (s, n), shape in zip(kinds, islice(cycle(PARTIAL_SHAPES), count), strict=True)]
    kinds = islice(cycle(product(STRENGTHS, DISTORTIONS)), len(PHOTOS) * ENTIRE)
    entire = [Damage(name, strength, (GRID.rows, GRID.columns)) for strength, name in kinds]
    order, whole = rng.permutation(len(partial)), rng.permutation(len(entire))
    return [
        [
            Damage(),
            *(partial[at] for at in order[photo * PARTIAL : (photo + 1) * PARTIAL]),
            *(entire[at] for at in whole[photo * ENTIRE : (photo + 1) * ENTIRE]),
        ]
        for photo in range(len(PHOTOS))
    ]


def samples(seed: int) -> Iterator[Sample]:
    """Every photo undamaged and in its damaged versions; each depends only on (seed, photo, version)."""
    for number, (photo, versions) in enumerate(zip(PHOTOS, damages(seed), strict=True)):
        box = _box(photo)
        pristine = _scaled(photo.pixels()[0], box)
        for version, wanted in enumerate(versions):
            yield _sample(photo, box, pristine, wanted, [seed, 1, number, version])


def _box(photo: Photo) -> tuple[int, int, int, int]:
    """All of the photo's first file; of a photo whose areas leave out its margins, what they span."""
    with Image.open(photo.paths()[0]) as image:
        width, height = image.size
    areas = [area for area in photo.areas if area.file == 0]
    if len(areas) == 1:  # the margins of others belong to no split but are part of the scene
        return areas[0].left, areas[0].top, areas[0].width, areas[0].height
    return 0, 0, width, height


def _scaled(pixels: NDArray[np.uint8], box: tuple[int, int, int, int]) -> Picture:
    left, top, width, height = box
    cut = Image.fromarray(pixels[top : top + height, left : left + width])
    scale = min(1.0, LONGER_SIDE / max(width, height))
    return np.asarray(cut.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS))


def _sample(photo: Photo, box: tuple[int, int, int, int], pristine: Picture, wanted: Damage, seed: list[int]) -> Sample:
    """Damage at one random place after another until it shows; then a strength more, then the next distortion.

    Raises RuntimeError when none shows anywhere.
    """
    rng = np.random.default_rng(seed)
    for tried in _instead(wanted):
        for _ in range(ATTEMPTS):
            places = rectangles(tried.shape)
            blocks = places[rng.integers(len(places))]
            pixels = damage(pristine, tried.distortion, tried.strength, blocks, GRID, rng) if blocks else pristine
            sample = Sample("test", photo.name, photo.files[0], box, tried, blocks, pristine, pixels)
            if is_visible(sample):
                return sample
    raise RuntimeError(f"{wanted} does not show on {photo.name}, nor does any other damage")


def _instead(wanted: Damage) -> Iterator[Damage]:
    """What is wanted, and what is tried where it does not show (blur on plain sky)."""
    yield wanted
    names = list(DISTORTIONS)
    start = names.index(wanted.distortion) if wanted.strength else 0
    for name in names[start:] + names[:start]:
        for strength in range(wanted.strength, max(STRENGTHS) + 1):
            yield Damage(name, strength, wanted.shape)
