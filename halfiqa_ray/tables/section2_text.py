"""The Section 2 table as text, for a terminal and as Markdown, from its stored rows only."""

from __future__ import annotations

from typing import Any

from halfiqa_ray import schema
from halfiqa_ray.tables.stored.reading import ALL
from halfiqa_ray.tables.writing import Cells, Page, Part, Rows, interval_cell, intervals_of, main_scopes, number

LEGEND = (
    "PLCC of the prediction with half of the blocks masked in the transformer, with the unmasked prediction, and (MOS) "
    "with the mean opinion scores.",
    "Controls: the half that plays important was picked without looking at the image. Bounds: best and worst of all "
    "halves, chosen on these same images; no way to find a half.",
    "A half chosen for changing the prediction least is bound to correlate better than a random one: compare with the "
    "bounds, and look at MOS.",
)


def _section(rows: Rows) -> list[Part]:
    start: list[Part] = [_model(rows[0])] if rows[0]["scope"] == ALL else []
    return [*start, _about(rows), *_table(rows, True)]


def _brief(rows: Rows) -> list[Part]:
    """All images and the test splits."""
    parts: list[Part] = [_model(rows[0])]
    for scope, some in main_scopes(rows).items():
        table, *said = _table(some, False, f"{scope}: {_about(some)}")
        parts += [table, *said]
    return parts


PAGE = Page(schema.SECTION2, "Section 2: half of the image masked in the transformer", LEGEND, _section, _brief)


def _model(row: dict[str, Any]) -> str:
    return f"model {row['model'] or 'unknown'}, {row['rows']} x {row['columns']} blocks"


def _about(rows: Rows) -> str:
    first = max(rows, key=lambda row: row["n"])
    said = [f"{first['n']} images"]
    said.append(intervals_of(first))
    unmasked = interval_cell(first, "unmasked_mos")
    said.append(f"unmasked prediction with MOS {unmasked}" if unmasked else "no MOS")
    return "; ".join(said)


def _table(rows: Rows, full: bool, title: str = "") -> list[Part]:
    """``full`` adds the intervals with MOS, the differences from the random half and the notes."""

    def cell(row: dict[str, Any], name: str, signed: bool = False, interval: bool = True) -> str:
        return interval_cell(row, name, signed) if interval else number(row[name], signed=signed)

    paper = any(row["paper_trivial"] is not None for row in rows)
    mos = any(row["trivial_mos"] is not None for row in rows)
    header = ["half by", "trivial masked", "important masked", "difference"]
    header += ["paper: trivial / important"] if paper else []
    header += ["trivial - random", "important - random"] if full else []
    header += ["MOS: trivial", "MOS: important"] if mos else []
    header += ["MOS: difference"] if mos and full else []
    header += ["n", "note"]
    # Notes that hold for all rows are said below the table, or would only repeat.
    notes_of = [set((row["note"] or "").split("; ")) for row in rows if row["n"]]
    common = set.intersection(*notes_of) if notes_of else set()
    lines = []
    for row in rows:
        name = row["name"] + (" (default rule)" if row["default_rule"] else "")
        line = [name, cell(row, "trivial"), cell(row, "important"), cell(row, "difference", True)]
        if paper:
            has = row["paper_trivial"] is not None
            line.append(f"{number(row['paper_trivial'], 2)} / {number(row['paper_important'], 2)}" if has else "")
        if full:
            line += [cell(row, "trivial_minus_random", True), cell(row, "important_minus_random", True)]
        if mos:
            line += [cell(row, "trivial_mos", interval=full), cell(row, "important_mos", interval=full)]
            line += [cell(row, "difference_mos", True)] if full else []
        notes = [note for note in (row["note"] or "").split("; ") if note and note not in common]
        lines.append([*line, str(row["n"]), "; ".join(notes)])
    said = sorted(note for note in common if note and note != "no MOS")
    return [Cells(header, lines, title), *(f"{note[0].upper()}{note[1:]}." for note in said)]
