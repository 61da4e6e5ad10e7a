"""How often is each block position important, and is importance only a bias to the centre?

Importance is standardised within each image first, so that every image counts alike. The share of it that position
explains is 1 when all images have the same order of blocks, and almost nothing when each has its own. The centre half
is one guess without looking at the image; what it explains is at most what position explains.
Shape suffixes: N images, K = B blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema
from halfiqa_ray.masking.controls import centre_half
from halfiqa_ray.statistics.positions import explained_by_position, position_test, standardised
from halfiqa_ray.tables.beyond.agreement import Weights
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import Images, Run
from halfiqa_ray.tables.writing import table_of

SIGNIFICANT = 0.05
# The parts of importance that position must explain to be called most of it.
MOSTLY = 0.5


def positions(
    run: Run, images: Images, rules: Sequence[Weights], rule: str, resampling: Resampling
) -> tuple[pa.Table, pa.Table]:
    """Columns of ``schema.POSITIONS`` and ``schema.POSITION_BIAS``; the test is ``statistics.positions``'s."""
    grid = run.grid
    centre_K = centre_half(grid) >> np.arange(grid.blocks) & 1
    half = grid.blocks // 2
    rows: list[dict[str, Any]] = []
    bias: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        for weights in rules:
            there = at[weights.half_N[at] > 0]
            units = Units.of(images, there)
            start: dict[str, Any] = {"dataset": run.dataset, "run": run.key, "scope": scope, "rule": weights.name}
            start |= {"n": len(there), "synthetic": run.synthetic}
            in_half_NK = (weights.half_N[there][:, None] >> np.arange(grid.blocks) & 1).astype(np.float64)
            z_NK = standardised(weights.values_NK[there])
            known_N = np.isfinite(z_NK).all(1)
            in_centre_N1 = in_half_NK @ centre_K[:, None] / max(half, 1)
            found = mean_intervals(np.concatenate([in_half_NK, in_centre_N1], axis=1), units, resampling)
            importance_K = z_NK[known_N].mean(0) if known_N.any() else np.full(grid.blocks, np.nan)
            rows += [
                start
                | {"block": block, "row": block // grid.columns, "column": block % grid.columns}
                | {"centre": bool(centre_K[block]), "expected": half / grid.blocks}
                | {"importance": float(importance_K[block])}
                | interval_columns("important", block, found)
                for block in range(grid.blocks)
            ]
            row = start | {"default_rule": weights.name == rule, "degrees": grid.blocks - 1, **units.columns()}
            row |= interval_columns("in_centre", grid.blocks, found)
            row |= {"in_centre_chance": int(centre_K.sum()) / grid.blocks, "note": weights.note or units.note()}
            if len(there):
                row |= position_test(in_half_NK, units.groups_N)._asdict()
            if known_N.any():
                row |= _explained(z_NK[known_N], units.groups_N[known_N], centre_K)
            bias.append(row | {"answer": answer(row)})
    return table_of(rows, schema.POSITIONS), table_of(bias, schema.POSITION_BIAS)


def answer(row: dict[str, Any]) -> str:
    """Is it only a centre bias? One of: no images, no position is preferred, mostly the centre, mostly position, no."""
    p_value, explained = row.get("p_value"), row.get("explained")
    if not row["n"] or p_value is None or explained is None or np.isnan(p_value) or np.isnan(explained):
        return "no images"
    if p_value > SIGNIFICANT:
        return "no position is preferred"
    if explained < MOSTLY:
        return "no"
    return "mostly the centre" if row["explained_centre"] >= MOSTLY and row["in_centre"] > 0.5 else "mostly position"


def _explained(z_NK: np.ndarray, groups_N: np.ndarray, centre_K: np.ndarray) -> dict[str, float]:
    groups_N = np.unique(groups_N, return_inverse=True)[1]
    explained, chance = explained_by_position(z_NK, groups_N)
    # The same with one mean for the centre half and one for the rest.
    mean_K = z_NK.mean(0)
    of_sides_K = np.where(centre_K == 1, mean_K[centre_K == 1].mean(), mean_K[centre_K == 0].mean())
    centre = float((of_sides_K**2).sum() / (z_NK**2).sum(1).mean())
    return {"explained": explained, "explained_chance": chance, "explained_centre": centre}
