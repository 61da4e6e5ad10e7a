"""Where important blocks lie, and how far rules, measures and models agree on them: two heat maps with numbers."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import COLUMN, DIVERGING, GREEN, INK, new_figure, notes_of, styled
from halfiqa_ray.report.stored import (
    Missing,
    about,
    column,
    model_title,
    of_scope,
    resampled,
    rows_of,
    sentences,
    there,
)
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.writing import interval_cell, number


@styled
def positions(output: str, run: Run) -> Drawn:
    """How often each block is in the important half, a panel a rule. Raises Missing."""
    rows = of_scope(rows_of(output, "positions", run, schema.POSITIONS))
    answers = {row["rule"]: row for row in of_scope(rows_of(output, "position_bias", run, schema.POSITION_BIAS))}
    rules = [rule for rule in dict.fromkeys(row["rule"] for row in rows) if answers[rule]["n"]]
    if not rules:
        raise Missing("no image has an important half: run jobs/rank.py again")
    grid, expected = run.grid, rows[0]["expected"]
    down = math.ceil(len(rules) / 2)
    figure = new_figure(COLUMN, 0.75 + 1.35 * down, notes_of(run.synthetic))
    axes = figure.subplots(down, min(len(rules), 2), squeeze=False).ravel()
    for axis, rule in zip(axes, rules, strict=False):
        of_rule = [row for row in rows if row["rule"] == rule]
        share_RC = column(of_rule, "important").reshape(grid.rows, grid.columns)
        image = _numbers(axis, share_RC, 0, 2 * expected, expected, ".2f")
        centre_RC = column(of_rule, "centre").reshape(grid.rows, grid.columns).astype(bool)
        axis.add_collection(LineCollection(outline(centre_RC), colors=GREEN, linewidths=1.2, capstyle="projecting"))
        axis.set_title(f"{rule}, n {answers[rule]['n']:,}\nposition: {answers[rule]['answer']}", fontsize=6.5)
        axis.set(xticks=[], yticks=[])
    for axis in axes[len(rules) :]:
        axis.set_axis_off()
    bar = figure.colorbar(image, ax=axes.tolist(), location="bottom", aspect=40, shrink=0.8)
    bar.set_label(f"share of images in whose important half the block is; expected {expected:g}")
    told = []
    for rule in rules:
        of_rule = [row for row in rows if row["rule"] == rule]
        most, least = max(of_rule, key=_share), min(of_rule, key=_share)
        told.append(
            f"{rule}: most often block {most['block']} ({interval_cell(most, 'important')}), least often block "
            f"{least['block']} ({interval_cell(least, 'important')}); {answers[rule]['answer']}"
        )
    first = answers[rules[0]]
    explained = "; ".join(
        f"{rule} {number(row['explained'], 2)} (chance {number(row['explained_chance'], 2)}), in the centre half "
        f"{interval_cell(row, 'in_centre')}"
        for rule, row in answers.items()
        if row["n"]
    )
    return Drawn(
        "positions",
        "Where the important blocks lie",
        sentences(
            f"Share of the images in whose important half each block is; {expected:g} were no position preferred.",
            "Green: the centre half. Under each rule: is its importance only a matter of position?",
            f"Part of the importance that position explains: {explained} (chance "
            f"{number(first['in_centre_chance'], 2)}); {resampled(first)}.",
            about(run, max(answers[rule]["n"] for rule in rules)),
        ),
        f"Heat maps of {grid.rows} x {grid.columns} blocks, a rule each. {'. '.join(told)}.",
        figure,
    )


@styled
def agreement(output: str, run: Run) -> Drawn:
    """Mean rank correlation over blocks of every rule with the other rules, measures and models. Raises Missing."""
    rows = [row for row in of_scope(rows_of(output, "agreement", run, schema.AGREEMENT)) if there(row, "spearman")]
    if not rows:
        raise Missing("no two ways to weigh blocks were both stored: run jobs/rank.py, measure.py and tables.py again")
    rules = list(dict.fromkeys([row["rule"] for row in rows] + [r["other"] for r in rows if r["kind"] == "rules"]))
    others = list(dict.fromkeys((row["kind"], row["other"]) for row in rows if row["kind"] != "rules"))
    columns = [("rules", rule) for rule in rules] + others
    value_RC = np.full((len(columns), len(rules)), np.nan)
    for row in rows:
        value_RC[columns.index((row["kind"], row["other"])), rules.index(row["rule"])] = row["spearman"]
        if row["kind"] == "rules":
            value_RC[columns.index(("rules", row["rule"])), rules.index(row["other"])] = row["spearman"]
    figure = new_figure(COLUMN, 1.1 + 0.19 * len(columns), notes_of(run.synthetic))
    axis = figure.subplots()
    image = _numbers(axis, value_RC, -1, 1, 0, "+.2f")
    names = [f"zeroing in {model_title(name)}" if kind == "model" else name for kind, name in columns]
    axis.set(
        xticks=range(len(rules)),
        xticklabels=[rule.replace("_", "_\n") for rule in rules],
        yticks=range(len(columns)),
        yticklabels=names,
        aspect="auto",
    )
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    for line in range(1, len(columns)):
        if columns[line][0] != columns[line - 1][0]:
            axis.axhline(line - 0.5, color=INK, linewidth=1)
    figure.colorbar(image, ax=axis, location="bottom", aspect=40).set_label("mean rank correlation; chance 0")
    strongest = sorted(rows, key=lambda row: -row["spearman"])
    told = [f"{row['rule']} with {row['other']} {interval_cell(row, 'spearman')}" for row in strongest]
    return Drawn(
        "agreement",
        "Do rules, measures and models agree on which blocks matter?",
        sentences(
            "Spearman correlation over the blocks of each image, mean over images; empty: not stored.",
            about(run, max(row["n"] for row in rows)),
            "Intervals are in tables/agreement.md.",
        ),
        f"Matrix of rank correlations. Highest: {'; '.join(told[:3])}. Lowest: {'; '.join(told[-3:])}.",
        figure,
    )


def _numbers(axis: Axes, value_RC: NDArray[np.float64], low: float, high: float, middle: float, form: str) -> AxesImage:
    """A heat map with its numbers in the cells; those without a number stay white."""
    image = axis.imshow(value_RC, cmap=DIVERGING, vmin=low, vmax=high)
    for (row, col), value in np.ndenumerate(value_RC):
        if np.isfinite(value):
            far = abs(value - middle) > 0.6 * (high - middle)
            colour, size = "white" if far else INK, min(6.0, 30 / value_RC.shape[1])
            axis.text(col, row, format(value, form), ha="center", va="center", fontsize=size, color=colour)
    axis.spines[:].set_visible(False)
    return image


def outline(inside_RC: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """The edges between blocks inside and outside as lines of (x, y); block (r, c) has its middle at (c, r)."""
    framed = np.pad(inside_RC, 1)
    down = [[(c - 0.5, r - 1.5), (c - 0.5, r - 0.5)] for r, c in np.argwhere(framed[:, 1:] != framed[:, :-1])]
    across = [[(c - 1.5, r - 0.5), (c - 0.5, r - 0.5)] for r, c in np.argwhere(framed[1:] != framed[:-1])]
    return down + across


def _share(row: dict[str, float]) -> float:
    return row["important"]
