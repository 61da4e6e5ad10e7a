"""PLCC with the whole photo's prediction: along curves of kept blocks, and of all subsets by their size."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from halfiqa_ray import schema
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import (
    COLUMN,
    GREEN,
    GREY,
    IMPORTANT,
    INK,
    PURPLE,
    TRIVIAL,
    Look,
    new_figure,
    notes_of,
    styled,
)
from halfiqa_ray.report.stored import Row, about, column, of_scope, resampled, rows_of, rule_with, sentences, there
from halfiqa_ray.tables import paper
from halfiqa_ray.tables.beyond.sufficiency import ORACLE, RANDOM
from halfiqa_ray.tables.stored.curves import BEST, LEAST, MOST
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.writing import interval_cell, number

PLCC = "PLCC with the whole photo's prediction"
RANDOM_LOOK, BEST_LOOK, ORACLE_LOOK = Look(GREY, "", ":"), Look(GREEN, "^", "-."), Look(PURPLE, "D", (0, (1, 1)))


@styled
def sufficiency(output: str, run: Run, rule: str) -> Drawn:
    """PLCC against the number of blocks kept. Raises Missing."""
    rows = of_scope(rows_of(output, "sufficiency", run, schema.SUFFICIENCY))
    of_rules = [row for row in rows if row["kind"] == "rule"]
    shown, said = rule_with(of_rules, rule, "name", lambda row: there(row, "plcc"))
    curves = [
        (f"{shown}, {MOST}", TRIVIAL, [r for r in of_rules if r["name"] == shown and r["order"] == MOST]),
        (f"{shown}, {LEAST}", IMPORTANT, [r for r in of_rules if r["name"] == shown and r["order"] == LEAST]),
        (f"{RANDOM} (mean of all subsets)", RANDOM_LOOK, [r for r in rows if r["name"] == RANDOM]),
        (BEST, BEST_LOOK, [r for r in rows if r["name"] == BEST]),
        (ORACLE, ORACLE_LOOK, [r for r in rows if r["name"] == ORACLE]),
    ]
    figure = new_figure(COLUMN, 3.2, notes_of(run.synthetic, said))
    axis = figure.subplots()
    half = run.grid.blocks // 2
    axis.axvline(half, color=GREY, linewidth=0.6, zorder=0)
    for label, look, points in curves:
        _curve(axis, label, look, points)
    axis.set(xlabel=f"blocks kept, of {run.grid.blocks}", ylabel=PLCC, xticks=range(1, run.grid.blocks + 1))
    figure.legend(loc="outside lower center", ncols=1)
    at_half = {label: row for label, _, points in curves for row in points if row["blocks_kept"] == half}
    told = "; ".join(f"{label} {interval_cell(row, 'plcc') or 'none'}" for label, row in at_half.items())
    first = next(points[0] for _, _, points in curves[:2] if points)
    return Drawn(
        "sufficiency",
        "How much of a photo is enough",
        sentences(
            "PLCC over images of the prediction with only some blocks kept with the prediction on the whole photo.",
            about(run, first["n"]),
            f"Bands: {resampled(first)}. The grey line is half of the blocks.",
            "Best fixed subset and oracle were chosen by looking at these same scores: bounds, no ways to find blocks.",
            f"{said}." if said else "",
        ),
        f"Line chart of PLCC against blocks kept. With {half} of {run.grid.blocks} blocks: {told}.",
        figure,
    )


def _curve(axis: Axes, label: str, look: Look, points: list[Row]) -> None:
    points = [row for row in points if there(row, "plcc")]
    if not points:
        return
    kept, plcc, low, high = (column(points, name) for name in ("blocks_kept", "plcc", "plcc_low", "plcc_high"))
    axis.fill_between(kept, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axis.plot(kept, plcc, color=look.colour, marker=look.marker, linestyle=look.line, label=label)


@styled
def subsets(output: str, run: Run, rule: str) -> Drawn:
    """PLCC of every subset by the number of masked blocks, and the two halves by a rule among them. Raises Missing."""
    blocks, half = run.grid.blocks, run.grid.blocks // 2
    rows = of_scope(rows_of(output, "subset_statistics", run, schema.SUBSET_STATISTICS))
    rows = [row for row in rows if 0 < row["blocks_kept"] < blocks and there(row, "plcc")]
    ways = of_scope(rows_of(output, "section2", run, schema.SECTION2))
    of_rules = [row for row in ways if row["kind"] == "rule"]
    shown, said = rule_with(of_rules, rule, "name", lambda row: there(row, "trivial") and there(row, "important"))
    way = next(row for row in of_rules if row["name"] == shown)
    figure = new_figure(COLUMN, 2.9, notes_of(run.synthetic, said))
    axis = figure.subplots()
    masked = range(1, blocks)
    by_size = [column([row for row in rows if blocks - row["blocks_kept"] == m], "plcc") for m in masked]
    known = [(m, values) for m, values in zip(masked, by_size, strict=True) if len(values)]
    at = [m for m, _ in known]
    low, first, median, third, high = np.array([np.quantile(v, (0, 0.25, 0.5, 0.75, 1)) for _, v in known]).T.reshape(
        5, -1
    )
    axis.vlines(at, low, high, color=GREY, linewidth=0.8, label="all subsets, range")
    axis.vlines(at, first, third, color=GREY, linewidth=4, alpha=0.6, label="quartiles")
    axis.plot(at, median, "_", color=INK, markersize=8, label="median")
    for name, look, shift in (("trivial", TRIVIAL, -0.22), ("important", IMPORTANT, 0.22)):
        place = blocks - half + shift
        # Not as error bars: a percentile interval need not hold the value itself.
        ends = [way[f"{name}_{end}"] for end in ("low", "high")]
        axis.plot([place] * 2, [np.nan if end is None else end for end in ends], color=look.colour, linewidth=0.8)
        axis.plot([place], [way[name]], look.marker, color=look.colour, label=f"each photo's {name} half")
        if way[f"paper_{name}"] is not None and _comparable(run):
            axis.plot(
                [blocks - half + 2 * shift], [way[f"paper_{name}"]], look.marker, color=look.colour,
                markerfacecolor="none", label=f"{name} half, the paper",
            )  # fmt: skip
    axis.set(xlabel=f"blocks masked, of {blocks}", ylabel=PLCC, xticks=list(masked))
    figure.legend(loc="outside lower center", ncols=2)
    at_half = dict(known).get(blocks - half, np.array([np.nan]))
    return Drawn(
        "subsets",
        "All block subsets, by how many blocks they mask",
        sentences(
            "PLCC over images of the prediction with the same blocks masked in all of them with the prediction on the "
            "whole photo, for all subsets of each size.",
            about(run, way["n"]),
            f"Points: each photo's own half masked, by {shown}, {resampled(way)}.",
            "Open: the paper." if _comparable(run) else "",
            f"{said}." if said else "",
        ),
        f"Ranges of PLCC by number of masked blocks. Of the {len(at_half):,} subsets that mask {blocks - half} of "
        f"{blocks} blocks the median is {number(float(np.median(at_half)))}, from {number(float(at_half.min()))} to "
        f"{number(float(at_half.max()))}; with each photo's trivial half masked {interval_cell(way, 'trivial')}, "
        f"important half masked {interval_cell(way, 'important')}.",
        figure,
    )


def _comparable(run: Run) -> bool:
    known = paper.paper_dataset(run)
    return known is not None and known.same
