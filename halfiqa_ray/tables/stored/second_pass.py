"""The second pass over the stored scores of a run: along the curves of sufficiency, the oracle, and interactions.

It comes after the first (``gather.scan_scores``), whose correlations say which fixed subsets are best. Like those of
``scan.py``, the work on one file runs in this process or in any other.
Shape suffixes: N images, K = B blocks (or sizes 1 .. B), S = 2^B subsets, C picked subsets, P pairs of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.games import interaction
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.stored.curves import UNDEFINED, Curve
from halfiqa_ray.tables.stored.reading import Images, Part, stream_scores
from halfiqa_ray.tables.stored.scan import Mapper, in_process


@dataclass(frozen=True)
class Scanned:
    """What one pass over the scores of all images leaves, in order of image id."""

    picked_NC: NDArray[np.float64]  # scores of each image's subsets that were asked for
    fixed: dict[int, NDArray[np.float64]]  # scores (N,) of subsets that are the same for all images
    oracle_NK: NDArray[np.float64]  # score of the subset of each size (1 .. B) that changes an image's score least
    interaction_NP: NDArray[np.float64]  # Shapley interaction of every pair of blocks, MOS units
    change_NR: NDArray[np.float64]  # mean absolute change of the score over the subsets of 0 .. B blocks, MOS units


def scan_part(part: Part, grid: Grid, kept_NC: NDArray[np.int64], fixed: Sequence[int]) -> Scanned:
    """The pass over one file; arrays in the order of ``part.rows``."""
    sizes = grid.sizes()
    by_size = [np.flatnonzero(sizes == size) for size in range(1, grid.blocks + 1)]
    pairs = list(combinations(range(grid.blocks), 2))
    count = len(part.rows)
    picked_NC = np.full(kept_NC.shape, np.nan)
    fixed_NC, oracle_NK = np.empty((count, len(fixed))), np.empty((count, grid.blocks))
    interaction_NP, change_NR = np.empty((count, len(pairs))), np.empty((count, grid.blocks + 1))
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    for where, scores_NS in stream_scores(part, grid):
        kept = kept_NC[where]
        picked = np.take_along_axis(scores_NS, np.maximum(kept, 0), axis=1)
        picked_NC[where] = np.where(kept >= 0, picked, np.nan)
        fixed_NC[where] = scores_NS[:, list(fixed)]
        change_NS = np.abs(scores_NS - scores_NS[:, grid.full, None])
        change_NR[where, 0] = change_NS[:, 0]
        for place, subsets in enumerate(by_size):
            least_N = subsets[np.argmin(change_NS[:, subsets], axis=1)]
            oracle_NK[where, place] = scores_NS[np.arange(len(scores_NS)), least_N]
            change_NR[where, place + 1] = change_NS[:, subsets].mean(1, dtype=np.float64)
        if pairs:
            interaction_NP[where] = interaction(scores_NS)[:, first, second]
    return Scanned(picked_NC, dict(zip(fixed, fixed_NC.T, strict=True)), oracle_NK, interaction_NP, change_NR)


def scan_all(
    images: Images, grid: Grid, curves: Sequence[Curve], fixed: Sequence[int], mapper: Mapper = in_process
) -> Scanned:
    """The pass over all files of a run: the subsets of per-image curves one after the other, and the ``fixed`` ones."""
    kept_NC = np.concatenate([curve.kept_NK for curve in curves if curve.kept_NK is not None], axis=1)
    pairs, count = grid.blocks * (grid.blocks - 1) // 2, len(images)
    fixed = sorted(set(fixed) - {UNDEFINED})
    result = Scanned(
        np.empty(kept_NC.shape),
        {subset: np.empty(count) for subset in fixed},
        np.empty((count, grid.blocks)),
        np.empty((count, pairs)),
        np.empty((count, grid.blocks + 1)),
    )
    work = [(part, grid, kept_NC[part.positions], fixed) for part in images.parts]
    for part, found in zip(images.parts, mapper(scan_part, work), strict=True):
        result.picked_NC[part.positions] = found.picked_NC
        result.oracle_NK[part.positions] = found.oracle_NK
        result.interaction_NP[part.positions] = found.interaction_NP
        result.change_NR[part.positions] = found.change_NR
        for subset, scores_N in found.fixed.items():
            result.fixed[subset][part.positions] = scores_N
    return result
