"""Everything that the tables of a run need of its 2^B scores an image: two passes over files, one over subsets.

Shape suffixes: N images in order of image id, P picks, S = 2^B subsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.statistics.moments import Moments
from halfiqa_ray.statistics.spearman import columns_within
from halfiqa_ray.tables.stored import scan
from halfiqa_ray.tables.stored.reading import Images
from halfiqa_ray.tables.stored.scan import Mapper

# Subset columns of all images that one worker holds to rank them.
CHUNK_BYTES = 256 << 20
NO_SPLIT = -1


@dataclass(frozen=True)
class Scores:
    """What the first pass leaves of a run."""

    against_score: dict[str, Moments]  # by scope: all subsets against the unmasked prediction
    against_mos: dict[str, Moments]  # of the images with MOS
    picked_NP: NDArray[np.float64]
    least_N: NDArray[np.float64]  # scores of the per-image oracle
    most_N: NDArray[np.float64]


def scan_scores(images: Images, grid: Grid, kept_NP: NDArray[np.int64], mapper: Mapper) -> Scores:
    """The first pass: moments of every scope, the oracle, and the scores of ``kept_NP`` (-1 gives NaN)."""
    numbers = {name: i for i, name in enumerate(sorted({s for s in images.split if s is not None}))}
    split_N = np.array([NO_SPLIT if s is None else numbers[s] for s in images.split], dtype=np.int64)
    work = [
        (part, grid, split_N[part.positions], images.mos_N[part.positions], kept_NP[part.positions])
        for part in images.parts
    ]
    count, nothing = len(images), Moments.empty(grid.subsets)
    picked_NP, least_N, most_N = np.full(kept_NP.shape, np.nan), np.full(count, np.nan), np.full(count, np.nan)
    by_split: dict[int, tuple[Moments, Moments]] = {}
    for part, found in zip(images.parts, mapper(scan.scan, work), strict=True):
        picked_NP[part.positions] = found.picked_NP
        least_N[part.positions], most_N[part.positions] = found.least_N, found.most_N
        for split, moments in found.against_score.items():
            score, mos = by_split.get(split, (nothing, nothing))
            by_split[split] = (score.merge(moments), mos.merge(found.against_mos[split]))
    against_score, against_mos = {}, {}
    for scope in images.scopes():
        members = [by_split[numbers[scope]]] if scope in numbers else list(by_split.values())
        score, mos = nothing, nothing
        for of_score, of_mos in members:
            score, mos = score.merge(of_score), mos.merge(of_mos)
        against_score[scope], against_mos[scope] = score, mos
    return Scores(against_score, against_mos, picked_NP, least_N, most_N)


def rank_correlations(
    images: Images, grid: Grid, mapper: Mapper, workers: int
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Spearman correlation of all subsets, (S,) with the unmasked prediction and (S,) with MOS, of every scope.

    Each of ``workers`` holds at most about ``CHUNK_BYTES`` of scores, and reads the whole run once a chunk.
    """
    scopes = images.scopes()
    references = [images.score_N] + ([images.mos_N] if np.isfinite(images.mos_N).any() else [])
    chunk = min(columns_within(CHUNK_BYTES, len(images)), -(-grid.subsets // workers))
    starts = range(0, grid.subsets, chunk)
    work = [
        (images.parts, grid, start, min(start + chunk, grid.subsets), list(scopes.values()), references)
        for start in starts
    ]
    result = np.full((len(scopes), 2, grid.subsets), np.nan)
    for start, found in zip(starts, mapper(scan.rank_correlations, work), strict=True):
        result[:, : len(references), start : start + chunk] = found
    return {scope: (result[i, 0], result[i, 1]) for i, scope in enumerate(scopes)}


def pick_scores(images: Images, grid: Grid, subsets: Sequence[int], mapper: Mapper) -> dict[int, NDArray[np.float64]]:
    """Scores (N,) of a few subsets for all images, by subset."""
    if not subsets:
        return {}
    result = np.empty((len(images), len(subsets)))
    work = [(part, grid, subsets) for part in images.parts]
    for part, found in zip(images.parts, mapper(scan.pick, work), strict=True):
        result[part.positions] = found
    return dict(zip(subsets, result.T, strict=True))
