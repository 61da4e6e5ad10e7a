"""Spearman's rank correlation of many columns with one vector, from exact average ranks over all rows.

Ranks do not merge across partitions, so a chunk of columns is held whole: ``columns_within`` says how many fit in a
given memory. Shape suffixes: N rows (images), K columns (subsets).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halfiqa_ray.statistics.pearson import quotient, varies

# Beside the chunk itself (float32), ranking works on one column at a time: order, ranks, runs, float64 copies.
WORKING_BYTES_A_ROW = 64


def columns_within(maximum_bytes: int, rows: int) -> int:
    """How many float32 columns of ``rows`` rows may be held so that ranking them stays within ``maximum_bytes``.

    At least 1: a single column must fit whatever the bound.
    """
    return max(1, (maximum_bytes - WORKING_BYTES_A_ROW * rows) // (4 * max(rows, 1)))


def average_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks 1 .. N of a vector (N,), tied values sharing their average rank. Values must not be NaN."""
    order, ranks = _ranks_in_order(np.asarray(values))
    result = np.empty(len(order))
    result[order] = ranks
    return result


def spearman(columns: NDArray[np.floating], y: ArrayLike) -> NDArray[np.float64]:
    """Rank correlation of every row of ``columns`` (K, N: one subset a row, contiguous) with ``y`` (N,).

    Returns (K,) in [-1, 1]. NaN where the *values* of a side do not vary (the rule in ``pearson.py``): the ranks of
    rounding noise would vary. Raises ValueError when lengths differ.
    """
    y_N = np.asarray(y)
    if columns.ndim != 2 or y_N.shape != columns.shape[1:]:
        raise ValueError(f"columns of shape {columns.shape} do not fit a vector of shape {y_N.shape}")
    result_K = np.full(len(columns), np.nan)
    if len(y_N) == 0 or not _varies(y_N):
        return result_K
    middle = (len(y_N) + 1) / 2
    rank_y_N = average_ranks(y_N) - middle
    spread_y = np.sqrt(_dot(rank_y_N, rank_y_N))
    for k, x_N in enumerate(columns):
        order, ranks = _ranks_in_order(x_N)
        ranks -= middle
        spread = np.sqrt(_dot(ranks, ranks)) * spread_y
        result_K[k] = quotient(_dot(ranks, rank_y_N[order]), spread, _varies(x_N))
    return result_K


def _ranks_in_order(values_N: NDArray[np.generic]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The sorting order of a vector, and the average rank of each value in that order."""
    order = np.argsort(values_N)
    ascending = values_N[order]
    starts = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1])[: len(order)])
    lengths = np.diff(np.append(starts, len(order)))
    return order, np.repeat(starts + (lengths + 1) / 2, lengths)


def _varies(values_N: NDArray[np.generic]) -> NDArray[np.bool_]:
    wide_N = values_N.astype(np.float64)
    return varies(wide_N.mean(), wide_N.std())


def _dot(a_N: NDArray[np.float64], b_N: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not BLAS: its threads take longer to meet than one needs for a vector, the more so on a busy machine.
    return np.einsum("n,n->", a_N, b_N)
