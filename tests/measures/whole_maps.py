"""The measures once more, each in the plainest way: whole maps, one operation after the other.

An oracle for what the package computes in pieces, and what benchmarks/measures_speed.py compares it with.
"""

import functools
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
from scipy import fft
from scipy.sparse import csgraph

from halfiqa_ray.masking.grid import block_edges
from halfiqa_ray.measures import boundary_connectivity, measures, saliency
from halfiqa_ray.measures.superpixels import CELL, COMPACTNESS, ITERATIONS, Superpixels


@contextmanager
def instead():
    """The package measures by the functions here."""
    with ExitStack() as stack:
        for module, names in (
            (measures, "luma bilinear frequency_maps average"),
            (saliency, "grey8 bilinear"),
            (boundary_connectivity, "superpixels bilinear"),
        ):
            for name in names.split():
                stack.enter_context(mock.patch.object(module, name, globals()[name]))
        stack.enter_context(mock.patch.object(csgraph, "floyd_warshall", csgraph.dijkstra))
        yield


@functools.lru_cache(maxsize=2)
def rings(height, width):
    """The band of every coefficient."""
    radius = np.hypot(np.arange(height)[:, None] * (50 / height), np.arange(width) * (50 / width))
    ring = np.minimum(radius * (10 / 50), 9).astype(np.int8)
    ring[0, 0] = -1
    return ring


def frequency_maps(luma, weights):
    """Ten whole inverse transforms, and their weighted magnitudes."""
    coefficients = fft.dctn(luma - np.float32(luma.mean(dtype=np.float64)), norm="ortho")
    ring = rings(*luma.shape)
    maps = np.zeros((len(weights), *luma.shape), np.float32)
    for band in range(10):
        response = fft.idctn(np.where(ring == band, coefficients, np.float32(0)), norm="ortho", overwrite_x=True)
        magnitude = np.abs(response, out=response)
        for one, weight in zip(maps, np.asarray(weights, np.float32)[:, band], strict=True):
            one += weight * magnitude
    return maps


def luma(pixels):
    """BT.601 luma of whole channels."""
    red, green, blue = (pixels[..., i].astype(np.float32) for i in range(3))
    return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue


def grey8(pixels):
    """The same, rounded to 8 bits."""
    red, green, blue = (pixels[..., i].astype(np.int32) for i in range(3))
    return ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15).astype(np.uint8)


def bilinear(values, height, width):
    """Every target cell from its four neighbours."""

    def neighbours(length, target):
        position = (np.arange(target) + 0.5) * length / target - 0.5
        first = np.floor(position).astype(int)
        second = (first + 1).clip(0, length - 1)
        return first.clip(0, length - 1), second, (position - first).astype(values.dtype)

    above, below, down = neighbours(values.shape[0], height)
    left, right, across = neighbours(values.shape[1], width)
    wide = values[:, left] * (1 - across) + values[:, right] * across
    return wide[above] * (1 - down)[:, None] + wide[below] * down[:, None]


def average(maps):
    """The mean of maps scaled to [0, 1]; a constant one is 0."""
    total = np.zeros(maps[0].shape, np.float32)
    for one in maps:
        low, high = one.min(), one.max()
        if high - low > 1e-6 * max(abs(low), abs(high)):
            total += (one - low) / (high - low)
    return total / np.float32(len(maps))


def block_means(values, grid):
    """Sums over the rows of each block, then over its columns."""
    down, across = block_edges(values.shape[0], grid.rows), block_edges(values.shape[1], grid.columns)
    sums = np.add.reduceat(values, down[:-1], axis=0, dtype=np.float64)
    sums = np.add.reduceat(sums, across[:-1], axis=1)
    return (sums / (np.diff(down)[:, None] * np.diff(across))).ravel().astype(np.float32)


def superpixels(lab):
    """By the distances of all pixels to one candidate centre each, nine times."""
    height, width = lab.shape[:2]
    rows, columns = (max(1, round(length / CELL)) for length in (height, width))
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    labels = row[:, None] * columns + column
    place = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1) * 1.0
    features = np.concatenate([lab, place * (COMPACTNESS / CELL)], axis=-1)
    channels = np.ascontiguousarray(np.moveaxis(features, -1, 0), dtype=np.float32)
    centres = means(labels, features, rows * columns, 0)
    for _ in range(ITERATIONS):
        best = np.full((height, width), np.inf, np.float32)
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                candidate = (row + down).clip(0, rows - 1)[:, None] * columns + (column + across).clip(0, columns - 1)
                distance = np.zeros((height, width), np.float32)
                for channel, centre in zip(channels, centres.T.astype(np.float32), strict=True):
                    apart = channel - centre.take(candidate)
                    apart *= apart
                    distance += apart
                closer = distance < best
                np.copyto(best, distance, where=closer)
                np.copyto(labels, candidate, where=closer)
        centres = means(labels, features, rows * columns, centres)
    left = np.bincount(labels.ravel(), minlength=rows * columns) > 0
    count = int(left.sum())
    labels = (np.cumsum(left) - 1)[labels]
    touch = np.zeros((count, count), dtype=bool)
    touch[labels[1:], labels[:-1]] = touch[labels[:, 1:], labels[:, :-1]] = True
    border = np.isin(np.arange(count), np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    colour, where = means(labels, lab, count, 0), means(labels, place / max(height, width), count, 0)
    return Superpixels(labels, colour, where, np.argwhere(np.triu(touch | touch.T, 1)), border)


def means(labels, values, count, empty):
    """Mean of every channel in every piece."""
    flat = labels.ravel()
    size = np.bincount(flat, minlength=count)[:, None]
    sums = [np.bincount(flat, channel, count) for channel in values.reshape(-1, values.shape[-1]).T]
    return np.where(size > 0, np.stack(sums, axis=1) / np.maximum(size, 1), empty)
