"""Do blocks work together or stand in for each other? Mean Shapley interaction of every two blocks, and by distance.

Shape suffixes: N images, P pairs of blocks.
"""

from __future__ import annotations

from itertools import combinations
from math import hypot
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import Images, Run
from halfiqa_ray.tables.writing import table_of


def interactions(
    run: Run, images: Images, interaction_NP: NDArray[np.float64], resampling: Resampling
) -> tuple[pa.Table, pa.Table]:
    """Columns of ``schema.INTERACTION`` and ``schema.INTERACTION_DISTANCE``.

    ``interaction_NP`` holds the pairs (0, 1), (0, 2), ... (``second_pass.Scanned``). Distances are between the
    centres of two blocks, in blocks.
    """
    grid = run.grid
    pairs = list(combinations(range(grid.blocks), 2))
    if not pairs:
        return table_of([], schema.INTERACTION), table_of([], schema.INTERACTION_DISTANCE)
    places = [divmod(block, grid.columns) for block in range(grid.blocks)]
    distance_P = np.array([hypot(*np.subtract(places[a], places[b])) for a, b in pairs])
    distances, of_P = np.unique(distance_P, return_inverse=True)
    by_distance = np.eye(len(distances))[of_P] / np.bincount(of_P)
    magnitude_NP = np.abs(interaction_NP)
    each: list[dict[str, Any]] = []
    far: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        units = Units.of(images, at)
        columns = [interaction_NP[at], magnitude_NP[at]]
        columns += [some @ by_distance for some in columns]
        found = mean_intervals(np.concatenate(columns, axis=1), units, resampling)
        start = {"dataset": run.dataset, "run": run.key, "scope": scope, "n": len(at), "synthetic": run.synthetic}
        for i, (first, second) in enumerate(pairs):
            each.append(
                start
                | {"rows": grid.rows, "columns": grid.columns, "first": first, "second": second}
                | {"distance": float(distance_P[i])}
                | interval_columns("mean", i, found)
                | interval_columns("magnitude", len(pairs) + i, found)
            )
        for i, distance in enumerate(distances):
            column = 2 * len(pairs) + i
            far.append(
                start
                | {"distance": float(distance), "pairs": int((of_P == i).sum())}
                | interval_columns("mean", column, found)
                | interval_columns("magnitude", column + len(distances), found)
            )
    return table_of(each, schema.INTERACTION), table_of(far, schema.INTERACTION_DISTANCE)
