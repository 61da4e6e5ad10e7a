"""Faithfulness of block orders as text, from its stored rows only."""

from __future__ import annotations

from halfiqa_ray import schema
from halfiqa_ray.tables.writing import Cells, Rows, interval_cell, number, one_table

LEGEND = (
    "Absolute change of the score from that of the whole image as blocks are masked in the transformer, most important "
    "first (deletion: large is faithful), and as they are kept, most important first (insertion: small is faithful): "
    "mean area over images, MOS units, [95% bootstrap interval]. Exact, from the stored scores of all subsets.",
    "Gap: deletion less insertion, 0 for a random order. Better: share of images with a gap above 0.",
)


def _table(rows: Rows, title: str) -> Cells:
    header = ["order by", "deletion", "insertion", "gap", "deletion - random", "random - insertion", "better", "n"]
    body = [
        [
            row["name"] + (" (default rule)" if row["default_rule"] else ""),
            *(interval_cell(row, name) for name in ("deletion", "insertion")),
            number(row["gap"]) if row["kind"] == "random" else interval_cell(row, "gap", signed=True),
            *(interval_cell(row, name, signed=True) for name in ("deletion_less_random", "random_less_insertion")),
            interval_cell(row, "better"),
            str(row["n"]),
        ]
        for row in rows
    ]
    return Cells(header, body, title)


PAGE = one_table(
    schema.FAITHFULNESS,
    "Faithfulness: deletion and insertion of blocks, most important first",
    LEGEND,
    _table,
)
