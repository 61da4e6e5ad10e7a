"""The rules that turn the scores of all block subsets into block importance and into halves (Section 2 of the paper).

Importance is always higher = more important. Averages over "the subsets that mask the block" leave out the
all-masked subset, where only the quality token is left and nothing depends on the image.
Shape suffixes: N images, S = 2^B subsets (bit set = block kept), K = B blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halfiqa_ray.masking.games import banzhaf, shapley
from halfiqa_ray.masking.grid import Grid

# Subsets are averaged over in slices of images of about this many bytes, in float64.
_SLICE_BYTES = 64 << 20


def image_importance(
    grid: Grid, subset_scores: ArrayLike, level_plcc: ArrayLike | None
) -> dict[str, NDArray[np.float64]]:
    """The importance of the blocks of every image by every rule that looks at one image alone: (N, B) each.

    In the order of schema.IMAGE_RULES. ``level_plcc`` is None for a model that predicts no levels; that rule is then
    left out.
    """
    found = {} if level_plcc is None else {"level_plcc": level_plcc_importance(grid, level_plcc)}
    return found | {
        "score_change": score_change_importance(grid, subset_scores),
        "shapley": shapley_importance(subset_scores),
        "banzhaf": banzhaf_importance(subset_scores),
    }


def level_plcc_importance(grid: Grid, level_plcc: ArrayLike) -> NDArray[np.float64]:
    """Rule `level_plcc`: 1 - mean correlation of the quality levels over the subsets that mask the block.

    ``level_plcc`` (N, 2^B) is the correlation of every subset's five levels with the unmasked ones, NaN where there
    is none; those are left out. Returns (N, B) in [0, 2], NaN where every one is left out.
    """
    return 1 - _mean_where_masked(grid, np.asarray(level_plcc))


def score_change_importance(grid: Grid, subset_scores: ArrayLike) -> NDArray[np.float64]:
    """Rule `score_change`: mean absolute change of the score over the subsets that mask the block.

    ``subset_scores`` (N, 2^B) in MOS units; returns (N, B) in MOS units.
    """
    return _mean_where_masked(grid, np.asarray(subset_scores), change_from_full=True)


def shapley_importance(subset_scores: ArrayLike) -> NDArray[np.float64]:
    """Rule `shapley`: magnitude of the Shapley value of keeping the block, (N, 2^B) to (N, B) in MOS units."""
    return np.abs(shapley(subset_scores))


def banzhaf_importance(subset_scores: ArrayLike) -> NDArray[np.float64]:
    """Rule `banzhaf`: magnitude of the Banzhaf value of keeping the block, (N, 2^B) to (N, B) in MOS units."""
    return np.abs(banzhaf(subset_scores))


def image_plcc_importance(grid: Grid, plcc: ArrayLike) -> NDArray[np.float64]:
    """Rule `image_plcc`, one importance for a whole data set: 1 - mean over the subsets that mask the block.

    ``plcc`` (2^B,) is the correlation over images of every subset's scores with the unmasked scores, NaN where there
    is none. Returns (B,) in [0, 2], NaN where every one is left out.
    """
    return level_plcc_importance(grid, np.asarray(plcc)[None])[0]


def important_half(importance: ArrayLike) -> NDArray[np.uint16]:
    """The important half of every image as a bit mask: its ``B // 2`` blocks of highest importance.

    ``importance`` (N, B); on a tie the lower block number counts as more important. With an odd B the trivial half
    is the larger one. Returns uint16 (N,); 0 (no blocks, no half) where an importance is NaN.
    """
    importance_NK = np.asarray(importance, dtype=np.float64)
    blocks = importance_NK.shape[1]
    order_NK = np.argsort(-importance_NK, axis=1, kind="stable")
    halves_N = (1 << order_NK[:, : blocks // 2]).sum(1)
    return np.where(np.isnan(importance_NK).any(1), 0, halves_N).astype(np.uint16)


def halves_masked(grid: Grid, important: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The subsets in which a half is masked, for important halves of any shape (bit set = block is important).

    Returns (trivial half masked, important half masked): what is kept is the important half itself, or the rest.
    """
    halves = np.asarray(important).astype(np.int64)
    return halves, grid.full ^ halves


def _mean_where_masked(
    grid: Grid, values_NS: NDArray[np.floating], change_from_full: bool = False
) -> NDArray[np.float64]:
    """Mean of the finite values over the subsets that mask each block, all-masked left out: (N, B); NaN for none."""
    if values_NS.ndim != 2 or values_NS.shape[1] != grid.subsets:
        raise ValueError(
            f"{grid.rows} x {grid.columns} blocks need values of shape (images, {grid.subsets}), got {values_NS.shape}"
        )
    masks_SK = (~grid.kept()).astype(np.float64)
    masks_SK[0] = 0
    result = np.empty((len(values_NS), grid.blocks))
    step = max(1, _SLICE_BYTES // (8 * grid.subsets))
    for start in range(0, len(values_NS), step):
        part_NS = values_NS[start : start + step].astype(np.float64)
        if change_from_full:
            part_NS = np.abs(part_NS - part_NS[:, grid.full, None])
        there_NS = ~np.isnan(part_NS)
        count_NK = there_NS @ masks_SK
        total_NK = np.where(there_NS, part_NS, 0) @ masks_SK
        undefined = np.full(count_NK.shape, np.nan)
        result[start : start + step] = np.divide(total_NK, count_NK, out=undefined, where=count_NK > 0)
    return result
