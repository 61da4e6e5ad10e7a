"""How far estimates of Shapley values are from the exact ones, by what they cost.

All 2^B scores of every image are stored, so the truth is known, and so is what an estimate from any subsets would have
been: no further pass. Every number is the mean over images of the mean over `DRAWS` draws; all images share the draws.
Shape suffixes: N images, S = 2^B subsets, K = B blocks, C columns (estimator, evaluations, number).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.masking.estimates import ESTIMATORS
from halfiqa_ray.masking.games import shapley
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import important_half
from halfiqa_ray.statistics.matching import matching_number
from halfiqa_ray.statistics.pearson import pearson
from halfiqa_ray.tables.beyond.agreement import ranks
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import Images, Part, Run, stream_scores
from halfiqa_ray.tables.stored.scan import Mapper, in_process
from halfiqa_ray.tables.writing import table_of

EVALUATIONS = (64, 256, 1024)
DRAWS = 10
VALUES = ("error", "spearman", "overlap")


def costs(grid: Grid) -> tuple[int, ...]:
    """The `EVALUATIONS` that are enough for an estimate and fewer than all subsets."""
    return tuple(cost for cost in EVALUATIONS if grid.blocks < cost < grid.subsets)


def matrices(grid: Grid, seed: int) -> dict[tuple[str, int], list[NDArray[np.float64]]]:
    """`DRAWS` estimating matrices (S, K) of every estimator and cost that is below that of all subsets."""
    return {
        (name, cost): [make(grid.blocks, cost, np.random.default_rng([seed, cost, draw])) for draw in range(DRAWS)]
        for name, make in ESTIMATORS.items()
        for cost in costs(grid)
    }


def estimate_part(part: Part, drawn: Sequence[Sequence[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Error, rank correlation and overlap of every image of a file, averaged over draws: (N, estimators x 3)."""
    grid_blocks = drawn[0][0].shape[1]
    half = max(grid_blocks // 2, 1)
    grid = Grid(1, grid_blocks)
    found_NC = np.empty((len(part.rows), len(drawn) * len(VALUES)))
    for where, scores_NS in stream_scores(part, grid):
        value_NS = scores_NS.astype(np.float64)
        exact_NK = shapley(value_NS)
        exact_ranks, exact_half = ranks(np.abs(exact_NK)), important_half(np.abs(exact_NK))
        for place, some in enumerate(drawn):
            each = []
            for matrix in some:
                estimate_NK = value_NS @ matrix
                size_NK = np.abs(estimate_NK)
                each.append(
                    (
                        np.abs(estimate_NK - exact_NK).mean(1),
                        pearson(ranks(size_NK), exact_ranks),
                        matching_number(important_half(size_NK), exact_half) / half,
                    )
                )
            found_NC[where, place * len(VALUES) : (place + 1) * len(VALUES)] = np.mean(each, axis=0).T
    return found_NC


def shapley_estimates(
    run: Run, images: Images, resampling: Resampling, exact_NK: NDArray[np.float64], mapper: Mapper = in_process
) -> pa.Table:
    """Columns of ``schema.SHAPLEY_ESTIMATES``; empty for a grid of so few blocks that no estimate is cheaper.

    ``exact_NK`` are the magnitudes of the exact values, the yardstick of the relative error.
    """
    drawn = matrices(run.grid, resampling.seed)
    if not drawn:
        return table_of([], schema.SHAPLEY_ESTIMATES)
    value_NC = np.empty((len(images), len(drawn) * len(VALUES)))
    work = [(part, list(drawn.values())) for part in images.parts]
    for part, found in zip(images.parts, mapper(estimate_part, work), strict=True):
        value_NC[part.positions] = found
    rows: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        units = Units.of(images, at)
        found_C = mean_intervals(value_NC[at], units, resampling)
        start = {"dataset": run.dataset, "run": run.key, "scope": scope, "n": len(at), "synthetic": run.synthetic}
        size = float(np.nanmean(exact_NK[at])) if len(at) else float("nan")
        for number, (name, cost) in enumerate(drawn):
            row: dict[str, Any] = start | {"estimator": name, "evaluations": cost, "draws": DRAWS, **units.columns()}
            for place, value in enumerate(VALUES):
                row |= interval_columns(value, number * len(VALUES) + place, found_C)
            relative = row["error"] / size if size else float("nan")
            rows.append(row | {"relative": relative, "share": cost / run.grid.subsets, "note": units.note()})
    return table_of(rows, schema.SHAPLEY_ESTIMATES)
