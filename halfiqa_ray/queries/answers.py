"""Answers of SQL as text and files, and what there is to ask about."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Sequence
from contextlib import redirect_stdout
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pacsv

from halfiqa_ray import storage
from halfiqa_ray.queries.connection import QueryError
from halfiqa_ray.queries.macros import MACROS, TABLE_MACROS
from halfiqa_ray.queries.records import RECORDS
from halfiqa_ray.queries.sources import SOURCES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

FORMATS = ("table", "csv", "json", "parquet")
TABLE_ROWS, TABLE_WIDTH, TEXT_WIDTH = 100, 200, 120
NUMBERS = {
    *("BOOLEAN", "FLOAT", "DOUBLE", "HUGEINT", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
}
EXAMPLES = (
    "--list",
    '"SELECT dataset, split, plcc(score, mos), srcc(score, mos), count(*) FROM rank GROUP BY ALL"',
    '"SELECT image_id, score, blocks_of(important_shapley) FROM rank" --format csv --file halves.csv',
    "- --output s3://bucket/results < question.sql",
)
# Views with what they hold; the tables below ``tables/`` are views too, named table_NAME.
ABOUT = {
    **{one.name: one.about for one in (*SOURCES, *RECORDS)},
    "grid_blocks": "a row a block of every grid: row, column, whether it is in the centre half",
}


def answer(connection: DuckDBPyConnection, sql: str, form: str, file: str | None = None) -> str:
    """Run SQL; its (last) result as text in one of ``FORMATS``, or what was written to ``file`` (path or URI).

    The result is held in memory. Raises QueryError for what DuckDB does not take, and where there is nothing to show.
    """
    import duckdb

    try:
        given = connection.sql(sql)
        # `is None`, not its truth: that is its length, which DuckDB counts while it holds Python's lock, and threads
        # that read files for it through Python then wait for ever.
        found = None if given is None else given.query("result", "FROM result")  # columns of one name get two names
        if found is None:
            raise QueryError("this SQL has no result to show: end it with a SELECT")
        if form == "parquet":
            if file is None:
                raise QueryError("Parquet is not for a terminal: name a file with --file")
            storage.write_table(file, found.to_arrow_table())
        else:
            text = {"table": _table, "csv": _csv, "json": _json}[form](found)
            if file is None:
                return text
            storage.write_text(file, text + "\n")
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    return f"written to {file}"


def _table(found: DuckDBPyRelation) -> str:
    with redirect_stdout(io.StringIO()) as text:
        found.show(max_rows=TABLE_ROWS, max_width=TABLE_WIDTH)
    return text.getvalue().rstrip("\n")


def _csv(found: DuckDBPyRelation) -> str:
    # What CSV has no form for (lists, dates, intervals ...) is text, as DuckDB writes it.
    columns = [
        name if str(kind) in NUMBERS else f"{name}::VARCHAR AS {name}"
        for name, kind in zip(map(_quoted, found.columns), found.types, strict=True)
    ]
    sink = pa.BufferOutputStream()
    pacsv.write_csv(found.project(", ".join(columns)).to_arrow_table(), sink)
    return sink.getvalue().to_pybytes().decode().removesuffix("\n")


def _json(found: DuckDBPyRelation) -> str:
    rows = found.to_arrow_table().to_pylist()
    return "[" + ",\n ".join(json.dumps(_plain(row), ensure_ascii=False, default=str) for row in rows) + "]"


def _plain(value: Any) -> Any:
    """A value as JSON has it: no NaN or infinity, and whole numbers whatever their size."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe(connection: DuckDBPyConnection) -> str:
    """Every view: its rows, which runs they are of, and its columns. Raises QueryError for a file that is damaged."""
    import duckdb

    try:
        return _described(connection)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def _described(connection: DuckDBPyConnection) -> str:
    columns: dict[str, list[str]] = {}
    for view, column in connection.sql(
        "SELECT table_name, column_name || ' ' || data_type FROM information_schema.columns "
        "WHERE table_schema = 'main' ORDER BY table_name, ordinal_position"
    ).fetchall():
        columns.setdefault(view, []).append(column)
    others = [view for view in columns if view not in ABOUT and view.removesuffix("_all") not in ABOUT]
    with_runs = {source.name: source for source in SOURCES if source.has_runs}
    sections = []
    for view in [*ABOUT, *others]:
        rows = _count(connection, view)
        lines = [f"{view}: {rows:,} row{'s' * (rows != 1)}" + (f" ({ABOUT[view]})" if view in ABOUT else "")]
        if view in with_runs:
            lines += _runs(connection, view, with_runs[view].folders)
        sections.append("\n".join([*lines, _wrapped(", ".join(columns[view]))]))
    return "\n\n".join(sections)


def help_text() -> str:
    """Examples, the views and the macros, for ``--help``."""
    views = {**ABOUT, "table_NAME": "a table below tables/, such as table_section2 or table_table1"}
    lines = ["examples:", *(f"  query.py {example}" for example in EXAMPLES), "", "views:"]
    lines += [f"  {name:12} {about}" for name, about in views.items()] + ["", "functions beside DuckDB's own:"]
    for macro in (*MACROS, *TABLE_MACROS):
        lines += [f"  {macro.call}", _wrapped(macro.gives, 6)]
    return "\n".join([*lines, "", "More questions with their answers: docs/cookbook.md."])


def _runs(connection: DuckDBPyConnection, view: str, keys: Sequence[str]) -> list[str]:
    def of(name: str) -> list[str]:
        found = connection.sql(f"SELECT DISTINCT concat_ws(' ', {', '.join(keys)}) FROM {name} ORDER BY 1").fetchall()
        return [run for (run,) in found]

    shown, every = of(view), of(f"{view}_all")
    rest = [run for run in every if run not in shown]
    lines = [_wrapped(f"runs: {', '.join(shown) or 'none'}")]
    return lines + ([_wrapped(f"only in {view}_all: {', '.join(rest)}")] if rest else [])


def _count(connection: DuckDBPyConnection, view: str) -> int:
    ((rows,),) = connection.sql(f"SELECT count(*) FROM {_quoted(view)}").fetchall()
    return int(rows)


def _wrapped(text: str, indent: int = 2) -> str:
    return textwrap.fill(text, TEXT_WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
