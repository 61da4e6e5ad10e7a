"""Is an order of the blocks faithful to the model: how fast the score moves as blocks go, and settles as they come.

From the stored scores of all subsets, exactly and at no further pass, for each rule, measure and explanation. Blocks
are masked in the transformer, most important first (deletion), or kept, most important first (insertion): Petsiuk et
al., "RISE" (arXiv 1806.07421), Section 3.3, with two changes. A quality score has no winning class, so what counts is
the absolute change from the whole image's score; and the step is a block. A faithful order has a large area under
deletion and a small one under insertion.

Comprehensiveness and sufficiency are those of DeYoung et al., "ERASER" (arXiv 1911.03429), Section 4: with m the model,
x the input and r the rationale, m(x) - m(x without r) and m(x) - m(r alone), of the probability of the predicted class.
Here m is the score, x the image's blocks, and the difference is absolute, for a defect raises a score when it goes. The
rationale is the important half (their hard rationale); or, for a whole order, the mean over their bins, the first 1, 5,
10, 20 and 50% of the blocks, rounded up to blocks (their released scorer does so; the formula of their paper counts the
empty rationale too). A faithful order has a large comprehensiveness and a small sufficiency. The areas above are these
two at every number of blocks.

For other models, and for fills of pixels (masking/fills.py), there are no scores of all subsets: blocks are filled
along an order where ``zero.curves`` asked for it, and the random order is one drawn for each image.

The random order of masked blocks is exact too: its expected area is that of the mean change over all subsets of a size,
the same for deletion and insertion, so its gap is 0. Intervals of differences from either are paired, image by image.
Shape suffixes: N images, K = B blocks, R = B + 1 numbers of blocks, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from halfiqa_ray.tables.stored.derived import Zeroed
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import Images, Run
from halfiqa_ray.tables.stored.second_pass import Scanned
from halfiqa_ray.tables.table1 import kind_of
from halfiqa_ray.tables.writing import table_of

RANDOM = "random order"
MASKED = "masked"  # in the place of a fill
VALUES = ("deletion", "insertion", "gap", "deletion_less_random", "random_less_insertion", "better")
# Of the important half, and of the mean over ERASER's bins; the random order has them too.
ERASER = ("comprehensiveness", "sufficiency", "comprehensiveness_bins", "sufficiency_bins")
BINS = (0.01, 0.05, 0.1, 0.2, 0.5)  # of the blocks


def order_curves(grid: Grid, orders: Sequence[Weights]) -> list[Curve]:
    """The subsets that each order keeps, two curves an order: its most, and its least important blocks first."""
    return image_curves(grid, {one.name: one.values_NK for one in orders}, {one.name: one.half_N for one in orders})


@dataclass(frozen=True)
class Changes:
    """Absolute changes of every image's score, MOS units, with 0 .. B blocks deleted (N, R) and inserted (N, R)."""

    kind: str
    name: str
    deleted_NR: NDArray[np.float64]
    inserted_NR: NDArray[np.float64]
    model: str | None = None
    fill: str = MASKED


def changes(
    run: Run, images: Images, orders: Sequence[tuple[str, Weights]], curves: Sequence[Curve], scanned: Scanned
) -> list[Changes]:
    """The changes along every order, then those of the random one, which are exact expectations.

    ``orders`` are kinds (rule, measure, explanation) and block weights, ``curves`` their `order_curves`, whose scores
    stand in ``scanned.picked_NC``. ``scanned.fixed`` holds subset 0.
    """
    full_N1, nothing_N1 = images.score_N[:, None], scanned.fixed[0][:, None]
    blocks = scanned.change_NR.shape[1] - 1
    model = run.metadata.get("model")
    values, taken = {}, 0
    for curve in curves:
        values[curve.name, curve.order] = scanned.picked_NC[:, taken : taken + blocks]
        taken += blocks
    found = []
    for kind, order in orders:
        deleted_NR = np.concatenate([values[order.name, LEAST][:, ::-1], nothing_N1], axis=1)
        inserted_NR = np.concatenate([nothing_N1, values[order.name, MOST]], axis=1)
        deleted_NR, inserted_NR = np.abs(deleted_NR - full_N1), np.abs(inserted_NR - full_N1)
        found.append(Changes(kind, order.name, deleted_NR, inserted_NR, model))
    return [*found, Changes("random", RANDOM, scanned.change_NR[:, ::-1], scanned.change_NR, model)]


def filled_changes(models: Sequence[Zeroed]) -> list[Changes]:
    """The changes along the orders that were filled, model by model, the random order last."""
    found = []
    for model in models:
        for ranking in sorted(model.orders, key=lambda name: (kind_of(name) == "control", kind_of(name) != "rule")):
            deleted_NR, inserted_NR = (np.abs(each_NR - model.score_N[:, None]) for each_NR in model.orders[ranking])
            of_random = kind_of(ranking) == "control"
            kind, name = ("random", RANDOM) if of_random else (kind_of(ranking), ranking)
            found.append(Changes(kind, name, deleted_NR, inserted_NR, model.model, model.fill))
    return found


def faithfulness(run: Run, images: Images, found: Sequence[Changes], rule: str, resampling: Resampling) -> pa.Table:
    """Columns of ``schema.FAITHFULNESS``, from `changes` and `filled_changes`."""
    randoms = {(one.model, one.fill): one for one in found if one.kind == "random"}
    wide = len(VALUES) + len(ERASER)
    columns_NC = []
    for order in found:
        deletion_N, insertion_N = area(order.deleted_NR), area(order.inserted_NR)
        gap_N = deletion_N - insertion_N
        better_N = np.where(np.isfinite(gap_N), gap_N > 0, np.nan)
        less_N, more_N = np.full((2, len(images)), np.nan)
        if order.kind != "random" and (order.model, order.fill) in randoms:
            random = randoms[order.model, order.fill]
            less_N, more_N = deletion_N - area(random.deleted_NR), area(random.inserted_NR) - insertion_N
        columns_NC += [deletion_N, insertion_N, gap_N, less_N, more_N, better_N, *eraser(order)]
    all_NC = np.stack(columns_NC, axis=1)
    rows: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        units = Units.of(images, at)
        start = {"dataset": run.dataset, "run": run.key, "scope": scope, "synthetic": run.synthetic}
        start |= {"note": units.note(), **units.columns()}
        x_NC = all_NC[at]
        means = mean_intervals(x_NC, units, resampling)
        for number, order in enumerate(found):
            row = start | {"model": order.model, "fill": order.fill, "kind": order.kind, "name": order.name}
            row |= {"default_rule": order.name == rule, "n": int(np.isfinite(x_NC[:, number * wide]).sum())}
            exact = order.kind == "random" and order.fill == MASKED
            for place, name in enumerate((*VALUES, *ERASER)):
                # The gap of the exact random order is 0 by definition, and no image's is better.
                if not (name == "gap" and exact) and not (name == "better" and order.kind == "random"):
                    row |= interval_columns(name, number * wide + place, means)
            row |= {"gap": 0.0} if exact else {}
            rows.append(row if row["n"] else row | {"note": "no image with this order"})
    return table_of(rows, schema.FAITHFULNESS)


def faithfulness_curves(
    run: Run, images: Images, found: Sequence[Changes], rule: str, resampling: Resampling
) -> pa.Table:
    """Columns of ``schema.FAITHFULNESS_CURVES``: the mean curves behind the areas, from `changes`."""
    rows: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        units = Units.of(images, at)
        for order in found:
            x_NC = np.concatenate([order.deleted_NR[at], order.inserted_NR[at]], axis=1)
            means, numbers = mean_intervals(x_NC, units, resampling), order.deleted_NR.shape[1]
            start = {"dataset": run.dataset, "run": run.key, "scope": scope, "synthetic": run.synthetic}
            start |= {"model": order.model, "fill": order.fill}
            start |= {"kind": order.kind, "name": order.name, "default_rule": order.name == rule, **units.columns()}
            start |= {"n": int(np.isfinite(x_NC).all(1).sum()), "note": units.note()}
            if not start["n"]:
                start["note"] = "no image with this order"
            for blocks in range(numbers):
                row = start | {"blocks": blocks, "fraction": blocks / (numbers - 1)}
                row |= interval_columns("deletion", blocks, means)
                rows.append(row | interval_columns("insertion", numbers + blocks, means))
    return table_of(rows, schema.FAITHFULNESS_CURVES)


def eraser(order: Changes) -> list[NDArray[np.float64]]:
    """The values ``ERASER`` of every image: four (N,), MOS units."""
    blocks = order.deleted_NR.shape[1] - 1
    bins = [math.ceil(share * blocks) for share in BINS]
    of_half = [order.deleted_NR[:, blocks // 2], order.inserted_NR[:, blocks // 2]]
    return [*of_half, order.deleted_NR[:, bins].mean(1), order.inserted_NR[:, bins].mean(1)]


def area(change_NR: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area under changes at 0 .. B blocks, over the share of blocks from 0 to 1: (N, B + 1) to (N,), MOS units."""
    result: NDArray[np.float64] = trapezoid(change_NR, dx=1 / (change_NR.shape[1] - 1), axis=1)
    return result
