"""Every subset over a data set: how its scores agree with the unmasked prediction and with MOS; and `image_plcc`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.masking.importance import image_plcc_importance, important_half
from halfiqa_ray.statistics.moments import Moments
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.writing import nulls


@dataclass(frozen=True)
class ScopeStatistics:
    """Agreement of all 2^B subsets over the images of one scope."""

    scope: str
    against_score: Moments
    against_mos: Moments
    srcc_score: NDArray[np.float64]  # (2^B,)
    srcc_mos: NDArray[np.float64]


def subset_statistics(run: Run, scopes: list[ScopeStatistics]) -> pa.Table:
    """One row a scope and subset, columns of ``schema.SUBSET_STATISTICS``."""
    grid = run.grid
    tables = []
    for found in scopes:
        score, mos = found.against_score, found.against_mos
        columns = {
            "dataset": [run.dataset] * grid.subsets,
            "run": [run.key] * grid.subsets,
            "scope": [found.scope] * grid.subsets,
            "subset": range(grid.subsets),
            "blocks_kept": grid.sizes(),
            "n": [score.n] * grid.subsets,
            "plcc": nulls(score.plcc()),
            "srcc": nulls(found.srcc_score),
            "rmse": nulls(score.rmse()),
            "n_mos": [mos.n] * grid.subsets,
            "plcc_mos": nulls(mos.plcc()),
            "srcc_mos": nulls(found.srcc_mos),
            "rmse_mos": nulls(mos.rmse()),
            "synthetic": [run.synthetic] * grid.subsets,
        }
        tables.append(pa.table(columns, schema=schema.SUBSET_STATISTICS))
    return pa.concat_tables(tables)


def dataset_importance(run: Run, scopes: list[ScopeStatistics]) -> pa.Table:
    """The data-set-wide rule `image_plcc`: one row a scope, columns of ``schema.DATASET_IMPORTANCE``."""
    rows = []
    for found in scopes:
        importance, half = image_plcc_split(run, found)
        rows.append(
            {
                "dataset": run.dataset,
                "run": run.key,
                "scope": found.scope,
                "rule": "image_plcc",
                "n": found.against_score.n,
                "rows": run.grid.rows,
                "columns": run.grid.columns,
                "importance": nulls(importance),
                "important": half or None,
                "synthetic": run.synthetic,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.DATASET_IMPORTANCE)


def image_plcc_split(run: Run, found: ScopeStatistics) -> tuple[NDArray[np.float64], int]:
    """Importance of every block (B,) and the one important half (0 where undefined) by the rule `image_plcc`."""
    importance = image_plcc_importance(run.grid, found.against_score.plcc())
    return importance, int(important_half(importance[None])[0])
