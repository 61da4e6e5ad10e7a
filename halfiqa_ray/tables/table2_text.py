"""Table II as text, from its stored rows only."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pyarrow as pa

from halfiqa_ray.tables import paper
from halfiqa_ray.tables.reading import ALL
from halfiqa_ray.tables.table2 import READINGS
from halfiqa_ray.tables.writing import aligned_table, console_start, markdown_page, markdown_table, number

TITLE = "Table II: matching degree of measures and important blocks, percent of images"
LEGEND = (
    "n: blocks of an image's important half that are in the measure's high half. The paper's example reads n > T; its "
    "text can be read as n >= T.",
    "Chance: two halves drawn at random (hypergeometric). Only what is clearly above chance says anything.",
)


def markdown(table: pa.Table) -> str:
    """A Markdown page of all data sets, runs, scopes and rules in a table of ``schema.TABLE2``."""

    def section(rows: list[dict[str, Any]]) -> str:
        lines = []
        for rule, group in groupby(rows, key=lambda row: row["rule"]):
            some = list(group)
            for reading in READINGS:
                lines += [f"**{rule}{' (default rule)' * some[0]['default_rule']}, {reading}**", ""]
                lines += [_pivot(some, reading, markdown_table, True), ""]
        return "\n".join(lines)

    return markdown_page(TITLE, LEGEND, table, section)


def console(table: pa.Table) -> str:
    """For a terminal and one run: all images, the default rule in both readings and `score_change` in the first."""
    rows = [row for row in table.to_pylist() if row["scope"] == ALL]
    lines = console_start(TITLE, rows)
    for rule, group in groupby(rows, key=lambda row: row["rule"]):
        some = list(group)
        if not some[0]["default_rule"] and rule != "score_change":
            continue
        for reading in READINGS if some[0]["default_rule"] else READINGS[:1]:
            about = f"{rule}{' (default rule)' * some[0]['default_rule']}, {reading}, {_images(some)}"
            lines += ["", about, _pivot(some, reading, aligned_table, False)]
    return "\n".join([*lines, "", *LEGEND])


def histogram_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.MATCHING_HISTOGRAM``."""

    def section(rows: list[dict[str, Any]]) -> str:
        lines = []
        for rule, group in groupby(rows, key=lambda row: row["rule"]):
            by_name = {name: list(some) for name, some in groupby(group, key=lambda row: row["name"])}
            first = next(iter(by_name.values()))
            body = [[name, *(_percent(row["share"]) for row in some)] for name, some in by_name.items()]
            body.append(["*chance*", *(_percent(row["chance"]) for row in first)])
            header = ["", *(f"n = {row['matching_number']}" for row in first)]
            lines += [f"**{rule}**", "", markdown_table(header, body), ""]
        return "\n".join(lines)

    return markdown_page("Matching numbers, percent of images", LEGEND, table, section)


def _pivot(rows: list[dict[str, Any]], reading: str, layout: Callable[..., str], full: bool) -> str:
    rows = [row for row in rows if row["reading"] == reading]
    by_name = {name: list(some) for name, some in groupby(rows, key=lambda row: row["name"])}
    first = next(iter(by_name.values()), [])
    thresholds = [f"T={row['threshold']}" for row in first]
    compared = any(row["minus_paper"] is not None for row in rows)
    body = []
    for name, some in by_name.items():
        cells = [_cell(row, full) for row in some]
        tied = "" if some[0]["tied"] is None else str(some[0]["tied"])
        body.append([name, *cells, str(some[0]["n"]), tied, some[0]["note"] or ""])
        if compared and some[0]["minus_paper"] is not None:
            body.append([f"{name} less the paper's", *(_percent(row["minus_paper"], True) for row in some), "", "", ""])
    body.append(["chance", *(_percent(row["chance"]) for row in first), "", "", "two random halves"])
    if reading == READINGS[0] and len(first) == len(paper.TABLE2["saliency"]):
        said = f"{' and '.join(paper.TITLES.values())} together"
        body += [
            [f"paper: {name}", *(number(v, 1) for v in values), "", "", said] for name, values in paper.TABLE2.items()
        ]
    return layout(["", *thresholds, "n", "tied", "note"], body)


def _cell(row: dict[str, Any], full: bool) -> str:
    ends = [_percent(row[f"share_{end}"]) for end in ("low", "high")]
    share = _percent(row["share"])
    return f"{share} [{ends[0]}, {ends[1]}]" if full and share and all(ends) else share


def _percent(share: float | None, signed: bool = False) -> str:
    return "" if share is None else number(100 * share, 1, signed)


def _images(rows: list[dict[str, Any]]) -> str:
    return f"{max(row['n'] for row in rows)} images"
