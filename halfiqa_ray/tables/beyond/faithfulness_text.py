"""Faithfulness of block orders as text, from its stored rows only."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.tables.beyond.faithfulness import MASKED
from halfiqa_ray.tables.table1_text import FILL_NAMES
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, interval_cell, main_scopes, number, one_table

LEGEND = (
    "Absolute change of the score from that of the whole image as blocks are masked in the transformer, most important "
    "first (deletion: large is faithful), and as they are kept, most important first (insertion: small is faithful): "
    "mean area over images, MOS units, [95% bootstrap interval]. Exact, from the stored scores of all subsets; of "
    "other models and fills, with pixels of the blocks filled.",
    "Gap: deletion less insertion, 0 for a random order of masked blocks; for filled ones a random order is drawn for "
    "each image. Better: share of images with a gap above 0.",
    "Comprehensiveness: the change with the important half masked (large is faithful); sufficiency: with it alone kept "
    "(small is faithful). In bins: their means over the first 1, 5, 10, 20 and 50% of the blocks.",
)


ERASER = {
    "comprehensiveness": "comprehensiveness",
    "sufficiency": "sufficiency",
    "comprehensiveness_bins": "comprehensiveness, bins",
    "sufficiency_bins": "sufficiency, bins",
}


def _table(rows: Rows, title: str) -> Cells:
    fills = _with_fills(rows)
    header = [
        *(["model", "filled by"] if fills else []),
        "order by",
        "deletion",
        "insertion",
        "gap",
        "deletion - random",
        "random - insertion",
        "better",
    ]
    # Tables of before there were these have none.
    eraser = ERASER if any(row.get(name) is not None for row in rows for name in ERASER) else {}
    body = [
        [
            *([str(row["model"]), FILL_NAMES.get(row["fill"], str(row["fill"]))] if fills else []),
            _name(row),
            *(interval_cell(row, name) for name in ("deletion", "insertion")),
            number(row["gap"]) if row["gap"] == 0 else interval_cell(row, "gap", signed=True),
            *(interval_cell(row, name, signed=True) for name in ("deletion_less_random", "random_less_insertion")),
            interval_cell(row, "better"),
            *(interval_cell(row, name) for name in eraser),
            str(row["n"]),
        ]
        for row in rows
    ]
    return Cells([*header, *eraser.values(), "n"], body, title)


def _name(row: dict[str, Any]) -> str:
    return str(row["name"]) + " (default rule)" * row["default_rule"]


def _with_fills(rows: Rows) -> bool:
    """Whether any order was filled, and not masked. Tables of before there were fills have no such column."""
    return any(row.get("fill") not in (None, MASKED) for row in rows)


def _curves(rows: Rows) -> list[Part]:
    parts: list[Part] = []
    orders = [list(group) for _, group in groupby(rows, key=lambda row: (row["model"], row["fill"], row["name"]))]
    fills = _with_fills(rows)
    for column, title in (("deletion", "Deletion, by blocks masked"), ("insertion", "Insertion, by blocks kept")):
        header = [
            *(["model", "filled by"] if fills else []),
            "order by",
            *(str(row["blocks"]) for row in orders[0]),
            "n",
        ]
        body = [
            [
                *([str(some[0]["model"]), FILL_NAMES.get(some[0]["fill"], str(some[0]["fill"]))] if fills else []),
                *(_name(some[0]), *(number(row[column]) for row in some), str(some[0]["n"])),
            ]
            for some in orders
        ]
        parts.append(Cells(header, body, title))
    return parts


def _brief_curves(rows: Rows) -> list[Part]:
    parts: list[Part] = []
    for scope, some in main_scopes(rows).items():
        parts += [replace(part, title=f"{scope}: {part.title}") for part in _curves(some) if isinstance(part, Cells)]
    return parts


PAGE = one_table(
    schema.FAITHFULNESS,
    "Faithfulness: deletion and insertion of blocks, most important first",
    LEGEND,
    _table,
)
CURVES = Page(
    schema.FAITHFULNESS_CURVES,
    "Faithfulness: the mean curves of deletion and insertion",
    ("Mean absolute change of the score from that of the whole image, MOS units, blocks most important first.",),
    _curves,
    _brief_curves,
)
