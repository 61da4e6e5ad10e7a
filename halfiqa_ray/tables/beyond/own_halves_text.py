"""Do halves carry over, as text, from the stored rows only."""

from __future__ import annotations

from halfiqa_ray import schema
from halfiqa_ray.tables.writing import Cells, Rows, interval_cell, number, one_table

LEGEND = (
    "TRIQ's important half, found by masking, zeroed in each model, against that model's own important half, found by "
    "zeroing each block alone. Shared: blocks that both halves have, mean over images.",
    "PLCC of the prediction with the half zeroed with the original prediction; difference: own less TRIQ's, below 0 "
    "where zeroing the own half hurts more.",
)


def _table(rows: Rows, title: str) -> Cells:
    header = ["model", "shared", "chance"]
    for half in ("important", "trivial"):
        header += [f"{half} zeroed, TRIQ's", "own", "difference"]
    body = [
        [
            row["model"] or "",
            interval_cell(row, "shared"),
            number(row["shared_chance"]),
            *(
                interval_cell(row, name, signed=name.endswith("difference"))
                for half in ("important", "trivial")
                for name in (half, f"own_{half}", f"{half}_difference")
            ),
            str(row["n"]),
            row["note"] or "",
        ]
        for row in rows
    ]
    return Cells([*header, "n", "note"], body, title)


PAGE = one_table(schema.OWN_HALVES, "Does a half carry over to other models?", LEGEND, _table)
