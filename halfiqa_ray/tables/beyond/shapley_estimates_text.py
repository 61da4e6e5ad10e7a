"""Estimates of Shapley values against the exact ones as text, from their stored rows only."""

from __future__ import annotations

from halfiqa_ray import schema
from halfiqa_ray.tables.writing import Cells, Rows, interval_cell, number, one_table

LEGEND = (
    "Shapley values estimated from a few of the stored subset scores, against the exact ones from all of them: mean "
    "absolute error of a block's value (MOS units), rank correlation of the blocks' magnitudes, share of the important "
    "half that the estimate finds, [95% bootstrap interval].",
    "Evaluations: scores that an estimate asks a model for. The exact values cost one pass of the backbone here.",
)


def _table(rows: Rows, title: str) -> Cells:
    header = ["estimator", "evaluations", "error", "of a mean value", "rank correlation", "half found", "n"]
    body = [
        [
            *(row["estimator"], str(row["evaluations"]), number(row["error"], 4), number(row["relative"], 2)),
            *(interval_cell(row, "spearman"), interval_cell(row, "overlap"), str(row["n"])),
        ]
        for row in rows
    ]
    return Cells(header, body, title)


PAGE = one_table(
    schema.SHAPLEY_ESTIMATES,
    "Estimated Shapley values against the exact ones",
    LEGEND,
    _table,
)
