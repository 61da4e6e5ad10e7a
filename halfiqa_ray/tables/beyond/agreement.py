"""Do two ways to weigh the blocks of an image agree: two rules, a rule and a measure or an explanation, TRIQ and
another model?

For every image the rank correlation over its blocks, and the share of one important half that is in the other; then
their means over images. Chance is 0 for the first, and for the second the half's share of the blocks.
Shape suffixes: N images, K = B blocks, R columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from halfiqa_ray import schema
from halfiqa_ray.masking.importance import important_half
from halfiqa_ray.statistics.matching import matching_number
from halfiqa_ray.statistics.pearson import pearson, varies
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import Measured, Zeroed
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import Images, Run
from halfiqa_ray.tables.writing import table_of


@dataclass(frozen=True)
class Weights:
    """How important the blocks of every image are by something: higher = more."""

    name: str
    values_NK: NDArray[np.float64]  # NaN where an image has none
    half_N: NDArray[np.int64]  # bit set = block is in the important half; 0 = none
    note: str = ""


def measure_weights(measure: Measured) -> Weights:
    """The block means of a measure or an explanation."""
    return Weights(measure.name, measure.means_NK, measure.high_N)


def model_weights(model: str, zeroed: Zeroed | None, blocks: int, count: int) -> Weights:
    """A model's own zeroing importance: the absolute change of its score with one block zeroed.

    Without rows of single zeroed blocks, and for ``None``, all is missing and the note says so.
    """
    change_NK = np.full((count, blocks), np.nan) if zeroed is None else zeroed.single_change_NK
    there = np.isfinite(change_NK).all(1).any()
    note = "" if there else "no scores with single blocks zeroed (ranking single_block below zeroed/)"
    return Weights(model, change_NK, important_half(change_NK).astype(np.int64), note)


def agreement(
    run: Run,
    images: Images,
    rules: Sequence[Weights],
    measures: Sequence[Weights],
    models: Sequence[Weights],
    resampling: Resampling,
    explanations: Sequence[Weights] = (),
) -> pa.Table:
    """Columns of ``schema.AGREEMENT``: every two rules, every rule with every measure, explanation and model."""
    pairs = [("rules", a, b) for i, a in enumerate(rules) for b in rules[i + 1 :]]
    pairs += [("measure", a, b) for a in rules for b in measures]
    pairs += [("explanation", a, b) for a in rules for b in explanations]
    pairs += [("model", a, b) for a in rules for b in models]
    if not pairs:
        return table_of([], schema.AGREEMENT)
    ranked = {id(one): ranks(one.values_NK) for one in (*rules, *measures, *explanations, *models)}
    spearman_NR = np.stack([pearson(ranked[id(a)], ranked[id(b)]) for _, a, b in pairs], axis=1)
    overlap_NR = np.stack([_overlap(run.grid.blocks // 2, a, b) for _, a, b in pairs], axis=1)
    rows: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        units = Units.of(images, at)
        both_NR = np.concatenate([spearman_NR[at], overlap_NR[at]], axis=1)
        found = mean_intervals(both_NR, units, resampling)
        there_R = np.isfinite(both_NR).sum(0)
        for column, (kind, a, b) in enumerate(pairs):
            notes = [note for note in (a.note, b.note, units.note()) if note]
            rows.append(
                {"dataset": run.dataset, "run": run.key, "scope": scope, "kind": kind, "rule": a.name, "other": b.name}
                | {"n": int(there_R[len(pairs) + column]), "n_spearman": int(there_R[column]), **units.columns()}
                | interval_columns("spearman", column, found)
                | interval_columns("overlap", len(pairs) + column, found)
                | {"overlap_chance": (run.grid.blocks // 2) / run.grid.blocks}
                | {"note": "; ".join(dict.fromkeys(notes)) or None, "synthetic": run.synthetic}
            )
    return table_of(rows, schema.AGREEMENT)


def rule_weights(
    importance: Mapping[str, NDArray[np.float64]], halves: Mapping[str, NDArray[np.int64]]
) -> list[Weights]:
    """The importance of each rule, with its halves."""
    return [
        Weights(rule, values_NK, halves[rule], "" if halves[rule].any() else f"no importance by {rule}")
        for rule, values_NK in importance.items()
    ]


def ranks(values_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks over the blocks of every image; NaN where a value is missing or nothing varies."""
    known_N = varies(values_NK.mean(1), values_NK.std(1))
    ranks_NK = np.full(values_NK.shape, np.nan)
    ranks_NK[known_N] = rankdata(values_NK[known_N], axis=1)
    return ranks_NK


def _overlap(half: int, a: Weights, b: Weights) -> NDArray[np.float64]:
    there_N = (a.half_N > 0) & (b.half_N > 0)
    return np.where(there_N, matching_number(a.half_N, b.half_N) / max(half, 1), np.nan)
