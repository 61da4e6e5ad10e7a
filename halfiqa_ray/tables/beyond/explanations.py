"""The fair comparison: halves by explanations of a score, zeroed beside halves by all else, in the same images.

The paper shows two maps of LIME and Grad-CAM and says that they "do not explain the TRIQ model properly" (Section 1);
it gives no number for them. Here their halves (blocks by the mean absolute value of a map) go through the test of
Section 4.1: what picks the important half better loses more correlation with that half zeroed, and less with the other.

Explanations of the ranking model's score serve in every model, like its rule's halves; each model's own explanation in
that model. All rows of a model are of the images that have the halves of all its explanations. Rows of ``mean`` are
means over models, in the same resamples. Shape suffixes: N images of the rank run, D resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.statistics.bootstrap import percentile_interval
from halfiqa_ray.tables.averaged_measure import MEAN
from halfiqa_ray.tables.section2 import NOTHING_VARIES, Correlations, Resampling
from halfiqa_ray.tables.stored.derived import Explained, Zeroed
from halfiqa_ray.tables.stored.means import Units
from halfiqa_ray.tables.stored.reading import ALL, Images, Run
from halfiqa_ray.tables.stored.scan import Mapper, in_process
from halfiqa_ray.tables.table1 import ScopeCorrelations, correlate_zeroed, kind_of
from halfiqa_ray.tables.writing import table_of

KINDS = ("rule", "own", "explanation", "own explanation", "measure", "control")
RANDOM = "control_random"
_Pair = tuple[NDArray[np.float64], NDArray[np.float64]]  # scores with the important, and with the trivial half zeroed
_Of = tuple[Zeroed, ScopeCorrelations, str]  # a model, its correlations, and a ranking
NONE = "no halves by explanations are zeroed: run jobs/explain.py"


def explanations(
    run: Run,
    images: Images,
    models: Sequence[Zeroed],
    explained: Sequence[Explained],
    rule: str,
    resampling: Resampling,
    mapper: Mapper = in_process,
) -> pa.Table:
    """Columns of ``schema.EXPLANATIONS_TABLE``; one blank row says so where nothing is explained or zeroed."""
    by_name = {one.name: one for one in explained}
    ours = [same for model in models if (same := _same_images(model, by_name)) is not None]
    correlated = correlate_zeroed(images, ours, resampling, mapper)
    synthetic = run.synthetic or any(model.synthetic for model in ours)
    about = {"dataset": run.dataset, "run": run.key, "resamples": resampling.resamples, "synthetic": synthetic}
    rows: list[dict[str, Any]] = []
    for scope, units in correlated.units.items():
        found = [(model, correlated.found[scope, model.model]) for model in ours]
        scoped = about | {"scope": scope, **units.columns()}
        lines: dict[tuple[str, str], list[_Of]] = {}
        for model, each in found:
            for kind, name, ranking in _rankings(model, each, by_name, run.metadata.get("model")):
                lines.setdefault((kind, name), []).append((model, each, ranking))
        for (kind, name), some in sorted(lines.items(), key=lambda line: KINDS.index(line[0][0])):
            start = scoped | {"kind": kind, "default_rule": name == rule}
            for one in some:
                if kind == "own explanation" and one[0].model == run.metadata.get("model"):
                    continue  # the same as the ranking model's explanation, and only part of the mean
                rows.append(start | {"model": one[0].model, "ranking": one[2]} | _row([one], by_name, units))
            rows.append(start | {"model": MEAN, "ranking": name} | _row(some, by_name, units))
    if not rows:
        nothing = Units(np.zeros(0, np.int64), images.of_photos).columns()
        blank = {"scope": ALL, "model": MEAN, "models": 0, "kind": "explanation", "ranking": "grad_cam", "n": 0}
        rows.append(about | nothing | blank | {"default_rule": False, "n_mos": 0, "note": NONE})
    order = [MEAN, *(model.model for model in ours)]
    rows.sort(key=lambda row: ([ALL, *correlated.units].index(row["scope"]), order.index(row["model"])))
    return table_of(rows, schema.EXPLANATIONS_TABLE)


def _same_images(model: Zeroed, by_name: dict[str, Explained]) -> Zeroed | None:
    """A model's zeroed scores on the images that have the halves of all its explanations; None where there are none.

    A zeroed half that is not the explanation's is not there.
    """
    halves = dict(model.halves)
    there_N = np.isfinite(model.score_N)
    explained = [name for name in halves if name in by_name]
    for name in explained:
        same_N = model.important[name] == by_name[name].high_N
        halves[name] = _only(same_N, halves[name])
        there_N = there_N & np.isfinite(halves[name]).all(0)
    if not explained or not there_N.any():
        return None
    known = {name: pair for name, pair in halves.items() if name in by_name or kind_of(name) != "explanation"}
    masked = {name: _only(there_N, pair) for name, pair in known.items()}
    there = {name: pair for name, pair in masked.items() if np.isfinite(pair).all(0).any()}
    return replace(model, halves=there, score_N=np.where(there_N, model.score_N, np.nan))


def _only(there_N: NDArray[np.bool_], pair: _Pair) -> _Pair:
    important_N, trivial_N = pair
    return np.where(there_N, important_N, np.nan), np.where(there_N, trivial_N, np.nan)


def _rankings(
    model: Zeroed, found: ScopeCorrelations, by_name: dict[str, Explained], ranker: str | None
) -> list[tuple[str, str, str]]:
    """Kind, name among all models, and ranking of everything that picked halves for a model."""
    rows = []
    for ranking in found.rankings:
        if ranking not in by_name:
            rows.append((kind_of(ranking), ranking, ranking))
            continue
        if by_name[ranking].model == ranker:
            rows.append(("explanation", ranking, ranking))
        if by_name[ranking].model == model.model:
            rows.append(("own explanation", by_name[ranking].method, ranking))
    return rows


def _row(some: Sequence[_Of], by_name: dict[str, Explained], units: Units) -> dict[str, Any]:
    """The numbers of one ranking of each of some models: means over them."""
    places = [found.rankings.index(ranking) for _, found, ranking in some]
    runs = {by_name[ranking].key for *_, ranking in some if ranking in by_name}
    row: dict[str, Any] = {
        "models": len(some),
        "explain_run": runs.pop() if len(runs) == 1 else None,
        "n": min(int(found.n_R[place]) for (_, found, _), place in zip(some, places, strict=True)),
        "n_mos": min(int(found.n_mos_R[place]) for (_, found, _), place in zip(some, places, strict=True)),
    }
    for suffix, of in (("", "with_score"), ("_mos", "with_mos")):
        each = [getattr(found, of) for _, found, _ in some]
        halves = [(found.column(ranking, "important"), found.column(ranking, "trivial")) for _, found, ranking in some]
        row |= _mean(f"important{suffix}", each, [((important,), ()) for important, _ in halves])
        row |= _mean(f"trivial{suffix}", each, [((trivial,), ()) for _, trivial in halves])
        row |= _mean(f"difference{suffix}", each, [((trivial,), (important,)) for important, trivial in halves])
    tests = [((2 * len(found.rankings),), ()) for _, found, _ in some]
    row |= _mean("test", [found.with_mos for _, found, _ in some], tests)
    if all((ranking, RANDOM) in found.pairs for _, found, ranking in some):
        each = [found.with_score for _, found, _ in some]
        pairs = [found.pairs[ranking, RANDOM][1] for _, found, ranking in some]
        row |= _mean("important_minus_random", each, [((i,), (ri,)) for i, _, ri, _ in pairs])
        row |= _mean("trivial_minus_random", each, [((t,), (rt,)) for _, t, _, rt in pairs])
        row |= _mean("difference_minus_random", each, [((t, ri), (i, rt)) for i, t, ri, rt in pairs])
    notes = [model.note for model, _, _ in some if model.note]
    notes += [few] if (few := units.note()) else []
    if np.isnan(row["important"]) and np.isnan(row["trivial"]):
        notes.append(NOTHING_VARIES)
    if not row["n_mos"]:
        notes.append("no MOS")
    return row | {"note": "; ".join(dict.fromkeys(notes)) or None}


def _mean(
    name: str, of_models: Sequence[Correlations], columns: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> dict[str, float]:
    """Mean over models of the sum of some columns' PLCC less that of others, with its interval."""
    values, draws = [], []
    for each, (plus, minus) in zip(of_models, columns, strict=True):
        values.append(each.plcc_R[list(plus)].sum() - each.plcc_R[list(minus)].sum())
        draws.append(each.draws_DR[:, list(plus)].sum(1) - each.draws_DR[:, list(minus)].sum(1))
    value = float(np.mean(values))
    low, high = percentile_interval(np.mean(np.broadcast_arrays(*draws), axis=0)[:, None])
    ends = (low[0], high[0]) if np.isfinite(value) else (np.nan, np.nan)
    return {name: value, f"{name}_low": float(ends[0]), f"{name}_high": float(ends[1])}
