"""The Section 2 table as text, for a terminal and as Markdown, from its stored rows only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from halfiqa_ray.tables.reading import ALL
from halfiqa_ray.tables.writing import NOTICE, aligned_table, markdown_table, number, with_interval

LEGEND = (
    "PLCC of the prediction with half of the blocks masked in the transformer, with the unmasked prediction, and (MOS) "
    "with the mean opinion scores.",
    "Controls: the half that plays important was picked without looking at the image. Bounds: best and worst of all "
    "halves, chosen on these same images; no way to find a half.",
    "A half chosen for changing the prediction least is bound to correlate better than a random one: compare with the "
    "bounds, and look at MOS.",
)


def markdown(table: pa.Table) -> str:
    """A Markdown page of all data sets, runs and scopes in a table of ``schema.SECTION2``."""
    lines = ["# Section 2: half of the image masked in the transformer", ""]
    lines += [f"- {line}" for line in LEGEND]
    for (dataset, run), rows in groupby(table.to_pylist(), key=lambda row: (row["dataset"], row["run"])):
        lines += ["", f"## {dataset}, run {run}", ""]
        for scope, group in groupby(rows, key=lambda row: row["scope"]):
            some = list(group)
            if scope == ALL:
                lines += [f"{_model(some[0])}", ""]
                lines += [f"**{NOTICE}**", ""] if some[0]["synthetic"] else []
            lines += [f"### {scope}", "", _about(some), "", _table(some, markdown_table, True), ""]
    return "\n".join(lines)


def console(table: pa.Table, scopes: Sequence[str] | None = None) -> str:
    """The same for a terminal and one run: the scope of all images and the test splits, or those named."""
    rows = table.to_pylist()
    there = list(dict.fromkeys(row["scope"] for row in rows))
    shown = [s for s in there if (s == ALL or s.startswith("test") if scopes is None else s in scopes)]
    lines = [f"Section 2: half of the image masked in the transformer - {rows[0]['dataset']}, run {rows[0]['run']}"]
    lines += [_model(rows[0])]
    lines += [NOTICE] if rows[0]["synthetic"] else []
    for scope in shown:
        some = [row for row in rows if row["scope"] == scope]
        lines += ["", f"{scope}: {_about(some)}", _table(some, aligned_table, False)]
    lines += ["", *LEGEND]
    hidden = [s for s in there if s not in shown]
    lines += [f"Not shown here: {', '.join(hidden)} (tables/section2.md)."] if hidden else []
    return "\n".join(lines)


def _model(row: dict[str, Any]) -> str:
    return f"model {row['model'] or 'unknown'}, {row['rows']} x {row['columns']} blocks"


def _about(rows: list[dict[str, Any]]) -> str:
    first = max(rows, key=lambda row: row["n"])
    said = [f"{first['n']} images"]
    if first["resampled_units"] > 1:
        units = f"{first['resampled_units']} {first['resampled']}s"
        said.append(f"95% intervals from {first['resamples']} resamples of {units}")
    else:
        said.append(f"no intervals from one {first['resampled']}")
    unmasked = with_interval(first["unmasked_mos"], first["unmasked_mos_low"], first["unmasked_mos_high"])
    said.append(f"unmasked prediction with MOS {unmasked}" if unmasked else "no MOS")
    return "; ".join(said)


def _table(rows: list[dict[str, Any]], layout: Callable[..., str], full: bool) -> str:
    """``full`` adds the intervals with MOS, the differences from the random half and the notes."""

    def cell(row: dict[str, Any], name: str, signed: bool = False, interval: bool = True) -> str:
        if not interval:
            return number(row[name], signed=signed)
        return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], signed)

    paper = any(row["paper_trivial"] is not None for row in rows)
    header = ["half by", "trivial masked", "important masked", "difference"]
    header += ["paper: trivial / important"] if paper else []
    header += ["trivial - random", "important - random"] if full else []
    header += ["MOS: trivial", "MOS: important"]
    header += ["MOS: difference"] if full else []
    header += ["n", "note"]
    # Notes that hold for all rows are said above the table, or would only repeat.
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
        line += [cell(row, "trivial_mos", interval=full), cell(row, "important_mos", interval=full)]
        line += [cell(row, "difference_mos", True)] if full else []
        notes = [note for note in (row["note"] or "").split("; ") if note and note not in common]
        lines.append([*line, str(row["n"]), "; ".join(notes)])
    text = layout(header, lines)
    said = sorted(note for note in common if note and note != "no MOS")
    return text + "".join(f"\n\n{note[0].upper()}{note[1:]}." for note in said)
