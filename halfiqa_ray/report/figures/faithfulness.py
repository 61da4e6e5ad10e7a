"""Mean curves of deletion and insertion: how far the score moves as blocks go, and how it settles as they come."""

from __future__ import annotations

from matplotlib.axes import Axes

from halfiqa_ray import schema
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import (
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    PURPLE,
    TRIVIAL,
    VERMILLION,
    Look,
    new_figure,
    notes_of,
    styled,
)
from halfiqa_ray.report.stored import Row, about, column, of_scope, resampled, rows_of, rule_with, sentences, there
from halfiqa_ray.tables.beyond.faithfulness import MASKED, RANDOM
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.writing import number

# One rule, then what did not look at the scores of subsets; the random order is the yardstick.
OTHERS = (Look(VERMILLION, "o", "--"), Look(GREEN, "^", "-."), Look(PURPLE, "D", (0, (1, 1))), Look(ORANGE, "v", "--"))
RANDOM_LOOK = Look(GREY, "", ":")
PANELS = (("deletion", "blocks masked"), ("insertion", "blocks kept"))


@styled
def faithfulness(output: str, run: Run, rule: str) -> Drawn:
    """Mean absolute change of the score against the number of blocks masked, and kept. Raises Missing."""
    rows = of_scope(rows_of(output, "faithfulness_curves", run, schema.FAITHFULNESS_CURVES))
    rows = [row for row in rows if row["fill"] == MASKED]
    orders: dict[str, list[Row]] = {}
    for row in rows:
        if there(row, "deletion"):
            orders.setdefault(row["name"], []).append(row)
    of_rules = [row for row in rows if row["kind"] == "rule"]
    shown, said = rule_with(of_rules, rule, "name", lambda row: there(row, "deletion"))
    others = _others(orders, str(run.metadata.get("model")))
    lines = [(shown, TRIVIAL), *zip(others, OTHERS, strict=False), (RANDOM, RANDOM_LOOK)]
    lines = [(name, look) for name, look in lines if name in orders]
    figure = new_figure(PAGE, 2.9, notes_of(run.synthetic, said))
    for axis, (value, label) in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
        for name, look in lines:
            _curve(axis, value, name, look, orders[name])
        axis.set(xlabel=f"{label}, most important first, of {run.grid.blocks}", title=value)
        axis.set_xticks(range(run.grid.blocks + 1))
    figure.axes[0].set_ylabel("mean absolute change of the score")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(lines)))
    half = run.grid.blocks // 2
    told = "; ".join(
        f"{name} {number(row['deletion'])} and {number(row['insertion'])}"
        for name, _ in lines
        for row in orders[name]
        if row["blocks"] == half
    )
    first = orders[shown][0]
    return Drawn(
        "faithfulness",
        "Deletion and insertion of blocks",
        sentences(
            "Mean absolute change of the score from that of the whole photo, MOS units, as blocks are masked in the "
            "transformer (left: a faithful order rises fast) and as they are kept (right: it falls fast), each photo's "
            "most important first.",
            about(run, first["n"]),
            f"Bands: {resampled(first)}. The random order is the exact mean over all subsets of a size.",
            "The rule looks at these same scores; measures and explanations do not.",
            f"{said}." if said else "",
        ),
        f"Two line charts. With {half} of {run.grid.blocks} blocks masked, and kept: {told}.",
        figure,
    )


def _others(orders: dict[str, list[Row]], model: str) -> list[str]:
    """The averaged measure (or the first one), and explanations: those of the ranking model before others'."""
    measures = [name for name, some in orders.items() if some[0]["kind"] == "measure"]
    averaged = [name for name in measures if name.startswith("averaged")]
    explained = [name for name, some in orders.items() if some[0]["kind"] == "explanation"]
    explained.sort(key=lambda name: not name.endswith(f"_{model}"))
    return [*(averaged or measures)[:1], *explained][: len(OTHERS)]


def _curve(axis: Axes, value: str, name: str, look: Look, points: list[Row]) -> None:
    blocks, mean, low, high = (column(points, each) for each in ("blocks", value, f"{value}_low", f"{value}_high"))
    axis.fill_between(blocks, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axis.plot(blocks, mean, color=look.colour, marker=look.marker, linestyle=look.line, label=name)
