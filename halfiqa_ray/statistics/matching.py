"""How well two halves of the blocks match, and how well two halves drawn at random would (Section 4.2 of the paper).

The matching number of an image is how many blocks of its important half are in the half that a measure finds high:
0 .. h with h = B // 2. Shape suffix: N images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom


def matching_number(important_N: NDArray[np.integer], high_N: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number of blocks that are in both halves (bit masks) of every image: int64 (N,)."""
    both_N = important_N.astype(np.uint64) & high_N.astype(np.uint64)
    return np.bitwise_count(both_N).astype(np.int64)


def chance_histogram(blocks: int) -> NDArray[np.float64]:
    """Probability of the matching numbers 0 .. B // 2 of two halves drawn at random, (B // 2 + 1,).

    Hypergeometric: of ``blocks`` blocks B // 2 are important, and B // 2 are drawn.
    """
    half = blocks // 2
    return np.asarray(hypergeom.pmf(np.arange(half + 1), blocks, half, half))


def chance_at_least(blocks: int) -> NDArray[np.float64]:
    """Probability that two random halves match in at least 0 .. B // 2 blocks, (B // 2 + 1,)."""
    return chance_histogram(blocks)[::-1].cumsum()[::-1].clip(0, 1)
