"""Centred moments of many columns against one vector, that merge across partitions of the rows.

With them the correlation and error of all 2^B subset scores over a data set cost one pass in any order, on any
number of machines. Shape suffixes: N rows (images), K columns (subsets).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halfiqa_ray.statistics.pearson import quotient, varies


@dataclass(frozen=True)
class Moments:
    """Sums over ``n`` rows, centred on the means so that nothing cancels, all float64.

    The squared error is kept as a sum of its own: taken from the other sums it would be rounding noise exactly
    where a column is close to the vector.
    """

    n: int
    mean_x: NDArray[np.float64]  # (K,)
    mean_y: float
    m2_x: NDArray[np.float64]  # (K,) sum of (x - mean_x)^2
    m2_y: float
    c_xy: NDArray[np.float64]  # (K,) sum of (x - mean_x)(y - mean_y)
    squared_error: NDArray[np.float64]  # (K,) sum of (x - y)^2

    @classmethod
    def empty(cls, columns: int) -> Moments:
        """The moments of no rows: merging them changes nothing."""
        zeros = np.zeros(columns)
        return cls(0, zeros, 0.0, zeros, 0.0, zeros, zeros)

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike) -> Moments:
        """Moments of columns ``x`` (N, K) against ``y`` (N,), computed in two passes in float64.

        Raises ValueError when the row counts differ or a value is not finite.
        """
        x_NK, y_N = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if x_NK.ndim != 2 or y_N.shape != x_NK.shape[:1]:
            raise ValueError(f"columns of shape {x_NK.shape} do not fit a vector of shape {y_N.shape}")
        n = len(y_N)
        if n == 0:
            return cls.empty(x_NK.shape[1])
        error_NK = x_NK - y_N[:, None]
        squared_error_K = np.einsum("nk,nk->k", error_NK, error_NK)
        if not np.isfinite(squared_error_K).all():
            raise ValueError("a value is not finite: correlations over it would be meaningless")
        mean_K, mean_y = x_NK.mean(0), float(y_N.mean())
        x_NK, y_N = x_NK - mean_K, y_N - mean_y
        # What rounding left in the means is taken out again; it matters for values far from 0.
        rest_K, rest_y = x_NK.mean(0), float(y_N.mean())
        return cls(
            n=n,
            mean_x=mean_K + rest_K,
            mean_y=mean_y + rest_y,
            m2_x=np.einsum("nk,nk->k", x_NK, x_NK) - n * rest_K**2,
            m2_y=float(y_N @ y_N) - n * rest_y**2,
            c_xy=y_N @ x_NK - n * rest_K * rest_y,
            squared_error=squared_error_K,
        )

    def merge(self, other: Moments) -> Moments:
        """Moments of the rows of both (pairwise update of Chan, Golub and LeVeque, 1979)."""
        n = self.n + other.n
        if n == 0 or other.n == 0:
            return self
        if self.n == 0:
            return other
        step_x, step_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        share, weight = other.n / n, self.n * (other.n / n)
        return Moments(
            n=n,
            mean_x=self.mean_x + step_x * share,
            mean_y=self.mean_y + step_y * share,
            m2_x=self.m2_x + other.m2_x + step_x**2 * weight,
            m2_y=self.m2_y + other.m2_y + step_y**2 * weight,
            c_xy=self.c_xy + other.c_xy + step_x * (step_y * weight),
            squared_error=self.squared_error + other.squared_error,
        )

    def plcc(self) -> NDArray[np.float64]:
        """Pearson's correlation of every column with the vector (K,); NaN where a side does not vary."""
        if self.n == 0:
            return np.full(self.mean_x.shape, np.nan)
        std_x = np.sqrt(np.maximum(self.m2_x, 0) / self.n)
        std_y = np.sqrt(max(self.m2_y, 0.0) / self.n)
        exists = varies(self.mean_x, std_x) & varies(self.mean_y, std_y)
        return quotient(self.c_xy / self.n, std_x * std_y, exists)

    def rmse(self) -> NDArray[np.float64]:
        """Root mean squared difference of every column from the vector (K,), in their unit; NaN for no rows."""
        if self.n == 0:
            return np.full(self.mean_x.shape, np.nan)
        return np.sqrt(self.squared_error / self.n)


def merge_all(parts: Iterable[Moments], columns: int) -> Moments:
    """Merge any number of moments of ``columns`` columns; none gives the moments of no rows."""
    merged = Moments.empty(columns)
    for part in parts:
        merged = merged.merge(part)
    return merged
