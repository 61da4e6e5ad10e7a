"""Which subsets are kept along a curve of sufficiency: the blocks of each image in an order, 1 to B of them.

Shape suffixes: N images, K = B blocks (or sizes 1 .. B), S = 2^B subsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.stored.reading import Images, vectors

MOST, LEAST = "most important first", "least important first"
BEST = "best fixed subset"
UNDEFINED = -1  # in place of a subset


@dataclass(frozen=True)
class Curve:
    """One way to keep 1 .. B blocks: the subsets that it keeps of every image, or neither for the oracle."""

    kind: str
    name: str
    order: str | None
    kept: tuple[int, ...] | None = None  # of every size, where it is the same for all images
    kept_NK: NDArray[np.int64] | None = None  # -1 where an image has none


def read_importance(images: Images, grid: Grid) -> dict[str, NDArray[np.float64]]:
    """Importance (N, B) of every per-image rule, NaN where an image has none."""
    result = {rule: np.full((len(images), grid.blocks), np.nan) for rule in schema.IMAGE_RULES}
    for part in images.parts:
        rows = storage.read_table(part.uri, [f"importance_{rule}" for rule in result]).take(pa.array(part.rows))
        for rule, importance_NK in result.items():
            importance_NK[part.positions] = vectors(rows[f"importance_{rule}"])
    return result


def kept_by_importance(importance_NK: NDArray[np.float64], half_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Subsets that keep the 1 .. B most important blocks: int64 (N, B); -1 where an image has no importance.

    The first B // 2 are the stored important half, also where importance was rounded to a tie.
    """
    blocks = importance_NK.shape[1]
    outside_NK = 1 - (half_N[:, None] >> np.arange(blocks) & 1)
    order_NK = np.lexsort((-importance_NK, outside_NK), axis=1)
    kept_NK = np.cumsum(1 << order_NK, axis=1)
    return np.where((half_N > 0)[:, None], kept_NK, UNDEFINED)


def image_curves(
    grid: Grid, importance: Mapping[str, NDArray[np.float64]], halves: Mapping[str, NDArray[np.int64]]
) -> list[Curve]:
    """The curves of the per-image rules, most and least important first."""
    curves = []
    for rule, importance_NK in importance.items():
        most_NK = kept_by_importance(importance_NK, halves[rule])
        curves.append(Curve("rule", rule, MOST, kept_NK=most_NK))
        curves.append(Curve("rule", rule, LEAST, kept_NK=_reversed(grid, most_NK)))
    return curves


def fixed_curves(grid: Grid, plcc_S: NDArray[np.float64], importance_K: NDArray[np.float64], half: int) -> list[Curve]:
    """The curves whose subsets serve all images of a scope: the rule `image_plcc` and the best subset of each size.

    ``plcc_S`` is every subset's PLCC with the unmasked prediction; ``half`` the rule's half, 0 where it has none.
    """
    curves = []
    if half:
        most_NK = kept_by_importance(importance_K[None], np.array([half]))
        for order, kept_NK in ((MOST, most_NK), (LEAST, _reversed(grid, most_NK))):
            curves.append(Curve("rule", "image_plcc", order, kept=tuple(kept_NK[0].tolist())))
    sizes = grid.sizes()
    best = []
    for size in range(1, grid.blocks + 1):
        subsets = np.flatnonzero(sizes == size)
        known = np.isfinite(plcc_S[subsets])
        best.append(int(subsets[np.nanargmax(plcc_S[subsets])]) if known.any() else UNDEFINED)
    return [*curves, Curve("bound", BEST, None, kept=tuple(best))]


def _reversed(grid: Grid, most_NK: NDArray[np.int64]) -> NDArray[np.int64]:
    """Subsets that keep the 1 .. B least important blocks, from those that keep the most important ones."""
    masked_NK = np.concatenate([most_NK[:, -2::-1], np.zeros((len(most_NK), 1), np.int64)], axis=1)
    return np.where(most_NK == UNDEFINED, UNDEFINED, grid.full ^ masked_NK)
