"""Estimated Shapley values against the exact ones: how far off they are, by what they cost."""

from __future__ import annotations

from halfiqa_ray import schema
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import (
    BLUE,
    GREY,
    PAGE,
    VERMILLION,
    Look,
    new_figure,
    notes_of,
    styled,
)
from halfiqa_ray.report.stored import about, column, of_scope, resampled, rows_of, sentences
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.writing import number

LOOKS = (Look(BLUE, "o"), Look(VERMILLION, "s", "--"))
# A panel: the value, what it is, and where the exact values are.
PANELS = (
    ("error", "mean absolute error, MOS units", 0.0),
    ("spearman", "rank correlation", 1.0),
    ("overlap", "important half found", 1.0),
)


@styled
def estimates(output: str, run: Run) -> Drawn:
    """Error, rank correlation and half found against evaluations, an estimator a line. Raises Missing."""
    rows = of_scope(rows_of(output, "shapley_estimates", run, schema.SHAPLEY_ESTIMATES))
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    figure = new_figure(PAGE, 2.7, notes_of(run.synthetic))
    for axis, (value, label, exact) in zip(figure.subplots(1, 3), PANELS, strict=True):
        axis.axhline(exact, color=GREY, linewidth=0.8, linestyle=":", label=f"exact, all {run.grid.subsets:,} subsets")
        for name, look in zip(names, LOOKS, strict=True):
            points = sorted((row for row in rows if row["estimator"] == name), key=lambda row: row["evaluations"])
            cost, mean, low, high = (
                column(points, each) for each in ("evaluations", value, f"{value}_low", f"{value}_high")
            )
            axis.fill_between(cost, low, high, color=look.colour, alpha=0.15, linewidth=0)
            axis.plot(cost, mean, color=look.colour, marker=look.marker, linestyle=look.line, label=name)
        axis.set_xscale("log", base=2)
        axis.set(xlabel="evaluations", ylabel=label)
        axis.set_xticks(sorted({row["evaluations"] for row in rows}))
        axis.xaxis.set_major_formatter(lambda cost, _: f"{cost:,.0f}")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    told = "; ".join(
        f"{row['estimator']} with {row['evaluations']:,} evaluations: error {number(row['error'], 4)}, "
        f"rank correlation {number(row['spearman'])}, {number(row['overlap'])} of the half"
        for row in rows
    )
    first = rows[0]
    return Drawn(
        "shapley_estimates",
        "Estimated Shapley values against the exact ones",
        sentences(
            "Shapley values estimated from a few of the stored subset scores, against the exact values from all of "
            "them (dotted): error of a block's value, rank correlation of the blocks' magnitudes, and the share of the "
            "important half that is found.",
            about(run, first["n"]),
            f"Mean over images of the mean over {first['draws']} draws; bands: {resampled(first)}.",
            "Evaluations are scores that an estimate asks a model for, each a pass where not all subsets can be had.",
        ),
        f"Three line charts against the number of evaluations. {told}.",
        figure,
    )
