"""The sufficiency curves and the fractions that are enough, as text, from their stored rows only."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, interval_cell, main_scopes, number

LEGEND = (
    "Rules keep each image's own blocks in the order of their importance; random order is the exact mean over all "
    "subsets of a size.",
    "Bounds (best fixed subset, oracle) were chosen by looking at these same scores; no way to find a subset.",
)


def _section(rows: Rows) -> list[Part]:
    with_mos = any(row["plcc_mos"] is not None for row in rows)
    mos = _pivot(rows, "plcc_mos", "With MOS") if with_mos else "No MOS."
    return [_pivot(rows, "plcc", "With the prediction"), mos]


def _brief(rows: Rows) -> list[Part]:
    some = main_scopes(_main(rows))
    return [_pivot(each, "plcc", f"{scope}: {max(row['n'] for row in each)} images") for scope, each in some.items()]


def _fractions_brief(rows: Rows) -> list[Part]:
    return [_fractions(some, scope) for scope, some in main_scopes(_main(rows)).items()]


def _main(rows: Rows) -> Rows:
    """The default rule and `score_change`, random order and the bounds."""
    return [row for row in rows if row["kind"] != "rule" or row["default_rule"] or row["name"] == "score_change"]


def _name(row: dict[str, Any]) -> str:
    name = row["name"] + (" (default rule)" if row["default_rule"] else "")
    return f"{name}, {row['order']}" if row["order"] else name


def _pivot(rows: Rows, column: str, title: str) -> Cells:
    curves = [list(group) for _, group in groupby(rows, key=lambda row: (row["name"], row["order"]))]
    curves = sorted(curves, key=lambda curve: not curve[0]["default_rule"])
    header = ["blocks kept", *(str(row["blocks_kept"]) for row in curves[0]), "n"]
    n = "n_mos" if column.endswith("mos") else "n"
    body = [[_name(some[0]), *(number(row[column]) for row in some), str(some[0][n])] for some in curves]
    return Cells(header, body, title)


def _fractions(rows: Rows, title: str = "") -> Cells:
    levels = sorted({row["level"] for row in rows}, reverse=True)
    curves = [list(group) for _, group in groupby(rows, key=lambda row: (row["name"], row["order"]))]
    curves = sorted(curves, key=lambda curve: not curve[0]["default_rule"])
    header = ["part of the image that is enough", *(f"PLCC above {level:g}" for level in levels)]
    body = []
    for some in curves:
        by_level = {row["level"]: row for row in some}
        cells = [
            f"{interval_cell(by_level[level], 'fraction')} (blocks: {by_level[level]['blocks_kept']})"
            if by_level[level]["blocks_kept"]
            else "never"
            for level in levels
        ]
        body.append([_name(some[0]), *cells])
    return Cells(header, body, title)


PAGE = Page(
    schema.SUFFICIENCY,
    "Sufficiency: PLCC with the whole image's prediction, by number of blocks kept",
    LEGEND,
    _section,
    _brief,
)
FRACTION = Page(
    schema.SUFFICIENT_FRACTION,
    "How much of an image is enough",
    ("The smallest part of the blocks whose PLCC with the whole image's prediction is above the level.", *LEGEND),
    lambda rows: [_fractions(rows)],
    _fractions_brief,
)
