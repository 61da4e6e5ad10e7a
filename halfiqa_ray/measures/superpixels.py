"""Superpixels by SLIC (Achanta et al., TPAMI 2012): colour and place clustered within windows.

Shape suffixes: H and W rows and columns of the image, N its pixels row by row, 3 CIELAB channels, F features (CIELAB,
row, column), P superpixels or the cells that they start from, E edges between them; I and J rows and columns of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL = 16  # side of a superpixel's starting cell in pixels: 192 superpixels for 192 x 256
ITERATIONS = 5  # of the clustering
COMPACTNESS = 20.0  # CIELAB units that one cell of distance counts as

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Superpixels:
    """An image cut into pieces: where they are, what they look like, which ones touch."""

    labels_HW: Indices
    colour_P3: Floats  # mean CIELAB
    place_P2: Floats  # mean row and column, in shares of the longest side
    edges_E2: Indices  # pairs of neighbours, each once, the lower label first
    border_P: NDArray[np.bool_]  # touches the image's border


@dataclass(frozen=True)
class _Cells:
    """How the pixels of an image lie in the cells of a grid; smaller cells repeat their last pixels."""

    cell_N: Indices  # of every pixel
    pixel_IJP: Indices  # which pixel lies at every place of every cell
    place_N: Indices  # where every pixel lies in an array (I, J, P)
    near_9P: Indices  # every cell's own number, and those of the eight around it; at the border some are repeated

    @classmethod
    def of(cls, height: int, width: int) -> _Cells:
        """The cells of an image, all about `CELL` wide and high."""
        down, across = _Axis.of(height), _Axis.of(width)
        shape = down.pixel_IR.shape[0], across.pixel_IR.shape[0], down.cells * across.cells
        pixel_IJRC = down.pixel_IR[:, None, :, None] * width + across.pixel_IR[None, :, None, :]
        cell_HW = down.cell_N[:, None] * across.cells + across.cell_N
        place_HW = (down.place_N[:, None] * shape[1] + across.place_N) * shape[2] + cell_HW
        steps = (-1, 0, 1)
        near = [down.near(i)[:, None] * across.cells + across.near(j) for i in steps for j in steps]
        return cls(cell_HW.ravel(), pixel_IJRC.reshape(shape), place_HW.ravel(), np.array([n.ravel() for n in near]))


@dataclass(frozen=True)
class _Axis:
    """The same along one axis."""

    cells: int
    cell_N: Indices
    place_N: Indices  # in its cell
    pixel_IR: Indices  # at every place of every cell R

    @classmethod
    def of(cls, length: int) -> _Axis:
        cells = max(1, round(length / CELL))
        cell_N = np.arange(length) * cells // length
        first_R = np.searchsorted(cell_N, np.arange(cells))
        size_R = np.diff(first_R, append=length)
        pixel_IR = first_R + np.minimum(np.arange(size_R.max())[:, None], size_R - 1)
        return cls(cells, cell_N, np.arange(length) - first_R[cell_N], pixel_IR)

    def near(self, step: int) -> Indices:
        """The cell a step further, or the last one there."""
        return (np.arange(self.cells) + step).clip(0, self.cells - 1)


def superpixels(lab_HW3: Floats) -> Superpixels:
    """Cluster pixels around a grid of starting cells: each joins its own cell's cluster or one of the eight around."""
    height, width = lab_HW3.shape[:2]
    cells = _Cells.of(height, width)
    place_FHW = np.indices((height, width)) * (COMPACTNESS / CELL)
    feature_FN = np.concatenate([lab_HW3.reshape(-1, 3).T, place_FHW.reshape(2, -1)])
    # Float32 is enough to choose the nearest centre and twice as fast.
    feature_FIJP = feature_FN.astype(np.float32)[:, cells.pixel_IJP]
    label_N = cells.cell_N
    centre_FP = _means(label_N, feature_FN, np.zeros((len(feature_FN), cells.near_9P.shape[1])))
    for _ in range(ITERATIONS):
        nearest_IJP = _nearest(feature_FIJP, centre_FP.astype(np.float32), cells.near_9P)
        label_N = cells.near_9P[nearest_IJP.ravel()[cells.place_N], cells.cell_N]
        centre_FP = _means(label_N, feature_FN, centre_FP)
    # Clusters that lost all their pixels go.
    left_P = np.bincount(label_N, minlength=centre_FP.shape[1]) > 0
    labels_HW = (np.cumsum(left_P) - 1)[label_N].reshape(height, width)
    place_P2 = centre_FP[3:, left_P].T / (COMPACTNESS / CELL * max(height, width))
    return Superpixels(labels_HW, centre_FP[:3, left_P].T, place_P2, *_neighbours(labels_HW, int(left_P.sum())))


def _nearest(feature_FIJP: NDArray[np.float32], centre_FP: NDArray[np.float32], near_9P: Indices) -> NDArray[np.uint8]:
    """Which of its nine centres every pixel is nearest to, the first of equal ones: 0 to 8, (I, J, P)."""
    # A pixel's row is that of all its row, its column that of all its column.
    parts = [*feature_FIJP[:3], feature_FIJP[3, :, :1], feature_FIJP[4, :1]]
    nearest_IJP = np.zeros(feature_FIJP.shape[1:], np.uint8)
    least_IJP = np.full(nearest_IJP.shape, np.inf, np.float32)
    distance_IJP, apart_IJP = np.empty_like(least_IJP), np.empty_like(least_IJP)
    for number, candidate_P in enumerate(near_9P):
        for feature, part in enumerate(parts):
            out = apart_IJP[: part.shape[0], : part.shape[1]] if feature else distance_IJP
            np.subtract(part, centre_FP[feature, candidate_P], out=out)
            out *= out
            if feature:
                distance_IJP += out
        closer_IJP = distance_IJP < least_IJP
        np.minimum(least_IJP, distance_IJP, out=least_IJP)
        # Numbers rise: the last one that was closer counts.
        np.maximum(nearest_IJP, closer_IJP.view(np.uint8) * np.uint8(number), out=nearest_IJP)
    return nearest_IJP


def _means(label_N: Indices, values_FN: Floats, empty_FP: Floats) -> Floats:
    """Mean of every feature in every piece, (F, P); a piece without pixels keeps its column of ``empty_FP``."""
    count = empty_FP.shape[1]
    size_P = np.bincount(label_N, minlength=count)
    sums_FP = np.stack([np.bincount(label_N, weights=value_N, minlength=count) for value_N in values_FN])
    return np.where(size_P > 0, sums_FP / np.maximum(size_P, 1), empty_FP)


def _neighbours(labels_HW: Indices, count: int) -> tuple[Indices, NDArray[np.bool_]]:
    """Which pieces touch, (E, 2), and which touch the border, (P,)."""
    touch_PP = np.zeros((count, count), dtype=bool)
    touch_PP[labels_HW[1:], labels_HW[:-1]] = True
    touch_PP[labels_HW[:, 1:], labels_HW[:, :-1]] = True
    border_P = np.zeros(count, dtype=bool)
    for side in (labels_HW[0], labels_HW[-1], labels_HW[:, 0], labels_HW[:, -1]):
        border_P[side] = True
    return np.argwhere(np.triu(touch_PP | touch_PP.T, 1)), border_P
