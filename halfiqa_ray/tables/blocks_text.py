"""What stored scores say of single blocks, as text: agreement, positions and interactions, from stored rows only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from halfiqa_ray.tables.positions import SIGNIFICANT
from halfiqa_ray.tables.reading import ALL
from halfiqa_ray.tables.writing import console_start, interval_cell, markdown_page, markdown_table, number

POSITIONS_LEGEND = ("Share of the images in whose important half the block is, in the places of the blocks.",)
BIAS_TITLE = "Is importance only a centre bias?"
ANSWERS = {
    "no images": "There is no importance to ask.",
    "no position is preferred": "It is no centre bias: no position is preferred.",
    "no": "It is not only a centre bias: most of what makes a block important differs from image to image.",
    "mostly the centre": "It is mostly a centre bias.",
    "mostly position": "It is mostly position, though not the centre: the images have much the same blocks in common.",
}


def agreement_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.AGREEMENT``."""
    titles = {
        "rules": "Rules with each other",
        "measure": "Rules with measures (block means)",
        "model": "Halves of masked TRIQ with the models' own zeroing importance",
    }

    def section(rows: list[dict[str, Any]]) -> str:
        lines = []
        for kind, group in groupby(rows, key=lambda row: row["kind"]):
            header = ["rule", "other", "rank correlation", "overlap of halves", "chance", "n", "note"]
            body = [
                [
                    *(row["rule"], row["other"], interval_cell(row, "spearman", signed=True)),
                    *(interval_cell(row, "overlap"), number(row["overlap_chance"]), str(row["n"]), row["note"] or ""),
                ]
                for row in group
            ]
            lines += [f"**{titles[kind]}**", "", markdown_table(header, body), ""]
        return "\n".join(lines)

    legend = (
        "Rank correlation over the blocks of an image (chance 0), and share of one important half that is in the "
        "other; means over images.",
    )
    return markdown_page("Agreement on which blocks are important", legend, table, section)


def positions_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.POSITIONS``: the grid of blocks by rule."""

    def section(rows: list[dict[str, Any]]) -> str:
        lines = []
        for rule, group in groupby(rows, key=lambda row: row["rule"]):
            blocks = list(group)
            columns = 1 + max(row["column"] for row in blocks)
            cells = [interval_cell(row, "important") for row in blocks]
            body = [cells[start : start + columns] for start in range(0, len(cells), columns)]
            header = [f"column {column}" for column in range(columns)]
            about = f"{rule}, {blocks[0]['n']} images, expected {number(blocks[0]['expected'])}"
            lines += [f"**{about}**", "", markdown_table(header, body), ""]
        return "\n".join(lines)

    return markdown_page("How often each block is important", POSITIONS_LEGEND, table, section)


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


def bias_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.POSITION_BIAS``."""
    return markdown_page(BIAS_TITLE, (), table, lambda rows: "\n".join(f"- {bias_sentence(row)}" for row in rows))


def bias_console(table: pa.Table) -> str:
    """For a terminal and one run: the default rule and `score_change`, over all images."""
    rows = [row for row in table.to_pylist() if row["scope"] == ALL]
    shown = [row for row in rows if row["default_rule"] or row["rule"] == "score_change"]
    return "\n".join([*console_start(BIAS_TITLE, rows), *(bias_sentence(row) for row in shown)])


def interaction_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.INTERACTION``: the mean of every two blocks."""

    def section(rows: list[dict[str, Any]]) -> str:
        blocks = 1 + max(row["second"] for row in rows)
        mean = {(row["first"], row["second"]): row["mean"] for row in rows}
        body = [
            [f"block {a}", *("" if a == b else _signed(mean[min(a, b), max(a, b)]) for b in range(blocks))]
            for a in range(blocks)
        ]
        return markdown_table(["", *map(str, range(blocks))], body)

    return markdown_page("Interaction of blocks (Shapley interaction index, MOS units)", _SIGN, table, section)


def distance_markdown(table: pa.Table) -> str:
    """A Markdown page of a table of ``schema.INTERACTION_DISTANCE``."""

    def section(rows: list[dict[str, Any]]) -> str:
        header = ["distance in blocks", "pairs", "mean", "mean magnitude", "n"]
        body = [
            [
                *(number(row["distance"], 2), str(row["pairs"])),
                *(_cell(row, "mean", True), _cell(row, "magnitude", False), str(row["n"])),
            ]
            for row in rows
        ]
        return markdown_table(header, body)

    return markdown_page("Interaction of blocks by distance", _SIGN, table, section)


_SIGN: Sequence[str] = (
    "Above 0 two blocks change the score more together than apart, below 0 they stand in for each other; the sign also "
    "turns with images whose score falls as blocks are kept.",
)


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
