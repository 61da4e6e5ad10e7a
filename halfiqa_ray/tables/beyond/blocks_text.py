"""What stored scores say of single blocks, as text: agreement, positions and interactions, from stored rows only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.tables.beyond.positions import SIGNIFICANT
from halfiqa_ray.tables.stored.reading import ALL
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, interval_cell, number

KINDS = {
    "rules": "Rules with each other",
    "measure": "Rules with measures (block means)",
    "explanation": "Rules with explanations of models' scores (block means of absolute values)",
    "model": "Halves of masked TRIQ with the models' own zeroing importance",
}
ANSWERS = {
    "no images": "There is no importance to ask.",
    "no position is preferred": "It is no centre bias: no position is preferred.",
    "no": "It is not only a centre bias: most of what makes a block important differs from image to image.",
    "mostly the centre": "It is mostly a centre bias.",
    "mostly position": "It is mostly position, though not the centre: the images have much the same blocks in common.",
}


def _agreement(rows: Rows) -> list[Part]:
    header = ["rule", "other", "rank correlation", "overlap of halves", "chance", "n", "note"]
    parts: list[Part] = []
    for kind, group in groupby(rows, key=lambda row: row["kind"]):
        body = [
            [
                *(row["rule"], row["other"], interval_cell(row, "spearman", signed=True)),
                *(interval_cell(row, "overlap"), number(row["overlap_chance"]), str(row["n"]), row["note"] or ""),
            ]
            for row in group
        ]
        parts.append(Cells(header, body, KINDS[kind]))
    return parts


def _positions(rows: Rows) -> list[Part]:
    """The grid of blocks by rule."""
    parts: list[Part] = []
    for rule, group in groupby(rows, key=lambda row: row["rule"]):
        blocks = list(group)
        columns = 1 + max(row["column"] for row in blocks)
        cells = [interval_cell(row, "important") for row in blocks]
        body = [cells[start : start + columns] for start in range(0, len(cells), columns)]
        header = [f"column {column}" for column in range(columns)]
        about = f"{rule}, {blocks[0]['n']} images, expected {number(blocks[0]['expected'])}"
        parts.append(Cells(header, body, about))
    return parts


def bias_sentence(row: dict[str, Any]) -> str:
    """What a row of ``schema.POSITION_BIAS`` answers."""
    start = f"{row['rule']}, {row['scope']}: {ANSWERS[row['answer']]}"
    if row["p_value"] is None or row["explained"] is None:
        return start
    p_value = f"p {'<' if row['p_value'] < 1e-4 else '='} {max(row['p_value'], 1e-4):.4f}"
    text = (
        f"{start} Position explains {_percent(row['explained'])} of it (chance {_percent(row['explained_chance'])}), "
        f"being in the centre half {_percent(row['explained_centre'])}; {interval_cell(row, 'in_centre')} of the "
        f"important half lies in the centre half (chance {number(row['in_centre_chance'])}). "
        f"That all positions are alike: {p_value}{', not' if row['p_value'] > SIGNIFICANT else ','} refuted "
        f"({row['n']} images)."
    )
    return f"{text} {row['note'][0].upper()}{row['note'][1:]}." if row["note"] else text


def _bias_brief(rows: Rows) -> list[Part]:
    """The default rule and `score_change`, over all images."""
    return [bias_sentence(row) for row in _of_all(rows) if row["default_rule"] or row["rule"] == "score_change"]


def _interaction(rows: Rows) -> list[Part]:
    """The mean of every two blocks."""
    blocks = 1 + max(row["second"] for row in rows)
    mean = {(row["first"], row["second"]): row["mean"] for row in rows}
    body = [
        [f"block {a}", *("" if a == b else _signed(mean[min(a, b), max(a, b)]) for b in range(blocks))]
        for a in range(blocks)
    ]
    return [Cells(["", *map(str, range(blocks))], body)]


def _distance(rows: Rows) -> list[Part]:
    header = ["distance in blocks", "pairs", "mean", "mean magnitude", "n"]
    body = [
        [
            *(number(row["distance"], 2), str(row["pairs"])),
            *(_cell(row, "mean", True), _cell(row, "magnitude", False), str(row["n"])),
        ]
        for row in rows
    ]
    return [Cells(header, body)]


_SIGN: Sequence[str] = (
    "Above 0 two blocks change the score more together than apart, below 0 they stand in for each other; the sign also "
    "turns with images whose score falls as blocks are kept.",
)


def _of_all(rows: Rows) -> Rows:
    return [row for row in rows if row["scope"] == ALL]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2g}"


def _cell(row: dict[str, Any], name: str, signed: bool) -> str:
    """Three significant digits: the unit is MOS points, and interactions are small ones."""
    said = ["" if v is None else f"{v:{'+' if signed else ''}.3g}" for v in (row[name], *_ends(row, name))]
    return f"{said[0]} [{said[1]}, {said[2]}]" if all(said) else said[0]


def _ends(row: dict[str, Any], name: str) -> tuple[float | None, float | None]:
    return row[f"{name}_low"], row[f"{name}_high"]


AGREEMENT = Page(
    schema.AGREEMENT,
    "Agreement on which blocks are important",
    (
        "Rank correlation over the blocks of an image (chance 0), and share of one important half that is in the "
        "other; means over images.",
    ),
    _agreement,
)
POSITIONS = Page(
    schema.POSITIONS,
    "How often each block is important",
    ("Share of the images in whose important half the block is, in the places of the blocks.",),
    _positions,
)
BIAS = Page(
    schema.POSITION_BIAS,
    "Is importance only a centre bias?",
    (),
    lambda rows: [bias_sentence(row) for row in rows],
    _bias_brief,
)
INTERACTION = Page(
    schema.INTERACTION, "Interaction of blocks (Shapley interaction index, MOS units)", _SIGN, _interaction
)
DISTANCE = Page(
    schema.INTERACTION_DISTANCE,
    "Interaction of blocks by distance",
    _SIGN,
    _distance,
    lambda rows: _distance(_of_all(rows)),
)
