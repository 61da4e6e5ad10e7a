"""Does a half carry over: TRIQ's important half zeroed in another model, against that model's own important half.

A model's own half is found without masking: each block is zeroed alone, and the blocks that move its score most are
its important half (ranking occlusion; M. Zeiler and R. Fergus, arXiv 1311.2901, Section 4.2, by the absolute change).
If what matters to the ranking model matters to the others, the two halves share more blocks than chance, and zeroing
either hurts alike. Both are compared in the same images.
Shape suffixes: N images of the rank run, M of one scope, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema
from halfiqa_ray.tables.section2 import Resampling, correlate
from halfiqa_ray.tables.stored.derived import Zeroed
from halfiqa_ray.tables.stored.means import Units, interval_columns, mean_intervals
from halfiqa_ray.tables.stored.reading import ALL, Images, Run
from halfiqa_ray.tables.writing import table_of


def own_halves(run: Run, images: Images, models: Sequence[Zeroed], rule: str, resampling: Resampling) -> pa.Table:
    """Columns of ``schema.OWN_HALVES``: a row a scope and model; a blank row says so where no model has own halves."""
    blocks = run.grid.blocks
    about: dict[str, Any] = {"dataset": run.dataset, "run": run.key, "ranking": rule, "synthetic": run.synthetic}
    about["shared_chance"] = (blocks // 2) ** 2 / blocks
    rows: list[dict[str, Any]] = []
    for scope, at in images.scopes().items():
        for model in models:
            pairs = [model.halves.get(name) for name in (rule, schema.OCCLUSION)]
            if pairs[0] is None or pairs[1] is None:
                continue
            score_M = model.score_N[at]
            columns_MC = np.stack([half_N[at] for pair in pairs if pair for half_N in pair], axis=1)
            there_M = np.isfinite(columns_MC).all(1) & np.isfinite(score_M)
            if not there_M.any():
                continue
            some = at[there_M]
            units = Units.of(images, some)
            found = correlate(columns_MC[there_M], score_M[there_M], units.groups_N, resampling)
            both_M = model.important[rule][some] & model.important[schema.OCCLUSION][some]
            shared_M = np.array([int(mask).bit_count() for mask in both_M], np.float64)
            row = about | {"scope": scope, "model": model.model, "n": len(some)} | units.columns()
            row["synthetic"] = run.synthetic or model.synthetic
            row |= interval_columns("shared", 0, mean_intervals(shared_M[:, None], units, resampling))
            for half, (theirs, own) in {"important": (0, 2), "trivial": (1, 3)}.items():
                row |= found.value(half, theirs) | found.value(f"own_{half}", own)
                row |= found.value(f"{half}_difference", own, theirs)
            rows.append(row | {"note": units.note()})
    if not rows:
        empty = Units(np.zeros(0, np.int64), images.of_photos).columns()
        note = "no model was asked for its own halves: zero.rankings with occlusion"
        rows.append(about | {"scope": ALL, "n": 0, "note": note} | empty)
    return table_of(rows, schema.OWN_HALVES)
