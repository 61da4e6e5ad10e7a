"""The sufficiency curves and the fractions that are enough, as text, from their stored rows only."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pyarrow as pa

from halfiqa_ray.tables.reading import ALL
from halfiqa_ray.tables.writing import (
    aligned_table,
    console_start,
    interval_cell,
    markdown_page,
    markdown_table,
    number,
)

TITLE = "Sufficiency: PLCC with the whole image's prediction, by number of blocks kept"
LEGEND = (
    "Rules keep each image's own blocks in the order of their importance; random order is the exact mean over all "
    "subsets of a size.",
    "Bounds (best fixed subset, oracle) were chosen by looking at these same scores; no way to find a subset.",
)


def markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.SUFFICIENCY``."""

    def section(rows: list[dict[str, Any]]) -> str:
        with_mos = any(row["plcc_mos"] is not None for row in rows)
        mos = f"**With MOS**\n\n{_pivot(rows, 'plcc_mos', markdown_table)}" if with_mos else "No MOS."
        return f"**With the prediction**\n\n{_pivot(rows, 'plcc', markdown_table)}\n\n{mos}"

    return markdown_page(TITLE, LEGEND, table, section)


def fraction_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.SUFFICIENT_FRACTION``."""
    legend = ("The smallest part of the blocks whose PLCC with the whole image's prediction is above the level.",)

    def section(rows: list[dict[str, Any]]) -> str:
        return _fractions(rows, markdown_table)

    return markdown_page("How much of an image is enough", (*legend, *LEGEND), table, section)


def console(table: pa.Table, fractions: pa.Table) -> str:
    """Both for a terminal and one run: all images and the test splits, the default rule, random order and bounds."""
    rows = table.to_pylist()
    lines = console_start(TITLE, rows)
    for scope, group in groupby(rows, key=lambda row: row["scope"]):
        if scope != ALL and not scope.startswith("test"):
            continue
        some = [row for row in group if row["kind"] != "rule" or row["default_rule"] or row["name"] == "score_change"]
        enough = [row for row in fractions.to_pylist() if row["scope"] == scope]
        names = {(row["name"], row["order"]) for row in some}
        enough = [row for row in enough if (row["name"], row["order"]) in names]
        lines += ["", f"{scope}: {max(row['n'] for row in some)} images", _pivot(some, "plcc", aligned_table)]
        lines += ["", _fractions(enough, aligned_table)]
    return "\n".join([*lines, "", *LEGEND])


def _name(row: dict[str, Any]) -> str:
    name = row["name"] + (" (default rule)" if row["default_rule"] else "")
    return f"{name}, {row['order']}" if row["order"] else name


def _pivot(rows: list[dict[str, Any]], column: str, layout: Callable[..., str]) -> str:
    curves = [list(group) for _, group in groupby(rows, key=lambda row: (row["name"], row["order"]))]
    curves = sorted(curves, key=lambda curve: not curve[0]["default_rule"])
    header = ["blocks kept", *(str(row["blocks_kept"]) for row in curves[0]), "n"]
    n = "n_mos" if column.endswith("mos") else "n"
    body = [[_name(some[0]), *(number(row[column]) for row in some), str(some[0][n])] for some in curves]
    return layout(header, body)


def _fractions(rows: list[dict[str, Any]], layout: Callable[..., str]) -> str:
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
    return layout(header, body)
