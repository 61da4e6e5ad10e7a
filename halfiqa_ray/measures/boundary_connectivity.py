"""The objectness that needs no download: foreground by boundary connectivity. It is not the paper's objectness.

What stands apart from the image's border is foreground. The photo is cut into superpixels; one whose colour reaches
the border through similar colours is background, one that differs from that background is foreground, and a quadratic
energy settles both. Computed, not trained:

- superpixels: SLIC (`superpixels`);
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

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.sparse import csgraph, linalg

from halfiqa_ray.measures.pixels import Map, Pixels, bilinear, check_pixels
from halfiqa_ray.measures.superpixels import Floats, Superpixels, superpixels

LONGEST_SIDE = 256  # of the small image
COLOUR_SIGMA = 10.0  # CIELAB units
BOUNDARY_SIGMA = 1.0
PLACE_SIGMA = 0.25  # of the image's longest side
SMOOTHNESS = 0.1
LEAST_WEIGHT = 1e-6  # keeps the energy solvable where nothing else holds a superpixel


def boundary_connectivity(pixels_HW3: Pixels) -> Map:
    """How much every pixel of an RGB uint8 photo belongs to a foreground object: float32 (H, W) in [0, 1].

    Not a probability. A photo of one colour has none: 0 everywhere. Raises ValueError for anything but such a photo.
    """
    return bilinear(small_boundary_connectivity(pixels_HW3), *pixels_HW3.shape[:2])


def small_boundary_connectivity(pixels_HW3: Pixels) -> Map:
    """The same at the size of the small image, before it is enlarged: float32 (h, w), sides of `LONGEST_SIDE` at most.

    Raises ValueError for anything but an RGB uint8 photo.
    """
    check_pixels(pixels_HW3)
    pieces = superpixels(_lab(_shrink(pixels_HW3)))
    return _foreground(pieces).astype(np.float32)[pieces.labels_HW]


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


def _foreground(pieces: Superpixels) -> Floats:
    """The foreground value of every superpixel in [0, 1]: float64 (P,)."""
    colour_PP = _distances(pieces.colour_P3)
    place_PP = _distances(pieces.place_P2)
    background_P = _background(pieces, colour_PP)
    near_PP = np.exp(-(place_PP**2) / (2 * PLACE_SIGMA**2))
    contrast_P = (colour_PP * near_PP * background_P[None, :]).sum(1)
    # A single superpixel, or one colour everywhere: nothing stands apart.
    if contrast_P.max() <= LEAST_WEIGHT:
        return np.zeros_like(contrast_P)
    return _settle(pieces, colour_PP, background_P, contrast_P / contrast_P.max())


def _distances(vectors_PC: Floats) -> Floats:
    """Euclidean distances between all rows, (P, P). Without a matrix product, whose rounding depends on threads."""
    squares_PP = np.zeros((len(vectors_PC), len(vectors_PC)))
    for values_P in vectors_PC.T:
        squares_PP += np.subtract.outer(values_P, values_P) ** 2
    return np.sqrt(squares_PP)


def _background(pieces: Superpixels, colour_PP: Floats) -> Floats:
    """How surely each superpixel is background, in [0, 1], from its boundary connectivity."""
    count = len(colour_PP)
    # All superpixels at the border are neighbours of each other: an object may cut the background in two.
    linked_PP = pieces.border_P[:, None] & pieces.border_P
    linked_PP[tuple(pieces.edges_E2.T)] = True
    first, second = np.nonzero(np.triu(linked_PP, 1))
    nearest_P = np.full(count, np.inf)
    np.minimum.at(nearest_P, pieces.edges_E2.ravel(), np.repeat(colour_PP[tuple(pieces.edges_E2.T)], 2))
    clip = nearest_P[np.isfinite(nearest_P)].mean() if len(pieces.edges_E2) else 0.0
    # A stored zero would be an edge that is not there.
    length_E = np.maximum(colour_PP[first, second] - clip, 0) + 1e-9
    graph = sparse.csr_array((length_E, (first, second)), shape=(count, count))
    # With the border's more than a thousand edges, twice as fast as Dijkstra's algorithm.
    apart_PP = csgraph.floyd_warshall(graph, directed=False)
    similar_PP = np.exp(-(apart_PP**2) / (2 * COLOUR_SIGMA**2))
    along_border_P = (similar_PP * pieces.border_P[None, :]).sum(1)
    connectivity_P = along_border_P / np.sqrt(similar_PP.sum(1))
    return 1 - np.exp(-(connectivity_P**2) / (2 * BOUNDARY_SIGMA**2))


def _settle(pieces: Superpixels, colour_PP: Floats, background_P: Floats, foreground_P: Floats) -> Floats:
    """The values s of least energy: sum b s^2 + sum f (s - 1)^2 + sum over neighbours w (s - t)^2."""
    first, second = pieces.edges_E2.T
    weight_E = np.exp(-(colour_PP[first, second] ** 2) / (2 * COLOUR_SIGMA**2)) + SMOOTHNESS
    count = len(background_P)
    weights = sparse.coo_array((weight_E, (first, second)), shape=(count, count))
    weights = (weights + weights.T).tocsr()
    pull_P = background_P + foreground_P + LEAST_WEIGHT + weights.sum(axis=1)
    system = sparse.diags_array(pull_P) - weights
    return linalg.spsolve(system.tocsc(), foreground_P).clip(0, 1)
