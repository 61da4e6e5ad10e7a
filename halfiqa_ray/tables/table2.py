"""Table II of the paper: how often the blocks that a measure finds high are the blocks that matter (Section 4.2).

The matching number n of an image is how many blocks of its important half are in the measure's high half. The paper's
example says that an image matches at threshold T when n > T; its text can be read as n >= T too, so both stand here,
each beside what two random halves would give. Controls are the centre half, and another image's half by the same rule.

Shapes: N images, R columns (one for each "at least r blocks").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.masking.controls import centre_half, other_images
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.statistics.binomial import binomial_interval
from halfiqa_ray.statistics.matching import chance_at_least, chance_histogram, matching_number
from halfiqa_ray.tables import paper
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import Measured
from halfiqa_ray.tables.stored.means import Units, mean_intervals
from halfiqa_ray.tables.stored.reading import ALL, Images, Run
from halfiqa_ray.tables.writing import table_of

READINGS = ("n > T", "n >= T")
# What a table has a row for, stored or not; the objectness in use ends the last two names.
FAMILIES = ("saliency", "frequency_flat", "frequency_csf", "frequency_csf_whitened", "objectness", "averaged")
NONE = -1  # in place of a matching number
JOINED = " + "  # between the names of data sets that are counted together


@dataclass(frozen=True)
class Matching:
    """Matching numbers of all images by one rule and one measure or control; -1 where a half is missing."""

    rule: str
    kind: str  # measure, control
    name: str
    number_N: NDArray[np.int64]
    tied_N: NDArray[np.bool_]
    note: str = ""
    whole: bool = True  # whether every data set that is counted together has it


@dataclass(frozen=True)
class MatchedRun:
    """The matching numbers of a run, or of several runs together."""

    dataset: str
    run: str
    grid: Grid
    synthetic: bool
    real: frozenset[str]  # the paper's data sets that are in it
    scopes: dict[str, NDArray[np.int64]]
    photo: tuple[str, ...]
    of_photos: bool
    matchings: tuple[Matching, ...]


def matched_run(
    run: Run,
    images: Images,
    halves: Mapping[str, NDArray[np.int64]],
    measures: Sequence[Measured],
    missing: str,
    seed: int,
) -> MatchedRun:
    """Matching numbers of a run. ``halves`` are important halves (N,) by rule, 0 where an image has none.

    ``missing`` says why there are no measures.
    """
    nothing = np.zeros(len(images), np.int64)
    never = np.zeros(len(images), np.bool_)
    others_N = other_images(images.image_id, images.photo, seed)
    matchings = []
    for rule, half_N in halves.items():
        absent = "" if half_N.any() else f"no halves by {rule}"
        for family in dict.fromkeys([*FAMILIES, *(_family(m.name) for m in measures)]):
            stored = [m for m in measures if _family(m.name) == family]
            for measure in stored:
                note = absent or _measure_note(measure.name)
                number_N = _numbers(half_N, measure.high_N)
                matchings.append(Matching(rule, "measure", measure.name, number_N, measure.tied_N, note))
            if not stored:
                note = missing or "not measured"
                matchings.append(Matching(rule, "measure", family, nothing + NONE, never, note))
        centre_N = np.full(len(images), centre_half(run.grid))
        other_N = np.where(others_N >= 0, half_N[others_N], 0)
        matchings.append(Matching(rule, "control", "centre half", _numbers(half_N, centre_N), never, absent))
        matchings.append(Matching(rule, "control", "another image's half", _numbers(half_N, other_N), never, absent))
    known = paper.paper_dataset(run)
    real = frozenset({known.name} if known and known.same else ())
    return MatchedRun(
        *(run.dataset, run.key, run.grid, run.synthetic, real, images.scopes(), images.photo, images.of_photos),
        tuple(matchings),
    )


def together(runs: Sequence[MatchedRun]) -> MatchedRun:
    """The images of several data sets as one, in one scope; what a data set lacks is left out and named."""
    counts = [len(one.photo) for one in runs]
    keys = dict.fromkeys((m.rule, m.kind, m.name) for one in runs for m in one.matchings)
    matchings = []
    for key in keys:
        parts, lacking, notes = [], [], []
        for one, count in zip(runs, counts, strict=True):
            found = next((m for m in one.matchings if (m.rule, m.kind, m.name) == key), None)
            if found is None or (found.number_N == NONE).all():
                lacking.append(one.dataset)
            notes += [found.note] if found and found.note else []
            nothing = np.full(count, NONE, np.int64), np.zeros(count, np.bool_)
            parts.append((found.number_N, found.tied_N) if found else nothing)
        if (
            key[2] in ("objectness", "averaged")
            and len(lacking) == len(runs)
            and any(k[2].startswith(f"{key[2]}_") for k in keys)
        ):
            continue
        notes += [f"without {', '.join(lacking)}"] if lacking else []
        number_N, tied_N = (np.concatenate(part) for part in zip(*parts, strict=True))
        matchings.append(Matching(*key, number_N, tied_N, "; ".join(dict.fromkeys(notes)), not lacking))
    return MatchedRun(
        dataset=JOINED.join(one.dataset for one in runs),
        run=JOINED.join(one.run for one in runs),
        grid=runs[0].grid,
        synthetic=any(one.synthetic for one in runs),
        real=frozenset().union(*(one.real for one in runs)),
        scopes={ALL: np.arange(sum(counts))},
        photo=tuple(f"{one.dataset}/{photo}" for one in runs for photo in one.photo),
        of_photos=any(one.of_photos for one in runs),
        matchings=tuple(matchings),
    )


def table2(found: MatchedRun, rule: str, resampling: Resampling) -> tuple[pa.Table, pa.Table]:
    """Columns of ``schema.TABLE2`` and of ``schema.MATCHING_HISTOGRAM``; ``rule`` is the default rule.

    Thresholds are T = 1 .. B // 2 - 1 in the reading n > T, 1 .. 5 for the paper's 12 blocks, and the same in n >= T.
    Intervals are Wilson's over images; where images are crops of photos, the wider of it and the bootstrap over photos.
    """
    half = found.grid.blocks // 2
    at_least, histogram = chance_at_least(found.grid.blocks), chance_histogram(found.grid.blocks)
    rules = list(dict.fromkeys(m.rule for m in found.matchings))
    rows: list[dict[str, Any]] = []
    counted: list[dict[str, Any]] = []
    for scope, at in found.scopes.items():
        units = _units(found, at)
        for matching in sorted(found.matchings, key=lambda m: (m.rule != rule, rules.index(m.rule))):
            number_N = matching.number_N[at]
            there = number_N >= 0
            n = int(there.sum())
            hits_NR = np.where(there[:, None], number_N[:, None] >= np.arange(half + 1), np.nan)
            shares = _shares(hits_NR, units, resampling) if n else None
            few = units.note() if units.of_photos and n else None
            note = "; ".join(said for said in (matching.note, few) if said) or None
            start: dict[str, Any] = {"dataset": found.dataset, "run": found.run, "scope": scope, "rule": matching.rule}
            start |= {"kind": matching.kind, "name": matching.name, "synthetic": found.synthetic}
            grid = {"rows": found.grid.rows, "columns": found.grid.columns}
            for reading in READINGS:
                for threshold in range(1, half):
                    least = threshold + (reading == "n > T")
                    row = start | grid | {"reading": reading, "threshold": threshold, "n": n}
                    row |= {"default_rule": matching.rule == rule, "chance": float(at_least[least])}
                    row |= {"matched": int((number_N[there] >= least).sum()), "note": note}
                    if matching.kind == "measure":
                        row |= {"tied": int((matching.tied_N[at] & there).sum())} | _paper(found, scope, matching, row)
                    if shares is not None:
                        row |= {name: float(values[least]) for name, values in shares.items()}
                        row |= {"interval": "wilson" if not units.of_photos else "wilson or source photos, the wider"}
                        row |= {"minus_paper": row["share"] - row["paper"]} if row.pop("compared", False) else {}
                    row.pop("compared", None)
                    rows.append(row)
            images_R = np.bincount(number_N[there], minlength=half + 1)
            counted += [
                start
                | {"matching_number": k, "images": int(images_R[k]), "chance": float(histogram[k])}
                | {"share": images_R[k] / n if n else None}
                for k in range(half + 1)
            ]
    return table_of(rows, schema.TABLE2), table_of(counted, schema.MATCHING_HISTOGRAM)


def _numbers(half_N: NDArray[np.int64], high_N: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where((half_N > 0) & (high_N > 0), matching_number(half_N, high_N), NONE)


def _family(name: str) -> str:
    kind = name.partition("_")[0]
    return kind if kind in ("objectness", "averaged") else name


def _measure_note(name: str) -> str:
    papers = paper.paper_measure(name)[1]
    if name.startswith("averaged"):
        return "the paper does not print it" + ("" if papers else "; its objectness is not the paper's")
    return "" if papers else f"not the paper's {name.partition('_')[0]}"


def _units(found: MatchedRun, at: NDArray[np.int64]) -> Units:
    photos = np.asarray([found.photo[i] for i in at], dtype=str)
    return Units(np.unique(photos, return_inverse=True)[1].astype(np.int64), found.of_photos)


def _shares(hits_NR: NDArray[np.float64], units: Units, resampling: Resampling) -> dict[str, NDArray[np.float64]]:
    """Share of the images that match in at least r blocks, and its interval: each (R,)."""
    n = int(np.isfinite(hits_NR[:, 0]).sum())
    share_R = np.nanmean(hits_NR, axis=0)
    ends = np.array([binomial_interval(round(share * n), n) for share in share_R])
    low_R, high_R = ends[:, 0], ends[:, 1]
    if units.of_photos:
        _, photo_low_R, photo_high_R = mean_intervals(hits_NR, units, resampling)
        low_R, high_R = np.minimum(low_R, photo_low_R), np.maximum(high_R, photo_high_R)
    return {"share": share_R, "share_low": low_R, "share_high": high_R}


def _paper(found: MatchedRun, scope: str, matching: Matching, row: Mapping[str, Any]) -> dict[str, Any]:
    """The printed share, and whether this one may be compared with it (then ``compared``)."""
    name, papers = paper.paper_measure(matching.name)
    said: dict[str, Any] = {"papers_measure": papers}
    if name and papers and row["reading"] == READINGS[0] and found.grid.blocks == 12:
        said["paper"] = paper.TABLE2[name][row["threshold"] - 1] / 100
        said["compared"] = scope == ALL and matching.whole and found.real == frozenset(paper.TITLES)
    return said
