"""Filled against masked scores as text, from their stored rows only."""

from __future__ import annotations

from halfiqa_ray import schema
from halfiqa_ray.tables.table1_text import FILL_NAMES, NAMES
from halfiqa_ray.tables.writing import Cells, Rows, interval_cell, one_table

LEGEND = (
    "The ranking model's score with half of the blocks masked in the transformer, where they are truly not looked at, "
    "against its score with the pixels of the same half zeroed or filled; all fills of a half in the same images.",
    "PLCC: of the filled with the masked score over images. Difference: mean absolute difference of the two, parts of "
    "the MOS scale; shift: mean of filled less masked, below 0 where the fill is read as damage. Change: mean absolute "
    "change of the score from that of the whole photo, masked and filled.",
)


def _table(rows: Rows, title: str) -> Cells:
    header = ["half by", "taken away", "filled by", "PLCC", "difference", "shift", "change, masked", "change, filled"]
    body = [
        [
            NAMES.get(row["ranking"], row["ranking"]) + " (default rule)" * row["default_rule"],
            row["taken_away"],
            FILL_NAMES[row["fill"]],
            *(interval_cell(row, name) for name in ("plcc", "difference")),
            interval_cell(row, "shift", signed=True),
            *(interval_cell(row, name) for name in ("masked_change", "filled_change")),
            str(row["n"]),
            row["note"] or "",
        ]
        for row in rows
    ]
    return Cells([*header, "n", "note"], body, title)


PAGE = one_table(schema.FILLS_TABLE, "How far is filling pixels from not looking?", LEGEND, _table)
