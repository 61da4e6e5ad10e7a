"""The result of Section 2 of the paper: PLCC with the trivial and with the important half masked in the transformer.

A row is a way to pick halves. "Trivial masked" keeps what the row calls important, "important masked" keeps the rest.

- Rules pick the important half, each image its own; `image_plcc` one for all images of the scope.
- Controls pick a half that plays "important": at random, the centre, or that of another image by the default rule.
  Nothing about the image went into it, so both columns should be alike.
- Bounds are not ways to find a half. "best and worst fixed half": of all halves that can be kept for all images of
  the scope (924 for 12 blocks) the one with the highest PLCC stands under trivial and the one with the lowest under
  important; they need not be complements, and were chosen on the same images. "oracle, image by image": the same
  per image, by the change of its score.

Intervals are 95% percentile bootstrap over images, or over source photos where images are crops. All rows of a scope
share the resamples, so that differences have intervals too; a half that was chosen on the data stays as chosen.
Shape suffixes: N images, R rows of the table, D resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.controls import centre_half, other_images, random_halves
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import halves_masked
from halfiqa_ray.schema import IMAGE_RULES
from halfiqa_ray.statistics.bootstrap import (
    FEWEST_IMAGES,
    interval_note,
    no_interval,
    percentile_interval,
    resampled_plcc,
)
from halfiqa_ray.statistics.pearson import pearson
from halfiqa_ray.tables.paper import SECTION2, paper_dataset
from halfiqa_ray.tables.stored.curves import UNDEFINED
from halfiqa_ray.tables.stored.reading import Images, Run

RANDOM = "random half"
KINDS = ("rule", "control", "bound")
NOTHING_VARIES = "no PLCC: nothing varies"


@dataclass(frozen=True)
class Picked:
    """A way to pick halves: the subset kept with the trivial and with the important half masked.

    int64 (N,) over all images of a run; -1 where an image has no half by this rule.
    """

    kind: str
    name: str
    kept_trivial_masked: NDArray[np.int64]
    kept_important_masked: NDArray[np.int64]
    note: str = ""
    fixed: bool = False


@dataclass(frozen=True)
class Masked:
    """A row to come: scores with either half masked, float64 (N,) over the images of a scope, NaN where missing."""

    kind: str
    name: str
    trivial_N: NDArray[np.float64]
    important_N: NDArray[np.float64]
    note: str = ""
    kept: tuple[int, int] | None = None  # where one half serves all images

    @classmethod
    def of(cls, way: Picked, trivial_N: NDArray[np.float64], important_N: NDArray[np.float64]) -> Masked:
        """The row of a way to pick halves, with its scores."""
        kept = None
        if way.fixed and way.kept_trivial_masked[0] != UNDEFINED:
            kept = (int(way.kept_trivial_masked[0]), int(way.kept_important_masked[0]))
        return cls(way.kind, way.name, trivial_N, important_N, way.note, kept)


@dataclass(frozen=True)
class Sample:
    """The images of a scope: unmasked scores, MOS (NaN = none), number of the source photo, each (N,)."""

    score_N: NDArray[np.float64]
    mos_N: NDArray[np.float64]
    groups_N: NDArray[np.int64]
    of_photos: bool  # whether groups are source photos or single images


@dataclass(frozen=True)
class Resampling:
    """How intervals are made."""

    resamples: int = 2000
    seed: int = 1


def picked_halves(run: Run, images: Images, rule: str, seed: int) -> list[Picked]:
    """Every way whose halves are known before the scores are read: the per-image rules and the controls."""
    grid = run.grid
    found = []
    for name in IMAGE_RULES:
        missing = "the model gives no quality levels" if name == "level_plcc" else "undefined for these images"
        found.append(_picked(grid, "rule", name, images.halves[name], missing))
    of_rule = rule if rule in IMAGE_RULES and images.halves[rule].any() else "score_change"
    random = random_halves(grid, images.image_id, seed).astype(np.int64)
    found.append(_picked(grid, "control", RANDOM, random, note="both columns mask a random half"))
    centre = np.full(len(images), centre_half(grid))
    found.append(_picked(grid, "control", "centre half", centre, note="the centre plays important", fixed=True))
    others = other_images(images.image_id, images.photo, seed)
    halves = np.where(others >= 0, images.halves[of_rule][others], 0) if len(images) > 1 else np.zeros(len(images))
    missing = "there is no other image"
    found.append(_picked(grid, "control", "another image's half", halves, missing, f"its half by {of_rule}"))
    return found


def fixed_halves(grid: Grid, plcc_S: NDArray[np.float64], important: int) -> dict[str, tuple[int, int] | None]:
    """The ways that need the PLCC of every subset over a scope: subsets kept under (trivial, important) masked.

    ``important`` is the half of the rule `image_plcc` (0 = undefined). None where no PLCC exists.
    """
    keeps_best, keeps_worst = grid.halves(), grid.full ^ grid.halves()
    best, worst = plcc_S[keeps_best], plcc_S[keeps_worst]
    bounds = None
    if np.isfinite(best).any() and np.isfinite(worst).any():
        bounds = (int(keeps_best[np.nanargmax(best)]), int(keeps_worst[np.nanargmin(worst)]))
    rule = (important, grid.full ^ important) if important else None
    return {"image_plcc": rule, "best and worst fixed half": bounds}


def fixed_row(
    name: str, trivial_N: NDArray[np.float64], important_N: NDArray[np.float64], kept: tuple[int, int] | None
) -> Masked:
    """The row of one of `fixed_halves`."""
    kind = "rule" if name == "image_plcc" else "bound"
    note = "chosen on these same images" if kept else NOTHING_VARIES
    return Masked(kind, name, trivial_N, important_N, note, kept)


def oracle_row(least_N: NDArray[np.float64], most_N: NDArray[np.float64]) -> Masked:
    """The row of the half that changes an image's score least, and most."""
    return Masked("bound", "oracle, image by image", least_N, most_N, "chosen by looking at the masked scores")


@dataclass(frozen=True)
class Correlations:
    """PLCC of some columns with one vector: over the sample (R,), and in every resample (D, R)."""

    plcc_R: NDArray[np.float64]
    draws_DR: NDArray[np.float64]

    def value(self, name: str, column: int, minus: int | None = None) -> dict[str, float]:
        """PLCC of a column, or its difference from another's, with its interval."""
        value, draws = self.plcc_R[column], self.draws_DR[:, column]
        if minus is not None:
            value, draws = value - self.plcc_R[minus], draws - self.draws_DR[:, minus]
        low, high = percentile_interval(draws[:, None])
        ends = (low[0], high[0]) if np.isfinite(value) else (np.nan, np.nan)
        return {name: float(value), f"{name}_low": float(ends[0]), f"{name}_high": float(ends[1])}


def correlate(
    x_NR: NDArray[np.float64], y_N: NDArray[np.float64], groups_N: NDArray[np.integer], resampling: Resampling
) -> Correlations:
    """PLCC of columns with a vector; rows where either is NaN are left out of the columns concerned."""
    plcc_R = np.full(x_NR.shape[1], np.nan)
    for column, x_N in enumerate(x_NR.T):
        there = np.isfinite(x_N) & np.isfinite(y_N)
        if there.any():
            plcc_R[column] = pearson(x_N[there], y_N[there])
    if np.isnan(plcc_R).all() or no_interval(len(groups_N), int(groups_N.max()) + 1):
        return Correlations(plcc_R, np.full((1, x_NR.shape[1]), np.nan))
    draws_DR = resampled_plcc(x_NR, y_N, groups_N, resampling.resamples, resampling.seed)
    few_R = (np.isfinite(x_NR) & np.isfinite(y_N)[:, None]).sum(0) < FEWEST_IMAGES
    draws_DR[:, few_R] = np.nan
    return Correlations(plcc_R, draws_DR)


def correlations_wanted(rows: Sequence[Masked], sample: Sample, resampling: Resampling) -> list[tuple[Any, ...]]:
    """Arguments of the two calls of `correlate` that the rows of a scope need: with the prediction, and with MOS."""
    masked_NR = np.stack([r.trivial_N for r in rows] + [r.important_N for r in rows], axis=1)
    unmasked_NR = np.where(np.isfinite(masked_NR[:, : len(rows)]), sample.score_N[:, None], np.nan)
    groups_N = np.unique(sample.groups_N, return_inverse=True)[1]
    with_mos = np.concatenate([masked_NR, unmasked_NR], axis=1)
    return [(masked_NR, sample.score_N, groups_N, resampling), (with_mos, sample.mos_N, groups_N, resampling)]


def table_rows(
    run: Run,
    scope: str,
    rows: Sequence[Masked],
    sample: Sample,
    correlations: Sequence[Correlations],
    rule: str,
    resampling: Resampling,
) -> list[dict[str, Any]]:
    """Rows of ``schema.SECTION2`` for one scope, the default rule first; NaN stands for null.

    ``correlations`` are the results for the arguments that `correlations_wanted` gave for the same rows.
    """
    with_score, with_mos = correlations
    units, count = len(np.unique(sample.groups_N)), len(rows)
    random = next((i for i, row in enumerate(rows) if row.name == RANDOM), None)
    paper = paper_numbers(run)
    result = []
    for i, row in enumerate(rows):
        trivial, important, unmasked = i, count + i, 2 * count + i
        there = np.isfinite(row.trivial_N) & np.isfinite(row.important_N)
        line: dict[str, Any] = {
            "dataset": run.dataset,
            "run": run.key,
            "model": run.metadata.get("model"),
            "rows": run.grid.rows,
            "columns": run.grid.columns,
            "scope": scope,
            "kind": row.kind,
            "name": row.name,
            "default_rule": row.name == rule,
            "n": int(there.sum()),
            "n_mos": int((there & np.isfinite(sample.mos_N)).sum()),
            "resampled": "source photo" if sample.of_photos else "image",
            "resampled_units": units,
            "resamples": resampling.resamples,
            **with_score.value("trivial", trivial),
            **with_score.value("important", important),
            **with_score.value("difference", trivial, important),
            **with_mos.value("trivial_mos", trivial),
            **with_mos.value("important_mos", important),
            **with_mos.value("difference_mos", trivial, important),
            **with_mos.value("unmasked_mos", unmasked),
            "synthetic": run.synthetic,
        }
        if random is not None and i != random:
            line |= with_score.value("trivial_minus_random", trivial, random)
            line |= with_score.value("important_minus_random", important, count + random)
        if paper and row.kind == "rule":
            line |= {"paper_trivial": paper[0], "trivial_minus_paper": line["trivial"] - paper[0]}
            line |= {"paper_important": paper[1], "important_minus_paper": line["important"] - paper[1]}
        if row.kept:
            line |= {"kept_trivial_masked": row.kept[0], "kept_important_masked": row.kept[1]}
        line["note"] = "; ".join(_notes(row, line, len(sample.groups_N))) or None
        result.append(line)
    return sorted(result, key=lambda line: (KINDS.index(line["kind"]), not line["default_rule"]))


def paper_numbers(run: Run) -> tuple[float, float] | None:
    """The paper's PLCC with the trivial and the important half masked, for the real data sets on its 3 x 4 blocks."""
    known = paper_dataset(run)
    return SECTION2[known.name] if known and known.same else None


def _picked(
    grid: Grid,
    kind: str,
    name: str,
    halves: NDArray[Any],
    missing: str = "",
    note: str = "",
    fixed: bool = False,
) -> Picked:
    trivial_masked, important_masked = halves_masked(grid, halves)
    there = trivial_masked != 0
    note = note if there.any() else missing
    kept = [np.where(there, subsets, UNDEFINED) for subsets in (trivial_masked, important_masked)]
    return Picked(kind, name, kept[0], kept[1], note, fixed)


def _notes(row: Masked, line: dict[str, Any], images: int) -> list[str]:
    notes = [row.note] if row.note else []
    if line["n"] and line["n_mos"] == 0:
        notes.append("no MOS")
    few = interval_note(images, line["resampled_units"], line["resampled"])
    if line["n"] and few:
        notes.append(few)
    if line["n"] and np.isnan(line["trivial"]) and np.isnan(line["important"]):
        notes.append(NOTHING_VARIES)
    return notes
