"""Is an order of the blocks faithful to the model: how fast the score moves as blocks go, and settles as they come.

From the stored scores of all subsets, exactly and at no further pass, for each rule, measure and explanation. Blocks
are masked in the transformer, most important first (deletion), or kept, most important first (insertion): Petsiuk et
al., "RISE" (arXiv 1806.07421), Section 3.3, with two changes. A quality score has no winning class, so what counts is
the absolute change from the whole image's score; and the step is a block. The area under deletion is then the mean
"comprehensiveness", that under insertion the mean "sufficiency" of DeYoung et al., "ERASER" (arXiv 1911.03429),
Section 4, of absolute values: a faithful order has a large first and a small second one.

The random order is exact too: its expected area is that of the mean change over all subsets of a size, the same for
deletion and insertion, so its gap is 0.
Shape suffixes: N images, K = B blocks, R = B + 1 numbers of blocks, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.beyond.agreement import Weights
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.curves import LEAST, MOST, Curve, image_curves
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import Images, Run
from halfiqa_ray.tables.stored.second_pass import Scanned
from halfiqa_ray.tables.writing import table_of

RANDOM = "random order"
VALUES = ("deletion", "insertion", "gap", "deletion_less_random", "random_less_insertion", "better")


def order_curves(grid: Grid, orders: Sequence[Weights]) -> list[Curve]:
    """The subsets that each order keeps, two curves an order: its most, and its least important blocks first."""
    return image_curves(grid, {one.name: one.values_NK for one in orders}, {one.name: one.half_N for one in orders})


def faithfulness(
    run: Run,
    images: Images,
    orders: Sequence[tuple[str, Weights]],
    curves: Sequence[Curve],
    scanned: Scanned,
    rule: str,
    resampling: Resampling,
) -> pa.Table:
    """Columns of ``schema.FAITHFULNESS``.

    ``orders`` are kinds (rule, measure, explanation) and block weights, ``curves`` their `order_curves`, whose scores
    stand in ``scanned.picked_NC``. ``scanned.fixed`` holds subset 0.
    """
    full_N, nothing_N, blocks = images.score_N, scanned.fixed[0], run.grid.blocks
    random_N = area(scanned.change_NR)
    values, taken = {}, 0
    for curve in curves:
        values[curve.name, curve.order] = scanned.picked_NC[:, taken : taken + blocks]
        taken += blocks
    rows: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        units = Units.of(images, at)
        start = {"dataset": run.dataset, "run": run.key, "scope": scope, "synthetic": run.synthetic}
        columns_NC = []
        for _, order in orders:
            most_NK, least_NK = values[order.name, MOST], values[order.name, LEAST]
            deleted_NR = np.concatenate([least_NK[:, ::-1], nothing_N[:, None]], axis=1)
            inserted_NR = np.concatenate([nothing_N[:, None], most_NK], axis=1)
            deletion_N, insertion_N = (area(np.abs(v_NR - full_N[:, None])) for v_NR in (deleted_NR, inserted_NR))
            gap_N = deletion_N - insertion_N
            better_N = np.where(np.isfinite(gap_N), gap_N > 0, np.nan)
            columns_NC += [deletion_N, insertion_N, gap_N, deletion_N - random_N, random_N - insertion_N, better_N]
        x_NC = np.stack([*columns_NC, random_N], axis=1)[at]
        found = mean_intervals(x_NC, units, resampling)
        for number, (kind, order) in enumerate(orders):
            first = number * len(VALUES)
            row = start | {"kind": kind, "name": order.name, "default_rule": order.name == rule, **units.columns()}
            row |= {"n": int(np.isfinite(x_NC[:, first]).sum()), "note": units.note()}
            for place, name in enumerate(VALUES):
                row |= interval_columns(name, first + place, found)
            rows.append(row if row["n"] else row | {"note": "no image with this order"})
        row = start | {"kind": "random", "name": RANDOM, "default_rule": False, **units.columns(), "n": len(at)}
        for name in ("deletion", "insertion"):
            row |= interval_columns(name, x_NC.shape[1] - 1, found)
        rows.append(row | {"gap": 0.0, "note": units.note()})
    return table_of(rows, schema.FAITHFULNESS)


def area(change_NR: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area under changes at 0 .. B blocks, over the share of blocks from 0 to 1: (N, B + 1) to (N,), MOS units."""
    result: NDArray[np.float64] = trapezoid(change_NR, dx=1 / (change_NR.shape[1] - 1), axis=1)
    return result
