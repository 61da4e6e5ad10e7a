"""Table I and the averaged-measure experiment as text, from their stored rows only."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pyarrow as pa

from halfiqa_ray.tables.averaged_measure import MEAN
from halfiqa_ray.tables.reading import ALL
from halfiqa_ray.tables.writing import (
    aligned_table,
    console_start,
    interval_cell,
    markdown_page,
    markdown_table,
    number,
)

TABLE1_TITLE = "Table I: half of the pixels zeroed"
AVERAGED_TITLE = "Averaged measure: halves by the mean of saliency, frequency and objectness, zeroed"
TABLE1_LEGEND = (
    "Predicted: PLCC of the prediction with the half zeroed with the original prediction. MOS: PLCC with the mean "
    "opinion scores. Halves by masked TRIQ, by a measure, or (controls) without looking at the image.",
    "A half chosen for changing the prediction least is bound to correlate better: compare with the controls.",
)
NAMES = {"control_random": "random half", "control_centre": "centre half", "control_other": "another image's half"}


def table1_markdown(table: pa.Table) -> str:
    """A Markdown page of all data sets, runs and scopes in a table of ``schema.TABLE1``."""

    def section(rows: list[dict[str, Any]]) -> str:
        return f"{_about(rows)}\n\n{_table1(rows, markdown_table, True)}"

    return markdown_page(TABLE1_TITLE, TABLE1_LEGEND, table, section)


def table1_console(table: pa.Table) -> str:
    """The same for a terminal and one run, without intervals of the correlations with MOS."""
    rows = table.to_pylist()
    lines = console_start(TABLE1_TITLE, rows)
    tests = {row["scope"] for row in rows if row["scope"] != ALL}
    for scope, group in groupby(rows, key=lambda row: row["scope"]):
        some = list(group)
        if len(tests) == 1 and scope == ALL and _counts(some) == _counts([r for r in rows if r["scope"] in tests]):
            continue  # all images that were zeroed are the test split, which follows
        lines += ["", f"{_scope(scope)}: {_about(some)}", _table1(some, aligned_table, False)]
    return "\n".join([*lines, "", *TABLE1_LEGEND])


def controls_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.TABLE1_CONTROLS``."""
    columns = ("important", "important_mos", "trivial", "trivial_mos")
    header = ["model", "half by", "less", *(name.replace("_mos", ": MOS") for name in columns), "n"]

    def section(rows: list[dict[str, Any]]) -> str:
        body = [
            [row["model"], row["ranking"], NAMES[row["control"]]]
            + [interval_cell(row, name, signed=True) for name in columns]
            + [str(row["n"])]
            for row in rows
        ]
        return markdown_table(header, body)

    legend = ("PLCC of a row of Table I less that of a control, paired.", *TABLE1_LEGEND)
    return markdown_page("Table I less its controls", legend, table, section)


def averaged_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.AVERAGED_MEASURE``."""
    legend = ("PLCC of the prediction with the half zeroed with the original prediction.",)
    return markdown_page(AVERAGED_TITLE, legend, table, lambda rows: _averaged(rows, markdown_table))


def averaged_console(table: pa.Table) -> str:
    """The same for a terminal and one run: the means of the test splits, or of all that there is."""
    rows = [row for row in table.to_pylist() if row["model"] == MEAN]
    rows = [row for row in rows if row["scope"] != ALL] or rows
    return "\n".join([*console_start(AVERAGED_TITLE, rows), _averaged(rows, aligned_table, scopes=True)])


def _scope(scope: str) -> str:
    return "all images that were zeroed" if scope == ALL else scope


def _counts(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(row["model"], row["ranking"], row["n"]) for row in rows]


def _about(rows: list[dict[str, Any]]) -> str:
    first = max(rows, key=lambda row: row["n"])
    if not first["n"]:
        return "no zeroed scores"
    units = f"{first['resampled_units']} {first['resampled']}s"
    intervals = f"95% intervals from {first['resamples']} resamples of {units}"
    return f"{first['n']} images; {intervals if first['resampled_units'] > 1 else 'no intervals'}"


def _table1(rows: list[dict[str, Any]], layout: Callable[..., str], full: bool) -> str:
    def cell(row: dict[str, Any], name: str, signed: bool = False, interval: bool = True) -> str:
        return interval_cell(row, name, signed) if interval else number(row[name], signed=signed)

    paper = next((row["paper_dataset"] for row in rows if row["paper_dataset"]), None)
    compared = any(row["test_minus_paper"] is not None for row in rows)
    header = ["model", "half by", "test", "important: predicted", "MOS", "trivial: predicted", "MOS"]
    header += ["trivial - important"] + (["MOS"] if full else [])
    header += [f"paper on {paper}: test; important; trivial"] if paper else []
    header += ["less the paper's"] if compared else []
    header += ["n", "note"]
    lines = []
    for row in rows:
        name = NAMES.get(row["ranking"], row["ranking"]) + (" (default rule)" if row["default_rule"] else "")
        line = [row["model"], name, cell(row, "test", interval=full)]
        for half in ("important", "trivial"):
            line += [cell(row, half), cell(row, f"{half}_mos", interval=full)]
        line += [cell(row, "difference", True)] + ([cell(row, "difference_mos", True)] if full else [])
        line += [_five(row, "paper_{}", False)] if paper else []
        line += [_five(row, "{}_minus_paper", True)] if compared else []
        lines.append([*line, str(row["n"]), row["note"] or ""])
    return layout(header, lines)


def _five(row: dict[str, Any], pattern: str, signed: bool) -> str:
    """Test; important predicted / MOS; trivial predicted / MOS."""
    if row[pattern.format("test")] is None and row[pattern.format("important")] is None:
        return ""
    said = {
        name: number(row[pattern.format(name)], signed=signed) or "-"
        for name in ("test", "important", "important_mos", "trivial", "trivial_mos")
    }
    return "{test}; {important} / {important_mos}; {trivial} / {trivial_mos}".format(**said)


def _averaged(rows: list[dict[str, Any]], layout: Callable[..., str], scopes: bool = False) -> str:
    compared = any(row["important_minus_paper"] is not None for row in rows)
    header = ["scope"] if scopes else []
    header += ["half by", "model", "important zeroed", "trivial zeroed", "trivial - important"]
    header += ["paper: important / trivial"] + (["less the paper's"] if compared else []) + ["n", "note"]
    lines = []
    for row in rows:
        line = [_scope(row["scope"])] if scopes else []
        line += [row["ranking"], f"mean of {row['models']} models" if row["model"] == MEAN else row["model"]]
        for name in ("important", "trivial", "difference"):
            line.append(interval_cell(row, name, signed=name == "difference"))
        line.append(_pair(row, "paper_{}", False))
        line += [_pair(row, "{}_minus_paper", True)] if compared else []
        lines.append([*line, str(row["n"]), row["note"] or ""])
    return layout(header, lines)


def _pair(row: dict[str, Any], pattern: str, signed: bool) -> str:
    said = [number(row[pattern.format(half)], signed=signed) for half in ("important", "trivial")]
    return " / ".join(said) if all(said) else ""
