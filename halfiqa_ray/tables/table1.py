"""Table I of the paper: PLCC of every model with the important and with the trivial half of the pixels zeroed.

A row is a model and what picked the halves: rules and measures looked at the image, controls did not. "Predicted" is
the correlation of the prediction on the zeroed with that on the original image, "MOS" that of the prediction on the
zeroed image with the mean opinion scores (Section 4.1). Scopes are the test splits, as in the paper, and all images
that were zeroed.

Rows of other fills than the paper's zero (masking/fills.py) stand below its row, of the images that were filled so.

Intervals are 95% percentile bootstrap over images, or over source photos where images are crops. All models and rows
of a scope share the resamples, so that differences and means over models have intervals too.
Shape suffixes: N images of the rank run, R columns, D resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.tables import paper
from halfiqa_ray.tables.section2 import NOTHING_VARIES, Correlations, Resampling, correlate
from halfiqa_ray.tables.stored.derived import Zeroed
from halfiqa_ray.tables.stored.means import Units
from halfiqa_ray.tables.stored.reading import ALL, Images, Run
from halfiqa_ray.tables.stored.scan import Mapper, in_process
from halfiqa_ray.tables.writing import table_of

CONTROLS = ("control_random", "control_centre", "control_other")
RULES = (*schema.IMAGE_RULES, "image_plcc")
AVERAGED = "averaged"  # how the names of averaged measures begin
KINDS = ("rule", "own", "measure", "control")
NO_HALF = "no half is zeroed: jobs/zero.py does that"


@dataclass(frozen=True)
class ScopeCorrelations:
    """What one model's zeroed scores say in one scope; columns are the rankings' important, then trivial halves."""

    rankings: tuple[str, ...]
    n_R: NDArray[np.int64]  # images that have both halves, by ranking
    n_mos_R: NDArray[np.int64]
    n_test: int  # images with a prediction and MOS, nothing zeroed
    with_score: Correlations
    with_mos: Correlations  # one more column: the original prediction
    # Ranking and control: how many images have the halves of both, and on these the columns of the ranking's important
    # and trivial half, then of the control's.
    pairs: dict[tuple[str, str], tuple[int, tuple[int, int, int, int]]]

    def column(self, ranking: str, half: str) -> int:
        """The column of a ranking's ``important`` or ``trivial`` half."""
        return self.rankings.index(ranking) + (half == "trivial") * len(self.rankings)


@dataclass(frozen=True)
class Correlated:
    """Correlations of all models by scope and model, and what the scopes resample."""

    units: dict[str, Units]
    found: dict[tuple[str, str], ScopeCorrelations]


def correlate_zeroed(
    images: Images, models: Sequence[Zeroed], resampling: Resampling, mapper: Mapper = in_process
) -> Correlated:
    """Every correlation that Table I and the averaged-measure experiment need."""
    zeroed_N = np.zeros(len(images), np.bool_)
    for model in models:
        # Not by the original prediction: images of which only single blocks were zeroed have one too.
        for pair in model.halves.values():
            zeroed_N |= np.isfinite(pair).all(0) & np.isfinite(model.score_N)
    scopes = {
        scope: at[zeroed_N[at]]
        for scope, at in images.scopes().items()
        if (scope == ALL or scope.startswith("test")) and zeroed_N[at].any()
    }
    units = {scope: Units.of(images, at) for scope, at in scopes.items()}
    work: list[tuple[Any, ...]] = []
    counted = []
    for scope, at in scopes.items():
        mos_N = images.mos_N[at]
        for model in models:
            score_N = model.score_N[at]
            rankings = tuple(sorted(model.halves, key=_order))
            # Both halves or none, so that the two columns and their difference are of the same images.
            halves_NR = [np.stack([half[at] for half in model.halves[ranking]], axis=1) for ranking in rankings]
            halves_NR = [
                np.where((np.isfinite(pair).all(1) & np.isfinite(score_N))[:, None], pair, np.nan) for pair in halves_NR
            ]
            pairs, restricted = _pairs(rankings, halves_NR)
            columns = [pair[:, 0] for pair in halves_NR] + [pair[:, 1] for pair in halves_NR] + [score_N]
            x_NR = np.stack(columns + restricted, axis=1)
            there_NR = np.isfinite(x_NR[:, : len(rankings)])
            has_mos_N = np.isfinite(mos_N)
            counts = there_NR.sum(0), (there_NR & has_mos_N[:, None]).sum(0)
            n_test = int((has_mos_N & np.isfinite(score_N)).sum())
            counted.append((scope, model.model, rankings, *counts, n_test, pairs))
            groups_N = units[scope].groups_N
            work += [(x_NR, score_N, groups_N, resampling), (x_NR, mos_N, groups_N, resampling)]
    results = list(mapper(correlate, work))
    found = {}
    for (scope, name, rankings, n_R, n_mos_R, n_test, pairs), score, mos in zip(
        counted, results[::2], results[1::2], strict=True
    ):
        found[scope, name] = ScopeCorrelations(rankings, n_R, n_mos_R, n_test, score, mos, pairs)
    return Correlated(units, found)


def _pairs(
    rankings: Sequence[str], halves: Sequence[NDArray[np.float64]]
) -> tuple[dict[tuple[str, str], tuple[int, tuple[int, int, int, int]]], list[NDArray[np.float64]]]:
    """Of every ranking with every control ``ScopeCorrelations.pairs``, and the columns that it needs besides.

    ``halves`` are scores (N, 2) with the important and the trivial half zeroed, ranking by ranking. Only where the two
    are of different images do they need columns of their own, of those that have both.
    """
    there = dict(zip(rankings, (np.isfinite(pair).all(1) for pair in halves), strict=True))
    own = {ranking: (place, len(rankings) + place) for place, ranking in enumerate(rankings)}
    pairs: dict[tuple[str, str], tuple[int, tuple[int, int, int, int]]] = {}
    more: list[NDArray[np.float64]] = []
    for ranking in (name for name in rankings if kind_of(name) != "control"):
        for control in (name for name in rankings if kind_of(name) == "control"):
            both_N = there[ranking] & there[control]
            columns = own[ranking] + own[control]
            if (there[ranking] != there[control]).any():
                first = 2 * len(rankings) + 1 + len(more)
                two = [halves[rankings.index(name)] for name in (ranking, control)]
                more += [np.where(both_N, scores_N, np.nan) for pair in two for scores_N in pair.T]
                columns = (first, first + 1, first + 2, first + 3)
            pairs[ranking, control] = int(both_N.sum()), columns
    return pairs, more


def table1(
    run: Run,
    models: Sequence[Zeroed],
    correlated: Correlated,
    rule: str,
    resampling: Resampling,
    missing: Mapping[str, str],
    filled: Sequence[tuple[Sequence[Zeroed], Correlated]] = (),
) -> pa.Table:
    """Columns of ``schema.TABLE1``: every model with rows, then a row with the reason for each model in ``missing``.

    The rankings that the paper and its controls need have a row each, blank where they were not zeroed, unless another
    fill was. ``filled`` are models with other fills and their correlations, fill by fill.
    """
    rows = []
    scopes = dict.fromkeys(scope for one in (correlated, *(found for _, found in filled)) for scope in one.units)
    for scope in scopes or [ALL]:
        of_fills = [(models, correlated), *filled]
        most = {
            name: max((found.n_R.max(initial=0) for found in some), default=0)
            for name in {model.model for some, _ in of_fills for model in some}
            for some in [[each.found[scope, name] for _, each in of_fills if (scope, name) in each.found]]
        }
        lines: list[dict[str, Any]] = []
        for model, each in ((model, each) for some, each in of_fills for model in some):
            if (scope, model.model) not in each.found:
                continue
            found = each.found[scope, model.model]
            wanted = set(found.rankings)
            if model.fill == schema.ZERO and (wanted or not filled):
                wanted |= {rule, "score_change", *CONTROLS}
                if not any(name.startswith(AVERAGED) for name in wanted):
                    wanted.add(AVERAGED)
            ordered = sorted(wanted, key=lambda name: (KINDS.index(kind_of(name)), name != rule, _order(name)))
            lines += [
                _row(run, scope, model, found, ranking, rule, each.units[scope], resampling, most[model.model])
                for ranking in ordered
            ]
        # Fills of a ranking side by side; the sort keeps all else as it is.
        first: dict[tuple[str, str], int] = {}
        for place, line in enumerate(lines):
            first.setdefault((line["model"], line["ranking"]), place)
        order = list(dict.fromkeys(model.model for some, _ in of_fills for model in some))
        lines.sort(key=lambda line: (order.index(line["model"]), first[line["model"], line["ranking"]]))
        rows += lines
        units = correlated.units.get(scope)
        if not lines:
            rows += [_blank(run, scope, name, rule, units, resampling) | {"note": NO_HALF} for name in order]
        rows += [
            _blank(run, scope, name, rule, units, resampling) | {"note": reason} | _paper(run, name, rule)
            for name, reason in missing.items()
        ]
    return table_of(rows, schema.TABLE1)


def table1_controls(
    run: Run,
    models: Sequence[Zeroed],
    correlated: Correlated,
    filled: Sequence[tuple[Sequence[Zeroed], Correlated]] = (),
) -> pa.Table:
    """Columns of ``schema.TABLE1_CONTROLS``: every rule and measure less every control, where both were zeroed."""
    rows = []
    for some, each in ((models, correlated), *filled):
        of_name = {model.model: model for model in some}
        for (scope, name), found in each.found.items():
            about = {"synthetic": run.synthetic or of_name[name].synthetic, "fill": of_name[name].fill}
            for (ranking, control), (n, columns) in found.pairs.items():
                row: dict[str, Any] = {"dataset": run.dataset, "run": run.key, "scope": scope, "model": name}
                row |= {"ranking": ranking, "control": control, "n": n, **about}
                for half, pair in (("important", columns[::2]), ("trivial", columns[1::2])):
                    row |= found.with_score.value(half, *pair) | found.with_mos.value(f"{half}_mos", *pair)
                rows.append(row)
    scopes = list(dict.fromkeys(row["scope"] for row in rows))
    rows.sort(key=lambda row: scopes.index(row["scope"]))
    return table_of(rows, schema.TABLE1_CONTROLS)


def kind_of(ranking: str) -> str:
    """What a ranking is: rule, own (the predicting model's), measure, explanation or control."""
    if ranking.startswith("control_"):
        return "control"
    if ranking in RULES:
        return "rule"
    if ranking == schema.OCCLUSION:
        return "own"
    return "explanation" if ranking.startswith(tuple(f"{m}_" for m in schema.EXPLANATIONS)) else "measure"


def without_explanations(models: Sequence[Zeroed]) -> list[Zeroed]:
    """The models without halves by explanations, which have a table of their own."""
    return [
        replace(model, halves={name: pair for name, pair in model.halves.items() if kind_of(name) != "explanation"})
        for model in models
    ]


def _order(ranking: str) -> tuple[int, str]:
    """Rules and controls in the order of their lists, measures by name."""
    listed = (*RULES, *CONTROLS)
    return (listed.index(ranking) if ranking in listed else len(listed), ranking)


def _row(
    run: Run,
    scope: str,
    model: Zeroed,
    found: ScopeCorrelations,
    ranking: str,
    rule: str,
    units: Units | None,
    resampling: Resampling,
    most: int,
) -> dict[str, Any]:
    row = _blank(run, scope, model.model, ranking, units, resampling)
    row |= {"model_run": model.key, "default_rule": ranking == rule, "fill": model.fill}
    row |= {"synthetic": run.synthetic or model.synthetic}
    row |= found.with_mos.value("test", 2 * len(found.rankings))
    notes = [model.note] if model.note else []
    if ranking in found.rankings:
        place = found.rankings.index(ranking)
        important, trivial = found.column(ranking, "important"), found.column(ranking, "trivial")
        row |= {"n": int(found.n_R[place]), "n_mos": int(found.n_mos_R[place])}
        row |= found.with_score.value("important", important) | found.with_mos.value("important_mos", important)
        row |= found.with_score.value("trivial", trivial) | found.with_mos.value("trivial_mos", trivial)
        row |= found.with_score.value("difference", trivial, important)
        row |= found.with_mos.value("difference_mos", trivial, important)
        few = units.note() if units is not None else None
        notes += [few] if few and row["n"] else []
        if 0 < row["n"] < most:
            notes.append(f"{row['n']} of {most} images")
        if not row["n"]:
            notes.append("no image of this scope has both halves zeroed")
        elif np.isnan(row["important"]) and np.isnan(row["trivial"]):
            notes.append(NOTHING_VARIES)
    else:
        notes.append(f"not zeroed by {ranking}")
    if not found.n_test:
        notes.append("no MOS")
    row |= _paper(run, model.model, ranking) if model.fill == schema.ZERO else {}
    known = paper.paper_dataset(run)
    # The paper's numbers are of its test set.
    if known and known.same and scope != ALL and "paper_test" in row:
        names = paper.Zeroing._fields
        row |= {f"{name}_minus_paper": row.get(name, np.nan) - row[f"paper_{name}"] for name in names}
    return row | {"note": "; ".join(notes) or None}


def _blank(
    run: Run, scope: str, model: str, ranking: str, units: Units | None, resampling: Resampling
) -> dict[str, Any]:
    return {
        "dataset": run.dataset,
        "run": run.key,
        "scope": scope,
        "model": model,
        "kind": kind_of(ranking),
        "ranking": ranking,
        "fill": schema.ZERO,
        "default_rule": True,
        "n": 0,
        "n_mos": 0,
        **(units or Units(np.zeros(0, np.int64), False)).columns(),
        "resamples": resampling.resamples,
        "synthetic": run.synthetic,
    }


def _paper(run: Run, model: str, ranking: str) -> dict[str, Any]:
    """The paper's numbers: its halves are by a rule of importance."""
    known, name = paper.paper_dataset(run), paper.paper_model(model)
    if known is None or name is None or kind_of(ranking) != "rule":
        return {}
    printed = paper.TABLE1[known.name][name]
    return {"paper_dataset": known.title} | {f"paper_{key}": value for key, value in printed._asdict().items()}
