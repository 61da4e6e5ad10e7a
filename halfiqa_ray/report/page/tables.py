"""The tables of the page: what `writing.Page` says of a run's stored rows, short and in full, or what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyarrow.compute as pc

from halfiqa_ray import schema, storage
from halfiqa_ray.report.stored import Missing, rows_of
from halfiqa_ray.tables import section2_text
from halfiqa_ray.tables.beyond import localisation_text
from halfiqa_ray.tables.experiments import PAGES
from halfiqa_ray.tables.stored.reading import Run
from halfiqa_ray.tables.table2 import JOINED
from halfiqa_ray.tables.writing import (
    Cells,
    Page,
    Part,
    Rows,
    by_scope,
    interval_cell,
    is_blank,
    number,
    why_blank,
)


@dataclass(frozen=True)
class Told:
    """One table as the page shows it."""

    name: str
    title: str
    legend: tuple[str, ...] = ()
    synthetic: bool = False
    brief: tuple[Part, ...] = ()  # up to the first table and what is said of it
    further: tuple[tuple[Part, ...], ...] = ()  # the other tables, each with what is said of it
    scopes: dict[str, list[Part]] = field(default_factory=dict)  # everything, by scope
    missing: str = ""  # why there is no table, and which job makes it


def tell_tables(output: str, run: Run, rule: str) -> list[Told]:
    """Every table of a run, in the order in which they are read. ``rule`` is that of the localisation table.

    That table is left out where there is none: it is of photos with planted defects only.
    """
    told = []
    for name, page in {"section2": section2_text.PAGE, **PAGES, "localisation": localisation_text.page(rule)}.items():
        try:
            groups = [("", rows_of(output, name, run, page.columns))]
        except Missing as missing:
            if name != "localisation":
                told.append(Told(name, page.title, missing=str(missing)))
            continue
        if is_blank(groups[0][1]):
            told.append(Told(name, page.title, missing=f"{why_blank(groups[0][1])}; jobs/tables.py then makes it"))
            continue
        groups += _joined(output, name, run)
        told.append(_tell(name, page, groups))
    return told


def headline(output: str, run: Run) -> list[dict[str, str]]:
    """The result of Section 2 in a few numbers, over all images: names, values, and what stands beside them."""
    try:
        rows = by_scope(rows_of(output, "section2", run, schema.SECTION2))["all"]
    except Missing:
        return []
    ours = next((row for row in rows if row["default_rule"]), rows[0])
    control = next((row for row in rows if row["name"] == "random half"), None)
    said = []
    for half in ("trivial", "important"):
        beside = [f"random half: {number(control[half])}"] if control and control[half] is not None else []
        printed = ours[f"paper_{half}"]
        beside += [f"paper: {number(printed, 2)}"] if printed is not None else []
        said.append(_tile(f"{half} half masked", interval_cell(ours, half), beside))
    said.append(_tile("difference", interval_cell(ours, "difference", signed=True), [f"halves by {ours['name']}"]))
    with_mos = interval_cell(ours, "unmasked_mos")
    said.append(_tile("whole photo, with MOS", with_mos or "no scores", [f"n {ours['n_mos']}"] if with_mos else []))
    return said


def _tile(name: str, cell: str, beside: Iterable[str]) -> dict[str, str]:
    return {"name": name, "cell": cell or "none", "beside": "; ".join(beside)}


def _joined(output: str, name: str, run: Run) -> list[tuple[str, Rows]]:
    """Rows of a run's images together with those of other data sets, as Table II has them."""
    table = storage.read_table(storage.join(output, "tables", f"{name}.parquet"))
    rows: dict[str, Rows] = {}
    for row in table.filter(pc.match_substring(table["dataset"], JOINED)).to_pylist():
        if (run.dataset, run.key) in _members(row):
            rows.setdefault(row["dataset"], []).append(row)
    return [(f"{dataset} together", some) for dataset, some in rows.items()]


def _members(row: dict[str, Any]) -> list[tuple[str, str]]:
    return list(zip(row["dataset"].split(JOINED), row["run"].split(JOINED), strict=False))


def _tell(name: str, page: Page, groups: list[tuple[str, Rows]]) -> Told:
    brief: list[Part] = []
    scopes: dict[str, list[Part]] = {}
    for heading, rows in groups:
        brief += [_shaped(part, heading) for part in page.brief(rows)]
        for scope, some in by_scope(rows).items():
            scopes[": ".join(filter(None, (heading, scope)))] = [_shaped(part) for part in page.section(some)]
    synthetic = any(row["synthetic"] for _, rows in groups for row in rows)
    # Whatever follows a table and is none is said of it.
    starts = [place for place, part in enumerate(brief) if isinstance(part, Cells)][1:]
    cuts = [0, *starts, len(brief)]
    first, *further = (tuple(brief[start:stop]) for start, stop in pairwise(cuts))
    return Told(name, page.title, tuple(page.legend), synthetic, first, tuple(further), scopes)


def _shaped(part: Part, heading: str = "") -> Part:
    """The part with a heading before its title, and without columns that are empty; a table of nothing is said."""
    if not isinstance(part, Cells):
        return part
    kept = [column for column in range(len(part.header)) if any(row[column] for row in part.rows)]
    title = f"{heading}: {part.title}" if heading else part.title
    if not kept:
        return f"{title}: no numbers."
    rows = [[row[column] for column in kept] for row in part.rows]
    return Cells([part.header[column] for column in kept], rows, title)
