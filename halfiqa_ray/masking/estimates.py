"""Shapley values from a few evaluations, as they are estimated where not all 2^B subsets can be had.

Both estimators are linear in the scores once their subsets are drawn, so each draw is one matrix, and the same draw
serves any number of images. ``evaluations`` counts every score that is asked for, those of nothing and of everything
kept included; a subset that is drawn twice is counted twice, as it is where nobody remembers.
Shape suffixes: S = 2^B subsets (bit set = block kept), K = B blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.grid import MAXIMUM_BLOCKS


def permutation_matrix(blocks: int, evaluations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Mean gain of each block as blocks join in random orders (Castro et al., Computers & OR 36, 2009): (S, K).

    An order costs B - 1 evaluations. Raises ValueError for fewer evaluations than one order takes.
    """
    orders = (evaluations - 2) // (blocks - 1) if blocks > 1 else 1
    _check(blocks, orders, f"{evaluations} evaluations are not enough for one order of {blocks} blocks")
    matrix = np.zeros((1 << blocks, blocks))
    for _ in range(orders):
        kept = 0
        for block in rng.permutation(blocks):
            matrix[kept, block] -= 1
            kept |= 1 << int(block)
            matrix[kept, block] += 1
    return matrix / orders


def kernel_matrix(blocks: int, evaluations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """KernelSHAP: weighted least squares over subsets drawn by their Shapley kernel weight, each with its rest: (S, K).

    Lundberg and Lee (arXiv 1705.07874), Theorem 2; pairs of a subset and its rest, and the solution under the
    constraint that values add up, by Covert and Lee (arXiv 2012.01536), Sections 3 and 4. Where too few subsets were
    drawn to tell all blocks apart it is the smallest solution. Raises ValueError for less than one pair.
    """
    pairs = (evaluations - 2) // 2
    _check(blocks, pairs, f"{evaluations} evaluations are not enough for two subsets beside none and all")
    if blocks == 1:
        return np.array([[-1.0], [1.0]])
    sizes = np.arange(1, blocks)
    weight = 1 / (sizes * (blocks - sizes))
    drawn = np.zeros(1 << blocks)
    for size in rng.choice(sizes, pairs, p=weight / weight.sum()):
        subset = int((1 << rng.permutation(blocks)[:size]).sum())
        drawn[subset] += 1
        drawn[(1 << blocks) - 1 ^ subset] += 1
    kept_SK = (np.arange(1 << blocks)[:, None] >> np.arange(blocks) & 1).astype(np.float64)
    share_S = drawn / drawn.sum()
    inverse_KK = np.linalg.pinv(kept_SK.T @ (share_S[:, None] * kept_SK), hermitian=True)
    # b = sum of share * z * (v(S) - v(nothing)), linear in v.
    b_KS = (share_S[:, None] * kept_SK).T
    b_KS[:, 0] -= b_KS.sum(1)
    total_S = np.zeros(1 << blocks)
    total_S[-1], total_S[0] = 1, -1
    free_KS = inverse_KK @ b_KS
    rows_K = inverse_KK.sum(1)
    return (free_KS - np.outer(rows_K / rows_K.sum(), free_KS.sum(0) - total_S)).T


ESTIMATORS: dict[str, Callable[[int, int, np.random.Generator], NDArray[np.float64]]] = {
    "permutations": permutation_matrix,
    "kernel_shap": kernel_matrix,
}


def _check(blocks: int, draws: int, too_few: str) -> None:
    if blocks not in range(1, MAXIMUM_BLOCKS + 1):
        raise ValueError(f"1 to {MAXIMUM_BLOCKS} blocks, not {blocks}")
    if draws < 1:
        raise ValueError(too_few)
