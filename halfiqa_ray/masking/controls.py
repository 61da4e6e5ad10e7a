"""Halves that no rule picked, to compare the rules with. Each is given as the half that plays "important".

A half chosen because it changes the score least is bound to correlate better than another, so the result of a rule
says little without these beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.grid import Grid


def random_halves(grid: Grid, image_ids: Sequence[str], seed: int) -> NDArray[np.uint16]:
    """A random half of every image, uint16 (N,): the ``B // 2`` blocks with the lowest SHA-256 of seed, image, block.

    It depends on the seed and the image's own id only, not on the other images or on their order.
    """
    halves = [grid.as_mask(random_order(grid, image_id, seed)[: grid.blocks // 2]) for image_id in image_ids]
    return np.array(halves, dtype=np.uint16)


def random_order(grid: Grid, image_id: str, seed: int) -> list[int]:
    """All blocks of an image by that SHA-256: a random order whose first half is the image's random half."""
    return sorted(range(grid.blocks), key=lambda block: _hash(seed, "random half", image_id, block))


def centre_half(grid: Grid) -> int:
    """The fixed half around the centre: the ``B // 2`` blocks whose centres lie nearest to the image's.

    Distances are in fractions of the image's width and height, exact; on a tie the lower block number is in. For
    3 x 4 blocks it is the two middle columns.
    """

    def distance(block: int) -> int:
        row, column = divmod(block, grid.columns)
        down = (2 * row + 1 - grid.rows) * grid.columns
        across = (2 * column + 1 - grid.columns) * grid.rows
        return down * down + across * across

    ranked = sorted(range(grid.blocks), key=distance)
    return grid.as_mask(ranked[: grid.blocks // 2])


def other_images(image_ids: Sequence[str], photos: Sequence[str], seed: int) -> NDArray[np.int64]:
    """For every image the position of another one, each taken exactly once: a seeded derangement, int64 (N,).

    ``photos`` names the source photo of every image: the other image is of another photo, unless one photo has more
    than half of the images, where it is at least another image. It depends on the seed and the set of images, not
    on their order. A single image has no other: -1.
    """
    count = len(image_ids)
    if count < 2:
        return np.full(count, -1, dtype=np.int64)
    keys = [
        (_hash(seed, "photo", photo), photo, _hash(seed, "image", image_id), image_id)
        for image_id, photo in zip(image_ids, photos, strict=True)
    ]
    # Images of one photo stand side by side in this circle; a step as long as the longest run leaves every run.
    circle = np.array(sorted(range(count), key=keys.__getitem__), dtype=np.int64)
    sizes = np.unique(np.asarray(photos, dtype=str), return_counts=True)[1]
    step = min(int(sizes.max()), count // 2)
    others = np.empty(count, dtype=np.int64)
    others[circle] = np.roll(circle, -step)
    return others


def _hash(seed: int, *parts: object) -> bytes:
    text = "\0".join(str(part) for part in (seed, *parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
