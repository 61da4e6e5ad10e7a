"""Table II as text, from its stored rows only."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.tables import paper
from halfiqa_ray.tables.stored.reading import ALL
from halfiqa_ray.tables.table2 import READINGS
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, number

LEGEND = (
    "n: blocks of an image's important half that are in the measure's high half. The paper's example reads n > T; its "
    "text can be read as n >= T.",
    "Chance: two halves drawn at random (hypergeometric). Only what is clearly above chance says anything.",
)


def _section(rows: Rows) -> list[Part]:
    return [
        _pivot(some, reading, True, f"{rule}{' (default rule)' * some[0]['default_rule']}, {reading}")
        for rule, some in _by_rule(rows).items()
        for reading in READINGS
    ]


def _brief(rows: Rows) -> list[Part]:
    """All images, the default rule in both readings and `score_change` in the first."""
    parts: list[Part] = []
    for rule, some in _by_rule([row for row in rows if row["scope"] == ALL]).items():
        default = some[0]["default_rule"]
        if not default and rule != "score_change":
            continue
        for reading in READINGS if default else READINGS[:1]:
            about = f"{rule}{' (default rule)' * default}, {reading}, {max(row['n'] for row in some)} images"
            parts.append(_pivot(some, reading, False, about))
    return parts


def _histogram(rows: Rows) -> list[Part]:
    parts: list[Part] = []
    for rule, some in _by_rule(rows).items():
        by_name = {name: list(group) for name, group in groupby(some, key=lambda row: row["name"])}
        first = next(iter(by_name.values()))
        body = [[name, *(_percent(row["share"]) for row in each)] for name, each in by_name.items()]
        body.append(["chance", *(_percent(row["chance"]) for row in first)])
        parts.append(Cells(["", *(f"n = {row['matching_number']}" for row in first)], body, rule))
    return parts


def _by_rule(rows: Rows) -> dict[str, Rows]:
    return {rule: list(group) for rule, group in groupby(rows, key=lambda row: row["rule"])}


def _pivot(rows: Rows, reading: str, full: bool, title: str) -> Cells:
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
    return Cells(["", *thresholds, "n", "tied", "note"], body, title)


def _cell(row: dict[str, Any], full: bool) -> str:
    ends = [_percent(row[f"share_{end}"]) for end in ("low", "high")]
    share = _percent(row["share"])
    return f"{share} [{ends[0]}, {ends[1]}]" if full and share and all(ends) else share


def _percent(share: float | None, signed: bool = False) -> str:
    return "" if share is None else number(100 * share, 1, signed)


PAGE = Page(
    schema.TABLE2,
    "Table II: matching degree of measures and important blocks, percent of images",
    LEGEND,
    _section,
    _brief,
)
HISTOGRAM = Page(schema.MATCHING_HISTOGRAM, "Matching numbers, percent of images", LEGEND, _histogram)
