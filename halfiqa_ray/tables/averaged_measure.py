"""The last experiment of Section 4.2: halves by the averaged measure instead of TRIQ, zeroed in every model.

The paper prints the mean over its five models of the PLCC with the original prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema
from halfiqa_ray.statistics.bootstrap import percentile_interval
from halfiqa_ray.tables import paper
from halfiqa_ray.tables.stored.derived import Zeroed
from halfiqa_ray.tables.stored.reading import ALL, Run
from halfiqa_ray.tables.table1 import AVERAGED, Correlated
from halfiqa_ray.tables.writing import table_of

MEAN = "mean"


def averaged_measure(run: Run, models: Sequence[Zeroed], correlated: Correlated) -> pa.Table:
    """Columns of ``schema.AVERAGED_MEASURE``: per scope and averaged measure each model, then their mean.

    Without such rows one blank row says so. The mean's interval is of the mean over models in the same resamples.
    """
    rows = []
    synthetic = run.synthetic or any(model.synthetic for model in models)
    for scope in correlated.units:
        by_model = {model: found for (s, model), found in correlated.found.items() if s == scope}
        names = sorted({name for found in by_model.values() for name in found.rankings if name.startswith(AVERAGED)})
        for ranking in names:
            ours = {
                model: found
                for model, found in by_model.items()
                if ranking in found.rankings and found.n_R[found.rankings.index(ranking)]
            }
            start: dict[str, Any] = {"dataset": run.dataset, "run": run.key, "scope": scope}
            start |= {"ranking": ranking, "synthetic": synthetic}
            lines = []
            for model, found in ours.items():
                important, trivial = found.column(ranking, "important"), found.column(ranking, "trivial")
                line = start | {"model": model, "models": 1, "n": int(found.n_R[found.rankings.index(ranking)])}
                line |= found.with_score.value("important", important) | found.with_score.value("trivial", trivial)
                lines.append(line | found.with_score.value("difference", trivial, important))
            if ours:
                rows += [*lines, start | _mean(run, ranking, list(ours), lines, scope, correlated)]
    if not rows:
        note = "no model has halves by an averaged measure zeroed: jobs/measure.py, then jobs/zero.py"
        rows.append(
            {"dataset": run.dataset, "run": run.key, "scope": ALL, "ranking": AVERAGED, "model": MEAN, "models": 0}
            | {"n": 0, "note": note, "synthetic": synthetic, **_printed()}
        )
    return table_of(rows, schema.AVERAGED_MEASURE)


def _mean(
    run: Run, ranking: str, models: list[str], lines: list[dict[str, Any]], scope: str, correlated: Correlated
) -> dict[str, Any]:
    row: dict[str, Any] = {"model": MEAN, "models": len(models), "n": min(line["n"] for line in lines), **_printed()}
    draws = {}
    for half in ("important", "trivial"):
        found = [correlated.found[scope, model] for model in models]
        of_models = [one.with_score.draws_DR[:, one.column(ranking, half)] for one in found]
        draws[half] = np.mean(np.broadcast_arrays(*of_models), axis=0)
    draws["difference"] = draws["trivial"] - draws["important"]
    for name, draws_D in draws.items():
        low, high = percentile_interval(draws_D[:, None])
        value = float(np.mean([line[name] for line in lines]))
        row |= {name: value, f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}
    notes = [f"models: {', '.join(models)}"]
    absent = [title for name, title in paper.MODELS.items() if name not in {paper.paper_model(m) for m in models}]
    if absent:
        notes.append(f"without {', '.join(absent)}")
    papers = paper.paper_measure(ranking)[1]
    if not papers:
        notes.append(f"{ranking} is not the paper's average: its objectness is another")
    flat = [line["model"] for line in lines if np.isnan(line["difference"])]
    notes += [f"no mean: nothing varies in {', '.join(flat)}"] if flat else []
    few = correlated.units[scope].note()
    notes += [few] if few else []
    known = paper.paper_dataset(run)
    if known and known.same and papers and not absent and len(models) == len(paper.MODELS):
        row |= {f"{half}_minus_paper": row[half] - row[f"paper_{half}"] for half in ("important", "trivial")}
    return row | {"note": "; ".join(notes)}


def _printed() -> dict[str, float]:
    return dict(zip(("paper_important", "paper_trivial"), paper.AVERAGED_MEASURE, strict=True))
