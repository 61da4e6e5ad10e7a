"""How far is filling pixels from truly not looking: the ranking model's exact masked scores beside its filled ones.

Where pixels of a half are set to zero, or filled otherwise, a model still looks at them and may take them for damage.
Masked in the transformer the same half is not looked at (Section 2 of the paper), and the scores of all subsets are
stored. So for each half that was filled, by rules, measures and controls, and for each fill: the correlation of the
filled with the masked score over images, and their mean absolute difference.

All fills of a half are compared in the same images: those that have the half with each of them. Differences are parts
of the MOS scale (1 = from its lowest to its highest value).
Shape suffixes: N images of the rank run, F fills, C columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.section2 import Resampling, correlate
from halfiqa_ray.tables.stored.curves import UNDEFINED, Curve
from halfiqa_ray.tables.stored.derived import Zeroed
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import ALL, Images, Run
from halfiqa_ray.tables.table1 import KINDS, kind_of
from halfiqa_ray.tables.writing import table_of

HALVES = ("important", "trivial")  # that are taken away
VALUES = ("difference", "shift", "masked_change", "filled_change")
NATIVE = "masked at the photos' own sizes, filled at the model's input size"


@dataclass(frozen=True)
class FilledHalf:
    """One ranking's halves of every image, filled in each way that is there for it."""

    ranking: str
    fills: tuple[str, ...]
    important_N: NDArray[np.int64]  # bit set = block is in the important half; 0 where some fill has no score
    scores: dict[str, NDArray[np.float64]]  # taken-away half: filled scores (N, F)


def filled_halves(models: Sequence[Zeroed]) -> list[FilledHalf]:
    """Of one model, given fill by fill, every ranking that has halves; rules, then measures, then controls."""
    names = dict.fromkeys(name for model in models for name in model.halves if kind_of(name) in KINDS)
    found = []
    for ranking in sorted(names, key=lambda name: KINDS.index(kind_of(name))):
        some = [model for model in models if ranking in model.halves]
        same_N = np.all([model.important[ranking] == some[0].important[ranking] for model in some], axis=0)
        there_N = np.all([np.isfinite(model.halves[ranking]).all(0) & np.isfinite(model.score_N) for model in some], 0)
        half_N = np.where(same_N & there_N, some[0].important[ranking], 0)
        scores = {
            half: np.stack([model.halves[ranking][place] for model in some], axis=1)
            for place, half in enumerate(HALVES)
        }
        found.append(FilledHalf(ranking, tuple(model.fill for model in some), half_N, scores))
    return found


def masked_curves(grid: Grid, halves: Sequence[FilledHalf]) -> list[Curve]:
    """The subsets whose scores are the masked ones, as `second_pass.scan_all` takes them: two columns a ranking."""
    curves = []
    for one in halves:
        kept_N2 = np.stack([grid.full ^ one.important_N, one.important_N], axis=1)
        kept_N2[one.important_N == 0] = UNDEFINED
        curves.append(Curve(kind_of(one.ranking), one.ranking, None, kept_NK=kept_N2))
    return curves


def fills(
    run: Run,
    images: Images,
    ranker: Mapping[str, Zeroed],
    halves: Sequence[FilledHalf],
    masked_NC: NDArray[np.float64],
    rule: str,
    resampling: Resampling,
) -> pa.Table:
    """Columns of ``schema.FILLS_TABLE``; one blank row says so where the ranking model has no filled halves.

    ``ranker`` is the ranking model by fill, ``halves`` its `filled_halves`, and ``masked_NC`` the scores of their
    `masked_curves`.
    """
    scale = run.metadata["mos_scale"]["high"] - run.metadata["mos_scale"]["low"]
    synthetic = run.synthetic or any(model.synthetic for model in ranker.values())
    about = {"dataset": run.dataset, "run": run.key, "model": run.metadata.get("model"), "synthetic": synthetic}
    whole = {fill: model.score_N for fill, model in ranker.items()}
    rows: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        units = Units.of(images, at)
        for place, one in enumerate(halves):
            there_N = one.important_N[at] > 0
            if not there_N.any():
                continue
            for side, half in enumerate(HALVES):
                masked_N = np.where(there_N, masked_NC[at, 2 * place + side], np.nan)
                filled_NF = np.where(there_N[:, None], one.scores[half][at], np.nan)
                whole_NF = np.stack([whole[fill][at] for fill in one.fills], axis=1)
                moved_N = np.abs(masked_N - images.score_N[at])
                columns_NC = np.concatenate(
                    [
                        np.abs(filled_NF - masked_N[:, None]),
                        filled_NF - masked_N[:, None],
                        np.repeat(moved_N[:, None], len(one.fills), axis=1),
                        np.abs(filled_NF - whole_NF),
                    ],
                    axis=1,
                )
                means = mean_intervals(columns_NC / scale, units, resampling)
                with_masked = correlate(filled_NF, masked_N, units.groups_N, resampling)
                for number, fill in enumerate(one.fills):
                    row = about | {"scope": scope, "kind": kind_of(one.ranking), "ranking": one.ranking, "fill": fill}
                    row |= {"default_rule": one.ranking == rule, "taken_away": half, "n": int(there_N.sum())}
                    row |= units.columns() | with_masked.value("plcc", number)
                    for which, name in enumerate(VALUES):
                        row |= interval_columns(name, which * len(one.fills) + number, means)
                    notes = [units.note(), NATIVE if run.metadata.get("native") else None]
                    rows.append(row | {"note": "; ".join(filter(None, notes)) or None})
    if not rows:
        nothing = {"scope": ALL, "kind": "rule", "ranking": rule, "fill": "zero", "default_rule": True, "n": 0}
        note = f"no half is zeroed in the model that ranks ({run.metadata.get('model')}): jobs/zero.py does that"
        empty = Units(np.zeros(0, np.int64), images.of_photos).columns()
        rows.append(about | nothing | empty | {"taken_away": "important", "note": note})
    return table_of(rows, schema.FILLS_TABLE)
