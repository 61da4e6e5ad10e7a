"""Table I and the table of Section 2 as dot plots: PLCC with the important and with the trivial half taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from halfiqa_ray import schema
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import COLUMN, GREY, IMPORTANT, PALE, TRIVIAL, Look, new_figure, notes_of, styled
from halfiqa_ray.report.stored import (
    Missing,
    Row,
    about,
    model_title,
    of_scope,
    resampled,
    rows_of,
    scope_of_test,
    sentences,
    there,
)
from halfiqa_ray.tables.averaged_measure import MEAN
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.writing import interval_cell

CONTROLS = {
    "control_random": "random half",
    "control_centre": "centre half",
    "control_other": "another image's half",
}
HALVES = (("trivial", TRIVIAL), ("important", IMPORTANT))
ROW = 0.145  # inches


@dataclass(frozen=True)
class Line:
    """One row of dots: where to find its numbers."""

    label: str
    row: Row
    suffix: str = ""  # of the columns: "" = with the prediction, "_mos" = with MOS

    def value(self, half: str) -> tuple[float, float, float] | None:
        """PLCC and its interval (the value itself where it has none)."""
        middle, low, high = (self.row[f"{half}{self.suffix}{end}"] for end in ("", "_low", "_high"))
        return None if middle is None else (middle, middle if low is None else low, middle if high is None else high)

    def paper(self, half: str) -> float | None:
        """The number that the paper prints."""
        # Its halves are by one rule: beside the others its numbers would be said too often.
        found: float | None = self.row.get(f"paper_{half}{self.suffix}") if self.row["default_rule"] else None
        return found

    @property
    def is_drawn(self) -> bool:
        """Whether it has dots, ours or the paper's."""
        return any(of(half) is not None for of in (self.value, self.paper) for half in ("important", "trivial"))


@styled
def table1(output: str, run: Run, mos: bool = False) -> Drawn:
    """Table I: every model, halves zeroed by rules, measures and controls. Raises Missing."""
    rows = [row for row in rows_of(output, "table1", run, schema.TABLE1) if row["fill"] == schema.ZERO]
    if not rows:
        raise Missing("halves are filled in other ways than the paper's alone: run jobs/zero.py with zero.fill [zero]")
    scope = scope_of_test(rows)
    rows, few = _of_most(of_scope(rows, scope))
    suffix = "_mos" if mos else ""
    groups = [
        (model_title(model), [Line(_title(row["ranking"]), row, suffix) for row in some])
        for model, some in groupby(rows, key=lambda row: row["model"])
    ]
    # Of a model that nobody asked for there is nothing to draw, but the paper's numbers where it has some.
    shown = [(title, lines) for title, lines in groups if any(line.is_drawn for line in lines)] or groups
    first = max(rows, key=lambda row: row["n"])
    synthetic = any(row["synthetic"] for row in rows)
    papers = next((row["paper_dataset"] for row in rows if row["paper_dataset"]), None)
    axis_label = f"PLCC, half zeroed, with {'MOS' if mos else 'the original prediction'}"
    figure = _figure(shown, axis_label, "zeroed", synthetic, papers)
    of_rule = [(title, line) for title, lines in groups for line in lines if line.row["default_rule"]]
    told = "; ".join(
        f"{title} by {line.row['ranking']}: important {interval_cell(line.row, f'important{suffix}')}, trivial "
        f"{interval_cell(line.row, f'trivial{suffix}')}"
        for title, line in of_rule
        if line.value("important")
    )
    return Drawn(
        f"table1{suffix}",
        f"Half of the pixels zeroed, five models{': agreement with MOS' if mos else ''} (Table I)",
        sentences(
            "PLCC over images of the prediction on the photo with half of its pixels zeroed with "
            f"{'MOS' if mos else 'the prediction on the original'}, by what chose the halves.",
            about(run, first["n"], scope),
            f"Intervals: {resampled(first)}.",
            f"Open markers: the paper's Table I, on {papers}." if papers else "",
            _starred(rows),
            few,
            _not_there(groups),
        ),
        f"Dot plot of PLCC for {len(groups)} models. {told or 'No model has zeroed scores'}.",
        figure,
    )


@styled
def section2(output: str, run: Run) -> Drawn:
    """The table of Section 2: half of the blocks masked in the transformer. Raises Missing."""
    rows = of_scope(rows_of(output, "section2", run, schema.SECTION2))
    titles = {
        "rule": "rules",
        "control": "controls (no rule picked the half)",
        "bound": "bounds (chosen by the scores)",
    }
    groups = [
        (titles.get(kind, kind), [Line(row["name"], row) for row in some])
        for kind, some in groupby(rows, key=lambda row: row["kind"])
    ]
    first = max(rows, key=lambda row: row["n"])
    papers = any(there(row, "paper_trivial") for row in rows)
    axis_label = "PLCC, half masked, with the whole photo's prediction"
    figure = _figure(groups, axis_label, "masked", run.synthetic, "the paper" if papers else None)
    told = "; ".join(
        f"{row['name']}: trivial masked {interval_cell(row, 'trivial')}, important {interval_cell(row, 'important')}"
        for row in rows
        if there(row, "trivial") and (row["default_rule"] or row["kind"] == "control")
    )
    return Drawn(
        "section2",
        "Half of the blocks masked in the transformer (Section 2)",
        sentences(
            "PLCC over images of the prediction with half of the blocks masked with the prediction on the whole photo, "
            "by what chose the halves.",
            about(run, first["n"]),
            f"Intervals: {resampled(first)}.",
            "Open markers: the paper." if papers else "",
            _not_there(groups),
        ),
        f"Dot plot of PLCC. {told}.",
        figure,
    )


@styled
def explained(output: str, run: Run) -> Drawn:
    """Halves by explanations beside halves by all else, zeroed in the same images. Raises Missing.

    Shown are the ranking model and the mean over models.
    """
    rows = rows_of(output, "explanations", run, schema.EXPLANATIONS_TABLE, "jobs/explain.py")
    scope = scope_of_test(rows)
    shown = (str(run.metadata.get("model")), MEAN)
    rows = [row for row in of_scope(rows, scope) if row["model"] in shown and there(row, "important")]
    if not rows:
        raise Missing("no halves by explanations were zeroed: run jobs/explain.py with explain.zero")
    groups = []
    for model, some in groupby(rows, key=lambda row: row["model"]):
        lines = [Line(_title(row["ranking"]) + " (own)" * (row["kind"] == "own explanation"), row) for row in some]
        title = "mean over models" if model == MEAN else model_title(model)
        groups.append((f"{title}, n {lines[0].row['n']:,}", lines))
    first = max(rows, key=lambda row: row["n"])
    told = "; ".join(
        f"{title} by {line.label}: important {interval_cell(line.row, 'important')}, trivial "
        f"{interval_cell(line.row, 'trivial')}"
        for title, lines in groups
        for line in lines
    )
    return Drawn(
        "explained_halves",
        "Half of the pixels zeroed: halves by explanations and by all else",
        sentences(
            "PLCC over images of the prediction on the photo with half of its pixels zeroed with the prediction on the "
            "original, by what chose the halves; all rows of a model are of the same images.",
            about(run, first["n"], scope),
            f"Intervals: {resampled(first)}.",
            _starred(rows),
        ),
        f"Dot plot of PLCC. {told}.",
        _figure(groups, "PLCC, half zeroed, with the original prediction", "zeroed", any(r["synthetic"] for r in rows)),
    )


def _of_most(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The rows without those of less than half of the images, and a sentence that names these.

    Their intervals would be the widest of all and hide the others: explaining zeroes more halves in a few images.
    """
    half = max(row["n"] for row in rows) / 2
    few = [row for row in rows if 0 < row["n"] < half]
    if not few:
        return list(rows), ""
    names = ", ".join(dict.fromkeys(_title(row["ranking"]) for row in few))
    largest = max(row["n"] for row in few)
    drawn = [row for row in rows if row not in few]
    return drawn, f"Not drawn, in the table: halves zeroed in {largest} images at most ({names})."


def _starred(rows: Sequence[Row]) -> str:
    """What stands behind the star of a label."""
    names = dict.fromkeys(row["ranking"] for row in rows if row["ranking"].startswith("averaged_"))
    others = [name for name in names if name != "averaged_pixel"]
    return f"* {', '.join(others)}, whose objectness is not the paper's." if others else ""


def _figure(
    groups: Sequence[tuple[str, list[Line]]], label: str, taken: str, synthetic: bool, papers: str | None = None
) -> Figure:
    figure = new_figure(COLUMN, 0.9 + ROW * sum(len(lines) + 1.2 for _, lines in groups), notes_of(synthetic))
    _dots(figure.subplots(), groups, label, taken, papers)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _title(ranking: str) -> str:
    """What picked the halves, in few letters; the caption says which objectness is not the paper's."""
    if ranking.startswith("averaged_"):
        return "averaged measure" + " *" * (ranking != "averaged_pixel")
    return CONTROLS.get(ranking, ranking)


def _dots(axis: Axes, groups: Sequence[tuple[str, list[Line]]], label: str, taken: str, papers: str | None) -> None:
    """A row of dots for every line, below the title of its group."""
    height, ticks, names = 0.0, [], []
    for title, lines in groups:
        axis.annotate(
            title, (0, height), (2, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
            color=GREY,
        )  # fmt: skip
        height += 1
        for line in lines:
            axis.axhline(height, color=PALE, linewidth=0.4, zorder=0)
            ticks.append(height)
            names.append(line.label)
            for half, look in HALVES:
                _dot(axis, line, half, look, height)
            if line.value("important") is None and line.value("trivial") is None:
                axis.annotate(
                    "not there", (1, height), (-2, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", va="center", ha="right", color=GREY, fontsize=6,
                )  # fmt: skip
            height += 1
        height += 0.2
    for half, look in HALVES:
        axis.plot([], [], look.marker, color=look.colour, label=f"{half} half {taken}")
    if papers:
        for half, look in HALVES:
            axis.plot([], [], look.marker, color=look.colour, markerfacecolor="none", label=f"{half} half, the paper")
    axis.set(yticks=ticks, yticklabels=names, ylim=(height - 0.4, -0.7))
    axis.set_xlabel(label, loc="right")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _dot(axis: Axes, line: Line, half: str, look: Look, height: float) -> None:
    shift = -0.12 if half == "trivial" else 0.12
    value, printed = line.value(half), line.paper(half)
    if value is not None:
        middle, low, high = value
        axis.plot([low, high], [height + shift] * 2, color=look.colour, linewidth=0.9)
        axis.plot([middle], [height + shift], look.marker, color=look.colour, markersize=3, gid=f"{half}")
    if printed is not None:
        axis.plot([printed], [height + shift], look.marker, color=look.colour, markersize=4.5, markerfacecolor="none")


def _not_there(groups: Sequence[tuple[str, list[Line]]]) -> str:
    """Why rows have no dots."""
    reasons: dict[str, list[str]] = {}
    for title, lines in groups:
        for line in lines:
            if line.value("important") is None and line.value("trivial") is None and line.row["note"]:
                reasons.setdefault(line.row["note"], []).append(f"{title} by {line.label}")
    said = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    return f"Not there: {said}." if said else ""
