"""Passes over the stored subset scores of a run, one file or one range of subsets at a time.

Each function is a piece of work that runs in this process or in any other: it takes a part of a run and gives back
little. Shape suffixes: N images, S = 2^B subsets, P picks, K columns (a range of subsets).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.statistics.moments import Moments
from halfiqa_ray.statistics.spearman import spearman
from halfiqa_ray.tables.stored.reading import Part, stream_scores

Result = TypeVar("Result")
# Runs a function on every tuple of arguments and gives the results in order: here, or on a cluster.
Mapper = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterable[Any]]
# Columns that are copied at a time to rank the images of one scope.
COPIED_COLUMNS = 64


def in_process(function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]]) -> Iterable[Result]:
    """The mapper that runs everything in this process."""
    return starmap(function, arguments)


@dataclass(frozen=True)
class Scanned:
    """What one pass over a file leaves of it."""

    against_score: dict[int, Moments]  # by split number: subset scores against the unmasked scores
    against_mos: dict[int, Moments]  # of the images with MOS
    picked_NP: NDArray[np.float64]  # scores of the subsets that were asked for, image by image
    least_N: NDArray[np.float64]  # score with the half masked whose masking changes the score least
    most_N: NDArray[np.float64]  # and most


def scan(
    part: Part,
    grid: Grid,
    split_N: NDArray[np.int64],
    mos_N: NDArray[np.float64],
    kept_NP: NDArray[np.int64],
) -> Scanned:
    """One pass over a file's images. The arrays are in the order of ``part.rows``; NaN = no MOS.

    ``kept_NP`` names subsets whose scores are wanted, image by image (-1 gives NaN).
    """
    count = len(part.rows)
    result = Scanned({}, {}, np.full(kept_NP.shape, np.nan), np.full(count, np.nan), np.full(count, np.nan))
    # Masking a trivial half keeps B // 2 blocks, masking an important one the rest (the same number for an even B).
    keeps_least, keeps_most = grid.halves(), grid.full ^ grid.halves()
    for where, scores_NS in stream_scores(part, grid):
        full_N = scores_NS[:, grid.full].astype(np.float64)
        splits, mos, kept = split_N[where], mos_N[where], kept_NP[where]
        for split in np.unique(splits):
            rows = splits == split
            _add(result.against_score, int(split), scores_NS[rows], full_N[rows])
            rows = rows & np.isfinite(mos)
            _add(result.against_mos, int(split), scores_NS[rows], mos[rows])
        picked = np.take_along_axis(scores_NS, np.maximum(kept, 0), axis=1)
        result.picked_NP[where] = np.where(kept >= 0, picked, np.nan)
        result.least_N[where] = _extreme(scores_NS, keeps_least, full_N, np.argmin)
        result.most_N[where] = _extreme(scores_NS, keeps_most, full_N, np.argmax)
    return result


def pick(part: Part, grid: Grid, subsets: Sequence[int]) -> NDArray[np.float64]:
    """Scores of a few subsets for every image of a file, in the order of ``part.rows``: float64 (N, P)."""
    result = np.empty((len(part.rows), len(subsets)))
    for where, scores_NS in stream_scores(part, grid):
        result[where] = scores_NS[:, list(subsets)]
    return result


def rank_correlations(
    parts: Sequence[Part],
    grid: Grid,
    start: int,
    stop: int,
    scopes: Sequence[NDArray[np.int64]],
    references: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Spearman correlations of the subsets ``start`` .. ``stop - 1`` over all images of a run.

    ``scopes`` are positions in order of image id, ``references`` (N,) vectors in that order (NaN leaves an image
    out). Returns float64 (scopes, references, K); NaN where a side does not vary. Holds the chunk as float32, 4 * N *
    K bytes, and reads every file once.
    """
    images = sum(len(part.rows) for part in parts)
    columns_KN = np.empty((stop - start, images), np.float32)
    for part in parts:
        for where, scores_NS in stream_scores(part, grid):
            columns_KN[:, part.positions[where]] = scores_NS[:, start:stop].T
    result = np.full((len(scopes), len(references), stop - start), np.nan)
    for s, positions in enumerate(scopes):
        for r, reference_N in enumerate(references):
            there = positions[np.isfinite(reference_N[positions])]
            for first in range(0, stop - start, COPIED_COLUMNS):
                some = slice(first, first + COPIED_COLUMNS)
                result[s, r, some] = spearman(np.take(columns_KN[some], there, axis=1), reference_N[there])
    return result


def _add(sums: dict[int, Moments], split: int, x_NS: NDArray[np.float32], y_N: NDArray[np.float64]) -> None:
    found = Moments.of(x_NS, y_N)
    sums[split] = sums[split].merge(found) if split in sums else found


def _extreme(
    scores_NS: NDArray[np.float32],
    subsets: NDArray[np.int64],
    full_N: NDArray[np.float64],
    choose: Callable[..., NDArray[np.intp]],
) -> NDArray[np.float64]:
    """The score among ``subsets`` that ``choose`` finds by its change; on a tie the lower number of kept half."""
    of_halves = scores_NS[:, subsets]
    index = choose(np.abs(of_halves - full_N[:, None].astype(np.float32)), axis=1)
    return np.take_along_axis(of_halves, index[:, None], axis=1)[:, 0].astype(np.float64)
