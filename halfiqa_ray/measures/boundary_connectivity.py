"""The objectness that needs no download: foreground by boundary connectivity. It is not the paper's objectness.

What stands apart from the image's border is foreground. The photo is cut into superpixels; one whose colour reaches
the border through similar colours is background, one that differs from that background is foreground, and a quadratic
energy settles both. Computed, not trained:

- superpixels: SLIC (Achanta et al., TPAMI 2012), colour and place clustered within windows;
- boundary connectivity, background-weighted contrast and the energy: W. Zhu, S. Liang, Y. Wei, J. Sun, "Saliency
  optimization from robust background detection" (CVPR 2014), with its constants;
- clipping of small steps on a path: Y. Wei, F. Wen, W. Zhu, J. Sun, "Geodesic saliency using background priors"
  (ECCV 2012).

How good it is, on photographs with foregrounds laid into them (benchmarks/results/objectness_default.md): AUC .92 for
foregrounds from another photo that the border does not cut (centre prior .80), .64 where it does (.26), and only .69
for foregrounds from the same photo, less than the centre prior's .78.

Shape suffixes: H and W rows and columns of the small image, 3 CIELAB channels, P superpixels, E edges between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse
from scipy.sparse import csgraph, linalg

from halfiqa_ray.measures.pixels import Map, Pixels, bilinear, check_pixels

LONGEST_SIDE = 256  # of the small image
CELL = 16  # side of a superpixel's starting cell in its pixels: 192 superpixels for a 3 : 4 photo
ITERATIONS = 5  # of the clustering
COMPACTNESS = 20.0  # CIELAB units that one cell of distance counts as
COLOUR_SIGMA = 10.0  # CIELAB units
BOUNDARY_SIGMA = 1.0
PLACE_SIGMA = 0.25  # of the image's longest side
SMOOTHNESS = 0.1
LEAST_WEIGHT = 1e-6  # keeps the energy solvable where nothing else holds a superpixel

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Superpixels:
    """A photo cut into pieces: where they are, what they look like, which ones touch."""

    labels_HW: NDArray[np.int64]
    colour_P3: Floats  # mean CIELAB
    place_P2: Floats  # mean row and column, in shares of the longest side
    edges_E2: NDArray[np.int64]  # pairs of neighbours, each once, the lower label first
    border_P: NDArray[np.bool_]  # touches the image's border


def boundary_connectivity(pixels_HW3: Pixels) -> Map:
    """How much every pixel of an RGB uint8 photo belongs to a foreground object: float32 (H, W) in [0, 1].

    Not a probability. A photo of one colour has none: 0 everywhere. Raises ValueError for anything but such a photo.
    """
    check_pixels(pixels_HW3)
    height, width = pixels_HW3.shape[:2]
    superpixels = _superpixels(_lab(_shrink(pixels_HW3)))
    foreground_P = _foreground(superpixels).astype(np.float32)
    return bilinear(foreground_P[superpixels.labels_HW], height, width)


def _shrink(pixels_HW3: Pixels) -> Pixels:
    height, width = pixels_HW3.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels_HW3).resize(size, Image.Resampling.BILINEAR))


def _lab(pixels_HW3: Pixels) -> Floats:
    """CIELAB (D65) of sRGB pixels (IEC 61966-2-1, CIE 15)."""
    encoded = np.arange(256) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    red, green, blue = (linear[pixels_HW3[..., i]] for i in range(3))
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    fx, fy, fz = (np.where(v > (6 / 29) ** 3, np.cbrt(v), v * (29 / 6) ** 2 / 3 + 4 / 29) for v in (x, y, z))
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def _superpixels(lab_HW3: Floats) -> Superpixels:
    """Cluster pixels around a grid of starting cells: each joins its own cell's cluster or one of the eight around."""
    height, width = lab_HW3.shape[:2]
    rows, columns = max(1, round(height / CELL)), max(1, round(width / CELL))
    row_H, column_W = np.arange(height) * rows // height, np.arange(width) * columns // width
    labels_HW = row_H[:, None] * columns + column_W[None, :]
    place_HW2 = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1) * 1.0
    feature_HWF = np.concatenate([lab_HW3, place_HW2 * (COMPACTNESS / CELL)], axis=-1)
    # Float32 is enough to choose the nearest centre and twice as fast.
    feature_FHW = np.ascontiguousarray(feature_HWF.transpose(2, 0, 1), dtype=np.float32)
    centre_PF = _means(labels_HW, feature_HWF, rows * columns)
    near = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    for _ in range(ITERATIONS):
        best_HW = np.full((height, width), np.inf, np.float32)
        for down, across in near:
            row = (row_H + down).clip(0, rows - 1)
            column = (column_W + across).clip(0, columns - 1)
            candidate_HW = row[:, None] * columns + column[None, :]
            distance_HW = np.zeros((height, width), np.float32)
            for feature_HW, centre_P in zip(feature_FHW, centre_PF.T.astype(np.float32), strict=True):
                apart_HW = feature_HW - centre_P.take(candidate_HW)
                apart_HW *= apart_HW
                distance_HW += apart_HW
            closer_HW = distance_HW < best_HW
            np.copyto(best_HW, distance_HW, where=closer_HW)
            np.copyto(labels_HW, candidate_HW, where=closer_HW)
        centre_PF = _means(labels_HW, feature_HWF, rows * columns, centre_PF)
    # Clusters that lost all their pixels go.
    left_P = np.bincount(labels_HW.ravel(), minlength=rows * columns) > 0
    count = int(left_P.sum())
    labels_HW = (np.cumsum(left_P) - 1)[labels_HW]
    touch_PP = np.zeros((count, count), dtype=bool)
    touch_PP[labels_HW[1:], labels_HW[:-1]] = True
    touch_PP[labels_HW[:, 1:], labels_HW[:, :-1]] = True
    border_P = np.zeros(count, dtype=bool)
    for side in (labels_HW[0], labels_HW[-1], labels_HW[:, 0], labels_HW[:, -1]):
        border_P[side] = True
    return Superpixels(
        labels_HW,
        _means(labels_HW, lab_HW3, count),
        _means(labels_HW, place_HW2 / max(height, width), count),
        np.argwhere(np.triu(touch_PP | touch_PP.T, 1)),
        border_P,
    )


def _means(labels_HW: NDArray[np.int64], values_HWC: Floats, count: int, empty: Floats | None = None) -> Floats:
    """Mean of every channel in every piece, (P, C); a piece without pixels keeps its row of ``empty``."""
    flat = labels_HW.ravel()
    size_P = np.bincount(flat, minlength=count)
    channels = values_HWC.reshape(-1, values_HWC.shape[-1]).T
    sums_PC = np.stack([np.bincount(flat, weights=channel, minlength=count) for channel in channels], axis=1)
    means_PC = sums_PC / np.maximum(size_P, 1)[:, None]
    return means_PC if empty is None else np.where(size_P[:, None] > 0, means_PC, empty)


def _foreground(superpixels: Superpixels) -> Floats:
    """The foreground value of every superpixel in [0, 1]: float64 (P,)."""
    colour_PP = _distances(superpixels.colour_P3)
    place_PP = _distances(superpixels.place_P2)
    background_P = _background(superpixels, colour_PP)
    near_PP = np.exp(-(place_PP**2) / (2 * PLACE_SIGMA**2))
    contrast_P = (colour_PP * near_PP * background_P[None, :]).sum(1)
    # A single superpixel, or one colour everywhere: nothing stands apart.
    if contrast_P.max() <= LEAST_WEIGHT:
        return np.zeros_like(contrast_P)
    return _settle(superpixels, colour_PP, background_P, contrast_P / contrast_P.max())


def _distances(vectors_PC: Floats) -> Floats:
    """Euclidean distances between all rows, (P, P). Without a matrix product, whose rounding depends on threads."""
    return np.sqrt(((vectors_PC[:, None] - vectors_PC[None]) ** 2).sum(-1))


def _background(superpixels: Superpixels, colour_PP: Floats) -> Floats:
    """How surely each superpixel is background, in [0, 1], from its boundary connectivity."""
    count = len(colour_PP)
    # All superpixels at the border are neighbours of each other: an object may cut the background in two.
    linked_PP = superpixels.border_P[:, None] & superpixels.border_P
    linked_PP[tuple(superpixels.edges_E2.T)] = True
    first, second = np.nonzero(np.triu(linked_PP, 1))
    step_E = colour_PP[first, second]
    nearest_P = np.full(count, np.inf)
    np.minimum.at(nearest_P, superpixels.edges_E2.ravel(), np.repeat(colour_PP[tuple(superpixels.edges_E2.T)], 2))
    clip = nearest_P[np.isfinite(nearest_P)].mean() if len(superpixels.edges_E2) else 0.0
    # A stored zero would be an edge that is not there.
    length_E = np.maximum(step_E - clip, 0) + 1e-9
    graph = sparse.csr_array((length_E, (first, second)), shape=(count, count))
    similar_PP = np.exp(-(csgraph.dijkstra(graph, directed=False) ** 2) / (2 * COLOUR_SIGMA**2))
    along_border_P = (similar_PP * superpixels.border_P[None, :]).sum(1)
    connectivity_P = along_border_P / np.sqrt(similar_PP.sum(1))
    return 1 - np.exp(-(connectivity_P**2) / (2 * BOUNDARY_SIGMA**2))


def _settle(superpixels: Superpixels, colour_PP: Floats, background_P: Floats, foreground_P: Floats) -> Floats:
    """The values s of least energy: sum b s^2 + sum f (s - 1)^2 + sum over neighbours w (s - t)^2."""
    first, second = superpixels.edges_E2.T
    weight_E = np.exp(-(colour_PP[first, second] ** 2) / (2 * COLOUR_SIGMA**2)) + SMOOTHNESS
    count = len(background_P)
    weights = sparse.coo_array((weight_E, (first, second)), shape=(count, count))
    weights = (weights + weights.T).tocsr()
    pull_P = background_P + foreground_P + LEAST_WEIGHT + weights.sum(axis=1)
    system = sparse.diags_array(pull_P) - weights
    return linalg.spsolve(system.tocsc(), foreground_P).clip(0, 1)
