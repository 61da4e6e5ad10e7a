"""Table II: how often the blocks that a measure finds high are the important ones, beside what chance would give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from halfiqa_ray import schema
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import (
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    PALE,
    PURPLE,
    VERMILLION,
    Look,
    new_figure,
    notes_of,
    styled,
)
from halfiqa_ray.report.stored import (
    Missing,
    Row,
    about,
    column,
    of_scope,
    papers_measures,
    rows_of,
    rule_with,
    sentences,
    substituted,
    there,
)
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.table2 import READINGS
from halfiqa_ray.tables.writing import number

# The paper's measures, the average, and one control; all frequency recipes and controls are in the histograms.
CONTROL = "another image's half"
LOOKS = {
    "saliency": Look(BLUE, "o"),
    "frequency": Look(GREEN, "^", "-."),
    "objectness": Look(ORANGE, "D", "--"),
    "averaged": Look(PURPLE, "s"),
    CONTROL: Look(GREY, "x", ":"),
}


@styled
def matching(output: str, run: Run, rule: str) -> Drawn:
    """Share of images that match in at least so many blocks, by measure. Raises Missing."""
    if run.grid.blocks < 4:
        raise Missing(f"no thresholds: halves of {run.grid.rows} x {run.grid.columns} blocks have one block or none")
    rows = of_scope(rows_of(output, "table2", run, schema.TABLE2))
    shown, said = rule_with(rows, rule, "rule", lambda row: there(row, "share"))
    rows = [row for row in rows if row["rule"] == shown and there(row, "share")]
    names = list(dict.fromkeys(row["name"] for row in rows))
    curves = {
        name: (LOOKS[name.partition("_")[0]], _at_least([row for row in rows if row["name"] == name]))
        for name in (*papers_measures(names), *(name for name in names if name == CONTROL))
    }
    if not curves:
        raise Missing(f"tables/table2.parquet has no measure for run {run.key}: run jobs/measure.py and jobs/tables.py")
    half = run.grid.blocks // 2
    figure = new_figure(COLUMN, 3.0, notes_of(run.synthetic, said))
    axis = figure.subplots()
    some = next(iter(curves.values()))[1]
    edges = np.array([[row["least"] - 0.5, row["least"] + 0.5] for row in some]).ravel()
    chance = axis.fill_between(edges, 100 * column(some, "chance").repeat(2), color=PALE, linewidth=0)
    handles: list[Any] = [chance]
    labels = ["chance: two random halves"]
    for place, (name, (look, points)) in enumerate(curves.items()):
        at = column(points, "least") + 0.1 * (place - (len(curves) - 1) / 2)
        share, low, high = (100 * column(points, each) for each in ("share", "share_low", "share_high"))
        axis.vlines(at, low, high, color=look.colour, linewidth=0.7)
        (drawn,) = axis.plot(at, share, color=look.colour, marker=look.marker, linestyle=look.line, linewidth=0.7)
        handles.append(drawn)
        labels.append(name)
        printed = np.array([row["paper"] is not None for row in points])
        if printed.any():
            (open_marker,) = axis.plot(
                at[printed], 100 * column(points, "paper")[printed], look.marker, color=look.colour, markersize=5,
                markerfacecolor="none",
            )  # fmt: skip
            handles.append(open_marker)
            labels.append(f"{name.partition('_')[0]}, the paper")
    axis.set(xlabel="important blocks that are high, at least", ylabel="percent of images", ylim=(0, 104))
    axis.set_xticks(range(1, half + 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    middle = half // 2 + 1
    told = "; ".join(
        f"{name} {number(100 * row['share'], 1)}%"
        for name, (_, points) in curves.items()
        for row in points
        if row["least"] == middle
    )
    expected = next(row["chance"] for row in some if row["least"] == middle)
    papers = any(there(row, "paper") for _, points in curves.values() for row in points)
    return Drawn(
        "matching",
        "Are the blocks that matter those that measures find high? (Table II)",
        sentences(
            f"Percent of images in which at least so many of the {half} important blocks (by {shown}) are among the "
            f"{half} blocks with the higher means of a measure. The paper's threshold T is one less than this number "
            "where it is read as n > T, and this number where it is read as n ≥ T.",
            "Open: the paper's Table II, read as n > T." if papers else "",
            about(run, max(row["n"] for row in rows)),
            f"Intervals: 95%, {rows[0]['interval'] or 'none'}.",
            substituted(names),
            f"{said}." if said else "",
        ),
        f"Curves of matching degree. At least {middle} of {half} blocks: {told}; chance {number(100 * expected, 1)}%.",
        figure,
    )


@styled
def histogram(output: str, run: Run, rule: str) -> Drawn:
    """Matching numbers 0 .. B // 2 against the hypergeometric chance, a panel a measure or control. Raises Missing."""
    rows = of_scope(rows_of(output, "matching_histogram", run, schema.MATCHING_HISTOGRAM))
    shown, said = rule_with(rows, rule, "rule", lambda row: there(row, "share"))
    rows = [row for row in rows if row["rule"] == shown and there(row, "share")]
    names = list(dict.fromkeys(row["name"] for row in rows))
    across, half = min(4, len(names)), run.grid.blocks // 2
    down = math.ceil(len(names) / across)
    figure = new_figure(PAGE, 0.9 + 1.25 * down, notes_of(run.synthetic, said))
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    told, counts = [], []
    for axis, name in zip(axes, names, strict=False):
        of_name = [row for row in rows if row["name"] == name]
        at, share, chance = (column(of_name, each) for each in ("matching_number", "share", "chance"))
        control = of_name[0]["kind"] == "control"
        axis.bar(
            at,
            100 * share,
            color=GREY if control else BLUE,
            width=0.8,
            hatch="///" if control else None,
            edgecolor="white",
            linewidth=0,
        )
        axis.plot(at, 100 * chance, "D-", color=VERMILLION, markersize=2.5, linewidth=0.8)
        images = sum(row["images"] for row in of_name)
        counts.append(images)
        mean, expected = float((at * share).sum()), float((at * chance).sum())
        axis.set_title(f"{name}\nn {images:,}, mean {mean:.2f} (chance {expected:.2f})", fontsize=6.5)
        told.append(f"{name} {mean:.2f}")
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    axes[0].plot([], [], "D-", color=VERMILLION, label="chance: two random halves (hypergeometric)")
    axes[0].bar([half / 2], [0], color=BLUE, label="a measure's high half")
    if any(row["kind"] == "control" for row in rows):
        axes[0].bar([half / 2], [0], color=GREY, hatch="///", edgecolor="white", label="a control")
    figure.legend(loc="outside lower center", ncols=3)
    for axis in axes[: len(names)][-across:]:
        axis.set_xlabel("blocks in both halves")
    for axis in axes[::across]:
        axis.set_ylabel("percent of images")
    return Drawn(
        "matching_histogram",
        "How many important blocks are among the high ones",
        sentences(
            f"Of the {half} important blocks of each image by {shown}, how many are among the {half} with the higher "
            "means of a measure, or in the half of a control.",
            about(run, max(counts)),
            substituted(names),
            f"{said}." if said else "",
        ),
        f"Histograms of matching numbers 0 to {half}. Means: {'; '.join(told)}; by chance {expected:.2f}.",
        figure,
    )


def _at_least(rows: list[Row]) -> list[Row]:
    """The points of both readings as one curve: each number of blocks once, the paper's value where it stands."""
    found: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: row["reading"] == READINGS[0]):
        least = row["threshold"] + (row["reading"] == READINGS[0])
        found[least] = {**row, "least": least}
    return [found[least] for least in sorted(found)]
