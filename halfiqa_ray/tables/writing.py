"""Tables into files and into text: Parquet and CSV for programs, Markdown and aligned text for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from halfiqa_ray import schema, storage
from halfiqa_ray.statistics.bootstrap import no_interval
from halfiqa_ray.tables.stored.reading import ALL

NOTICE = (
    "SYNTHETIC DATA: the scores of these pictures, or those that a model here learned from, come from a formula, not "
    "from people. What compares with them says nothing about human judgement or about a published data set."
)
# Of a table that is blank: every number in it waits for another job.
NOTHING_FOR_IT = "no photo has what it needs: jobs/measure.py, jobs/zero.py or jobs/explain.py computes that"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Cells:
    """A table of texts under a title, which may be empty."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


Part = str | Cells  # a paragraph, or a table


@dataclass(frozen=True)
class Page:
    """How a stored table is told to people; Markdown, the terminal and the report page differ in layout only.

    ``columns`` are the table's, of ``schema``. ``section`` gives all that the rows of one run and scope say, ``brief``
    the main things that all rows of a run say.
    """

    columns: pa.Schema
    title: str
    legend: Sequence[str]
    section: Callable[[Rows], list[Part]]
    brief: Callable[[Rows], list[Part]] = lambda rows: []

    def markdown(self, table: pa.Table) -> str:
        """A chapter for every run of a table, and in it a section for every scope."""
        lines = [f"# {self.title}", "", *(f"- {line}" for line in self.legend)]
        for (dataset, run), rows in groupby(table.to_pylist(), key=lambda row: (row["dataset"], row["run"])):
            chapter = list(rows)
            lines += ["", f"## {dataset}, run {run}", ""]
            lines += [f"**{NOTICE}**", ""] if any(row["synthetic"] for row in chapter) else []
            lines += [line for said in _learned(chapter) for line in (said, "")]
            for scope, group in by_scope(chapter).items():
                lines += [f"### {scope}", ""]
                for part in self.section(group):
                    if isinstance(part, Cells):
                        lines += [f"**{part.title}**", ""] if part.title else []
                        lines += [markdown_table(part.header, part.rows), ""]
                    else:
                        lines += [part, ""]
        return "\n".join(lines)

    def console(self, table: pa.Table) -> str:
        """The main things of one run for a terminal."""
        rows = table.to_pylist()
        lines = [f"{self.title} - {rows[0]['dataset']}, run {rows[0]['run']}"] if rows else [self.title]
        lines += [NOTICE] if any(row["synthetic"] for row in rows) else []
        lines += _learned(rows)
        for part in self.brief(rows):
            if isinstance(part, Cells):
                lines += ["", *([part.title] if part.title else []), aligned_table(part.header, part.rows)]
            else:
                lines.append(part)
        lines += ["", *self.legend] if self.legend else []
        hidden = [scope for scope in by_scope(rows) if scope not in main_scopes(rows)]
        return "\n".join(lines + ([f"Not shown here: {', '.join(hidden)} (the .md file has them)."] if hidden else []))


def with_learned_from(table: pa.Table, learned_from: Mapping[str, str | None]) -> pa.Table:
    """The table with the data set that each model (its name) behind it learned from, in every row; unknown ones too."""
    said = ", ".join(f"{model}: {dataset or 'unknown'}" for model, dataset in learned_from.items())
    place = table.schema.get_field_index("learned_from")
    return table.set_column(place, table.schema.field(place), pa.array([said] * table.num_rows, pa.string()))


def _learned(rows: Rows) -> list[str]:
    said = {str(row["learned_from"]) for row in rows if row.get("learned_from")}
    return [f"Models learned from: {'; '.join(sorted(said))}."] if said else []


def is_blank(rows: Rows) -> bool:
    """Whether no image is behind any row of a table that counts images (``n``)."""
    return all(row.get("n", 1) == 0 for row in rows)


def why_blank(rows: Rows) -> str:
    """What a blank table says of the reason."""
    return next((row["note"] for row in rows if row.get("note")), NOTHING_FOR_IT)


def one_table(columns: pa.Schema, title: str, legend: Sequence[str], table: Callable[[Rows, str], Cells]) -> Page:
    """The page of a table that says all in one table a scope; ``table`` makes it of rows and a title."""

    def brief(rows: Rows) -> list[Part]:
        return [table(some, scope) for scope, some in main_scopes(rows).items()]

    return Page(columns, title, legend, lambda rows: [table(rows, "")], brief)


def by_scope(rows: Rows) -> dict[str, Rows]:
    """The rows of every scope, in the order of the table."""
    return {scope: list(group) for scope, group in groupby(rows, key=lambda row: row["scope"])}


def main_scopes(rows: Rows) -> dict[str, Rows]:
    """Of `by_scope` all images and the test splits."""
    return {scope: some for scope, some in by_scope(rows).items() if scope == ALL or scope.startswith("test")}


def replace_rows(uri: str, fresh: pa.Table, keys: Sequence[str] = ("dataset", "run")) -> pa.Table:
    """``fresh`` together with the rows of a stored table whose ``keys`` it does not have, sorted by the keys.

    A stored table with other columns (of an older version) is left out. The metadata say whether any row is of
    synthetic data.
    """
    table = fresh
    if storage.exists(uri) and storage.read_schema(uri).remove_metadata().equals(fresh.schema.remove_metadata()):
        stored = storage.read_table(uri).replace_schema_metadata(None)
        ours = set(zip(*(fresh[key].to_pylist() for key in keys), strict=True))
        others = [row not in ours for row in zip(*(stored[key].to_pylist() for key in keys), strict=True)]
        stored = stored.filter(pa.array(others, pa.bool_()))
        table = pa.concat_tables([stored, fresh.replace_schema_metadata(None)])
        # Ties of the keys keep their order, so that the rows of one run stay as they were made.
        order = sorted(
            range(table.num_rows), key=list(zip(*(table[key].to_pylist() for key in keys), strict=True)).__getitem__
        )
        table = table.take(pa.array(order, pa.int64()))
    synthetic = bool(pc.any(table["synthetic"]).as_py())
    metadata = {"synthetic": synthetic} | ({"notice": NOTICE} if synthetic else {})
    return table.cast(schema.with_metadata(table.schema, metadata))


def write_table(output: str, name: str, fresh: pa.Table, markdown: Callable[[pa.Table], str] | None = None) -> None:
    """Write a table as ``output``/tables/NAME.parquet, beside the rows of other runs that stand there.

    ``markdown`` makes its page; then CSV and Markdown are written too.
    """
    uri = storage.join(output, "tables", name)
    merged = replace_rows(f"{uri}.parquet", fresh)
    storage.write_table(f"{uri}.parquet", merged)
    if markdown is not None:
        write_csv(f"{uri}.csv", merged)
        storage.write_text(f"{uri}.md", markdown(merged))


def write_csv(uri: str, table: pa.Table) -> None:
    """Write a table of plain columns as CSV; nulls are empty, and synthetic rows carry a notice in the last column."""
    notices = [NOTICE if synthetic else None for synthetic in table["synthetic"].to_pylist()]
    sink = pa.BufferOutputStream()
    pacsv.write_csv(table.append_column("notice", pa.array(notices, pa.string())), sink)
    storage.write_bytes(uri, sink.getvalue().to_pybytes())


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """A number for a person; empty where there is none."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def with_interval(value: float | None, low: float | None, high: float | None, signed: bool = False) -> str:
    """``0.970 [0.965, 0.975]``; without the interval where it does not exist, empty where the value does not."""
    ends = [number(end, signed=signed) for end in (low, high)]
    middle = number(value, signed=signed)
    return f"{middle} [{ends[0]}, {ends[1]}]" if middle and all(ends) else middle


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a vertical bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def aligned_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table for a terminal: columns padded to their widest cell, two spaces apart."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def interval_cell(row: dict[str, Any], name: str, signed: bool = False) -> str:
    """The columns NAME, NAME_low and NAME_high of a row, as `with_interval` writes them."""
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], signed)


def intervals_of(row: dict[str, Any]) -> str:
    """What the intervals of a row, and of those beside it, were made from; or why there are none."""
    units = f"{row['resampled_units']} {row['resampled']}s"
    few = no_interval(row["n"], row["resampled_units"], row["resampled"])
    return few or f"95% intervals from {row['resamples']} resamples of {units}"


def nulls(values: Iterable[float]) -> list[float | None]:
    """Numbers for an Arrow column, NaN made null."""
    return [None if math.isnan(value) else float(value) for value in values]


def table_of(rows: Iterable[dict[str, Any]], columns: pa.Schema) -> pa.Table:
    """Rows as a table; NaN and missing values are null."""
    clean = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
    return pa.Table.from_pylist(clean, schema=columns)
