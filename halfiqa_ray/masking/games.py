"""Exact values of the game v(K) = score with the blocks K kept, from all 2^B scores at once.

Every value is linear in the scores, so it is one product with a fixed matrix, in float64. Definitions: Shapley
(1953); Banzhaf (1965); the pairwise interaction indices of Grabisch and Roubens (1999).
Shape suffixes: N images, S = 2^B subsets (bit set = block kept), K = B blocks.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halfiqa_ray.masking.grid import MAXIMUM_BLOCKS

Game = Literal["shapley", "banzhaf"]
# Subsets x pairs of one interaction matrix in memory at a time (8 bytes each: 32 MiB).
_CELLS = 1 << 22


def shapley(subset_scores: ArrayLike) -> NDArray[np.float64]:
    """Signed Shapley value of every block: (N, 2^B) scores to (N, B), in the unit of the scores.

    The values of an image add up to score(everything kept) - score(everything masked).
    Raises ValueError when the last axis is not 2^B with B of 1 to 16.
    """
    scores_NS, blocks = _game(subset_scores)
    return scores_NS @ _value_matrix(blocks, "shapley")


def banzhaf(subset_scores: ArrayLike) -> NDArray[np.float64]:
    """Signed Banzhaf value of every block: mean change of the score when it joins one of the other subsets.

    Shapes, unit and errors as for `shapley`.
    """
    scores_NS, blocks = _game(subset_scores)
    return scores_NS @ _value_matrix(blocks, "banzhaf")


def interaction(subset_scores: ArrayLike, game: Game = "shapley") -> NDArray[np.float64]:
    """Pairwise interaction index: (N, 2^B) scores to a symmetric (N, B, B) with a zero diagonal.

    Above 0 two blocks matter more together than apart, below 0 they stand in for each other. ``shapley`` weighs
    subset sizes alike, ``banzhaf`` subsets. Raises ValueError as `shapley` does.
    """
    scores_NS, blocks = _game(subset_scores)
    result = np.zeros((len(scores_NS), blocks, blocks))
    pairs = list(combinations(range(blocks), 2))
    step = max(1, _CELLS >> blocks)
    for start in range(0, len(pairs), step):
        part = pairs[start : start + step]
        matrix = np.stack([_interaction_column(blocks, a, b, game) for a, b in part], axis=1)
        for (a, b), values_N in zip(part, (scores_NS @ matrix).T, strict=True):
            result[:, a, b] = result[:, b, a] = values_N
    return result


def _game(subset_scores: ArrayLike) -> tuple[NDArray[np.float64], int]:
    scores_NS = np.asarray(subset_scores, dtype=np.float64)
    subsets = scores_NS.shape[-1] if scores_NS.ndim == 2 else 0
    blocks = subsets.bit_length() - 1
    if blocks not in range(1, MAXIMUM_BLOCKS + 1) or subsets != 1 << blocks:
        raise ValueError(
            f"subset scores must be (images, 2^blocks) with 1 to {MAXIMUM_BLOCKS} blocks, got {scores_NS.shape}"
        )
    return scores_NS, blocks


def _members(blocks: int) -> NDArray[np.int64]:
    """0 or 1 for every subset and block: (S, K)."""
    return np.arange(1 << blocks)[:, None] >> np.arange(blocks) & 1


def _size_weights(others: int, game: Game) -> NDArray[np.float64]:
    """Weight of a subset of t = 0 .. ``others`` other blocks: alike for each size, or alike for each subset."""
    if game == "banzhaf":
        return np.full(others + 1, 0.5**others)
    return np.array([1 / ((others + 1) * comb(others, t)) for t in range(others + 1)])


@lru_cache(maxsize=4)
def _value_matrix(blocks: int, game: Game) -> NDArray[np.float64]:
    """(S, K): +w for subsets with the block, -w for those without; w by the number of *other* blocks kept."""
    kept_SK = _members(blocks)
    others_SK = kept_SK.sum(1, keepdims=True) - kept_SK
    matrix = np.where(kept_SK == 1, 1.0, -1.0) * _size_weights(blocks - 1, game)[others_SK]
    matrix.flags.writeable = False  # it is shared by all callers
    return matrix


def _interaction_column(blocks: int, a: int, b: int, game: Game) -> NDArray[np.float64]:
    """(S,): +w for subsets with both or none of the two blocks, -w with one; w by the other blocks kept."""
    kept_SK = _members(blocks)
    of_pair_S = kept_SK[:, a] + kept_SK[:, b]
    others_S = kept_SK.sum(1) - of_pair_S
    return np.where(of_pair_S == 1, -1.0, 1.0) * _size_weights(blocks - 2, game)[others_S]
