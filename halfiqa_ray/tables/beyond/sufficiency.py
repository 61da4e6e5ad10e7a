"""How much of an image is enough: PLCC with the whole image's prediction against the number of blocks kept.

From the stored scores of all subsets, at no further forward pass:

- rules, each image's blocks kept in the order of their importance: most important first, and least important first;
- random order: the exact mean over all subsets of a size of their PLCC over images, no sampling;
- bounds: the best fixed subset of each size, one for all images, and the oracle, which takes for each image the subset
  that changes its score least. Both were chosen by looking at these same scores and are no way to find a subset.

Half of the blocks most important first is Section 2's "trivial half masked".
Shape suffixes: N images, K = B sizes, S = 2^B subsets, C curves x sizes, D resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.section2 import NOTHING_VARIES, Correlations, Resampling, correlate
from halfiqa_ray.tables.stored.curves import UNDEFINED, Curve
from halfiqa_ray.tables.stored.means import Units
from halfiqa_ray.tables.stored.reading import Images, Run
from halfiqa_ray.tables.stored.scan import Mapper, in_process
from halfiqa_ray.tables.stored.second_pass import Scanned
from halfiqa_ray.tables.writing import table_of

LEVELS = (0.95, 0.9)
RANDOM, ORACLE = "random order", "oracle, image by image"


def sufficiency(
    run: Run,
    images: Images,
    image_curves: Sequence[Curve],
    of_scope: Mapping[str, Sequence[Curve]],
    scanned: Scanned,
    plcc: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    rule: str,
    resampling: Resampling,
    mapper: Mapper = in_process,
) -> tuple[pa.Table, pa.Table]:
    """Columns of ``schema.SUFFICIENCY`` and of ``schema.SUFFICIENT_FRACTION``.

    ``of_scope`` are the `fixed_curves` of every scope, ``plcc`` every subset's PLCC (S,) over a scope with the unmasked
    prediction and with MOS. The random order has no interval: it is the mean of many correlations.
    """
    grid, blocks = run.grid, run.grid.blocks
    scopes = images.scopes()
    drawn, work = {}, []
    for scope, at in scopes.items():
        curves = [*image_curves, *of_scope[scope], Curve("bound", ORACLE, None)]
        x_NC = np.concatenate(_scores(curves, scanned, at, blocks), axis=1)
        units = Units.of(images, at)
        drawn[scope] = curves, x_NC, units
        work += [(x_NC, y_N[at], units.groups_N, resampling) for y_N in (images.score_N, images.mos_N)]
    results = list(mapper(correlate, work))
    rows: list[dict[str, Any]] = []
    fractions: list[dict[str, Any]] = []
    for (scope, (curves, x_NC, units)), score, mos in zip(drawn.items(), results[::2], results[1::2], strict=True):
        at = scopes[scope]
        start: dict[str, Any] = {"dataset": run.dataset, "run": run.key, "scope": scope, "synthetic": run.synthetic}
        for number, curve in enumerate(curves):
            named = start | {"kind": curve.kind, "name": curve.name, "order": curve.order}
            named |= {"default_rule": curve.name == rule}
            columns = slice(number * blocks, (number + 1) * blocks)
            for size in range(1, blocks + 1):
                column = columns.start + size - 1
                there_N = np.isfinite(x_NC[:, column])
                row = named | {"blocks_kept": size, "fraction": size / blocks, "n": int(there_N.sum())}
                row |= {"n_mos": int((there_N & np.isfinite(images.mos_N[at])).sum())} | units.columns()
                row |= score.value("plcc", column) | mos.value("plcc_mos", column)
                if curve.kept is not None and curve.kept[size - 1] != UNDEFINED:
                    row["kept"] = curve.kept[size - 1]
                row["note"] = _note(curve, row, units)
                rows.append(row)
            fractions += [named | _fraction(score, columns, level) for level in LEVELS]
        rows += _random_rows(start, grid, plcc[scope], images, at, units)
        named = start | {"kind": "random", "name": RANDOM, "default_rule": False}
        mean_K = np.array([row["plcc"] for row in rows[-blocks:]])
        fractions += [
            named | _fraction(Correlations(mean_K, mean_K[None]), slice(0, blocks), level) for level in LEVELS
        ]
    return table_of(rows, schema.SUFFICIENCY), table_of(fractions, schema.SUFFICIENT_FRACTION)


def _scores(curves: Sequence[Curve], scanned: Scanned, at: NDArray[np.int64], blocks: int) -> list[NDArray[np.float64]]:
    """Scores (N, B) of every curve for the images at some positions."""
    result, taken = [], 0
    nothing = np.full(len(at), np.nan)
    for curve in curves:
        if curve.kept_NK is not None:
            result.append(scanned.picked_NC[at, taken : taken + blocks])
            taken += blocks
        elif curve.kept is not None:
            of_subset = [nothing if subset == UNDEFINED else scanned.fixed[subset][at] for subset in curve.kept]
            result.append(np.stack(of_subset, axis=1))
        else:
            result.append(scanned.oracle_NK[at])
    return result


def _fraction(found: Correlations, columns: slice, level: float) -> dict[str, Any]:
    """The smallest number of blocks whose PLCC is above a level; the interval is over the same resamples.

    A resample in which no size is above the level counts as more than the whole image.
    """
    above_K = found.plcc_R[columns] > level
    blocks = len(above_K)
    if not above_K.any():
        return {"level": level}
    size = int(np.argmax(above_K)) + 1
    row: dict[str, Any] = {"level": level, "blocks_kept": size, "fraction": size / blocks}
    draws_DK = found.draws_DR[:, columns]
    if len(draws_DK) > 1:
        reached_D = (draws_DK > level).any(1)
        fraction_D = np.where(reached_D, (np.argmax(draws_DK > level, axis=1) + 1) / blocks, np.inf)
        # Order statistics, so that the ends are numbers of blocks too.
        low, high = np.quantile(fraction_D, [0.025, 0.975], method="inverted_cdf")
        row |= {"fraction_low": float(low), "fraction_high": float(high) if np.isfinite(high) else None}
    return row


def _random_rows(
    start: dict[str, Any],
    grid: Grid,
    plcc: tuple[NDArray[np.float64], NDArray[np.float64]],
    images: Images,
    at: NDArray[np.int64],
    units: Units,
) -> list[dict[str, Any]]:
    sizes, n_mos = grid.sizes(), int(np.isfinite(images.mos_N[at]).sum())
    rows = []
    for size in range(1, grid.blocks + 1):
        of_size = [plcc_S[sizes == size] for plcc_S in plcc]
        known = [values[np.isfinite(values)] for values in of_size]
        means = [float(values.mean()) if len(values) else float("nan") for values in known]
        rows.append(
            start
            | {"kind": "random", "name": RANDOM, "default_rule": False, "blocks_kept": size}
            | {"fraction": size / grid.blocks, "n": len(at), "n_mos": n_mos, **units.columns()}
            | {"plcc": means[0], "plcc_mos": means[1]}
            | {"note": f"mean over {len(known[0])} subsets" if len(known[0]) else NOTHING_VARIES}
        )
    return rows


def _note(curve: Curve, row: dict[str, Any], units: Units) -> str | None:
    if not row["n"]:
        return "no images with importance by this rule" if curve.kind == "rule" else NOTHING_VARIES
    notes = ["chosen on these same images"] if curve.kind == "bound" else []
    few = units.note()
    notes += [few] if few else []
    if np.isnan(row["plcc"]):
        notes.append(NOTHING_VARIES)
    return "; ".join(notes) or None
