"""Which photos a figure shows: named ones, or those that tell most about a rule's halves, and what is stored of them.

Shape suffixes: N images of a run in order of image id, K blocks, S = 2^B subsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.stored import of_scope, rows_of, substitute
from halfiqa_ray.statistics.pearson import pearson
from halfiqa_ray.tables.stored.curves import read_importance
from halfiqa_ray.tables.stored.reading import Images, Run, read_images, stream_scores


@dataclass(frozen=True)
class Halved:
    """The images of a run with their halves by one rule. Arrays are NaN, and halves 0, where an image has none."""

    run: Run
    images: Images
    rule: str
    said: str  # what to say when it is not the rule that was asked for
    half_N: NDArray[np.int64]
    importance_NK: NDArray[np.float64]
    trivial_masked_N: NDArray[np.float64]  # scores, MOS units
    important_masked_N: NDArray[np.float64]

    @property
    def gap_N(self) -> NDArray[np.float64]:
        """How much more a score changes by masking the important than by masking the trivial half (N,)."""
        score_N = self.images.score_N
        return np.abs(self.important_masked_N - score_N) - np.abs(self.trivial_masked_N - score_N)

    def spearman(self, means_NK: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rank correlation over the blocks of every image of its importance with some block means (N,)."""
        known_N = np.isfinite(means_NK).all(1) & np.isfinite(self.importance_NK).all(1)
        result_N = np.full(len(self.images), np.nan)
        ranks = (rankdata(values_NK[known_N], axis=1) for values_NK in (self.importance_NK, means_NK))
        if known_N.any():
            result_N[known_N] = pearson(*ranks)
        return result_N

    def first(self, value_N: NDArray[np.float64], count: int, among: Iterable[str] | None = None) -> list[int]:
        """Positions of the images with the highest values, each of another source photo; ties by image id."""
        allowed = None if among is None else set(among)
        chosen: dict[str, int] = {}
        for at in np.argsort(-value_N, kind="stable"):
            is_there = np.isfinite(value_N[at]) and (allowed is None or self.images.image_id[at] in allowed)
            if is_there and len(chosen) < count:
                chosen.setdefault(self.images.photo[at], int(at))
        return list(chosen.values())

    def named(self, image_ids: Sequence[str]) -> list[int]:
        """Positions of some images. Those that the run does not have are left out."""
        place = {image_id: at for at, image_id in enumerate(self.images.image_id)}
        return [place[image_id] for image_id in image_ids if image_id in place]


def read_halved(output: str, run: Run, rule: str) -> Halved:
    """Read a run's halves by a rule, and the scores of both. Raises Missing when no image has halves.

    The scores of all subsets are streamed once.
    """
    images, grid = read_images(run), run.grid
    halves, importance = dict(images.halves), read_importance(images, grid)
    if rule == "image_plcc":
        (row,) = of_scope(rows_of(output, "dataset_importance", run, schema.DATASET_IMPORTANCE))
        halves[rule] = np.full(len(images), row["important"] or 0, np.int64)
        of_all = np.array([np.nan if value is None else value for value in row["importance"]], dtype=np.float64)
        importance[rule] = np.broadcast_to(of_all, (len(images), grid.blocks))
    shown, said = substitute(rule, {name for name, half_N in halves.items() if half_N.any()})
    masked = masked_scores(images, grid, halves[shown])
    return Halved(run, images, shown, said, halves[shown], importance[shown], *masked)


def masked_scores(
    images: Images, grid: Grid, half_N: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores with the trivial and with the important half masked, (N,) each; NaN where ``half_N`` is 0."""
    trivial_N, important_N = (np.full(len(images), np.nan) for _ in range(2))
    for part in images.parts:
        for where, scores_NS in stream_scores(part, grid):
            at = part.positions[where]
            half, each = half_N[at], np.arange(len(at))
            trivial_N[at] = np.where(half > 0, scores_NS[each, half], np.nan)
            important_N[at] = np.where(half > 0, scores_NS[each, grid.full ^ half], np.nan)
    return trivial_N, important_N
