"""SQL over an output: a DuckDB connection whose views are the stored tables, local or in object storage.

DuckDB's own Parquet reader reads them, through `StoredFiles`: only the columns and row groups that a query needs are
fetched. (Through a pyarrow dataset the same queries took up to five times the memory, and LIMIT read the whole file:
benchmarks/results/queries.md.) SQL reads nothing but the files of the output and writes nothing.
"""

from __future__ import annotations

import atexit
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from halfiqa_ray import storage
from halfiqa_ray.masking.controls import centre_half
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.queries.macros import define_macros
from halfiqa_ray.queries.records import define_records
from halfiqa_ray.queries.sources import GRID_BLOCKS, SOURCES, TABLES, Run, Source, find, newest
from halfiqa_ray.queries.stored_files import StoredFiles, name_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Set last and locked: files may be read that are named here, and nothing else of the machine or the network.
SEALED = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,  # no names of Python variables as tables
    "enable_external_access": False,
    "lock_configuration": True,
}


class QueryError(ValueError):
    """SQL cannot be asked: there is no output, or no DuckDB."""


EVERY = "all"


def connect(output: str, dataset: str | None = None) -> DuckDBPyConnection:
    """A connection with a view of every stored table of ``output`` (folder or URI), and the macros of `macros`.

    The views show the rows of ``dataset``, or of `EVERY` data set: then queries must group by dataset, for a
    correlation over scores on different scales is of nothing. So where there are several, one of the two must be asked
    for. Views of what is not there are empty. The files are those that are there now: connect again to see later ones.
    Close it, or use it in ``with``. Raises QueryError, also for a data set that is not there, or ValueError naming a
    file that cannot be read.
    """
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise QueryError("queries need DuckDB; run: pip install 'halfiqa_ray[query]'") from error
    # Only results too large for memory go there; it is made when needed and deleted at the end.
    spill = str(Path(tempfile.gettempdir()) / f"halfiqa_ray-query-{uuid.uuid4().hex}")
    connection = duckdb.connect(":memory:", config={"temp_directory": spill})
    # A connection that holds a file system must be closed before Python ends, or DuckDB complains of leaks.
    atexit.register(connection.close)
    connection.register_filesystem(StoredFiles(output))
    connection.execute("CREATE SCHEMA internal")
    define_macros(connection)
    try:
        records = define_records(connection, output)
        found = {source.name: find(output, source) for source in SOURCES}
        shown = _chosen(output, found, dataset)
        files = [*_define_sources(connection, output, found, shown), *_define_tables(connection, output, shown)]
    except duckdb.Error as error:
        raise QueryError(f"a file of {output} cannot be read: {error}") from error
    if not files and not records:
        raise QueryError(f"no results in {output}: name the folder or URI that the other jobs wrote to (--output)")
    connection.execute("SET allowed_paths = ?", [files])
    for name, value in SEALED.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def _chosen(output: str, found: Mapping[str, Sequence[Run]], dataset: str | None) -> str | None:
    """The data set to show alone; None for all that are there."""
    there = sorted({run.folders["dataset"] for runs in found.values() for run in runs})
    if dataset is None and len(there) > 1:
        raise QueryError(
            f"{output} holds the data sets {', '.join(there)}, whose scores may be on different scales: ask for one "
            f"with --dataset {there[0]}, or for all with --dataset {EVERY}, and then group by dataset"
        )
    if dataset in (None, EVERY):
        return None
    if dataset not in there:
        raise QueryError(f"{output} holds nothing of data set {dataset!r}; it has {', '.join(there) or 'none'}")
    return dataset


def _define_sources(
    connection: DuckDBPyConnection, output: str, found: Mapping[str, Sequence[Run]], dataset: str | None
) -> list[str]:
    """A view of the shown runs of every source, and one of all its runs; returns the names of their files."""
    connection.execute("CREATE TABLE internal.doubled (file VARCHAR, place BIGINT)")
    files: list[str] = []
    grids: set[Grid] = set()
    ranks: list[Run] = []
    for source in SOURCES:
        _create_empty(connection, source.name, source.columns)
        runs = [run for run in found[source.name] if dataset in (None, run.folders["dataset"])]
        shown = newest(source, runs, ranks)
        if source.name == "rank":
            ranks = shown
        selects = {id(run): _select(connection, output, source, run) for run in runs}
        views = {source.name: shown} | ({f"{source.name}_all": runs} if source.has_runs else {})
        for view, some in views.items():
            parts = [f"FROM internal.{source.name}", *(selects[id(run)] for run in some)]
            connection.execute(f"CREATE VIEW {view} AS {' UNION ALL BY NAME '.join(parts)}")
        files += [name_of(file, output) for run in runs for file in run.files]
        grids |= {Grid(**run.metadata["grid"]) for run in runs if "grid" in run.metadata}
    _create_table(connection, "grid_blocks", grid_blocks(grids))
    return files


def _select(connection: DuckDBPyConnection, output: str, source: Source, run: Run) -> str:
    """The rows of one run, each once, with what its folders and metadata say in every row."""
    rows = _read([name_of(file, output) for file in run.files], union=bool(run.lacking))
    # What files of an older version lack, as SQL: some of the run's files may have it.
    older = {name: source.older[name] for name in sorted(run.lacking)}
    older |= {name: f"coalesce({name}, {sql})" for name, sql in older.items() if name in run.columns}
    where = ""
    if len(run.files) > 1:
        # As other readers do: of a row that stands in two files, as after an interrupted compaction, the first counts.
        key = ", ".join(older.get(name, name) for name in source.key)
        (doubled,) = connection.execute(
            "INSERT INTO internal.doubled SELECT filename, file_row_number FROM ("
            "SELECT filename, file_row_number, row_number() OVER "
            f"(PARTITION BY {key} ORDER BY filename, file_row_number) AS copy FROM {rows}) "
            "WHERE copy > 1"
        ).fetchall()[0]
        where = " WHERE (filename, file_row_number) NOT IN (FROM internal.doubled)" if doubled else ""
    known = run.facts()
    facts = [name for name in source.columns.names if name in known and name not in run.columns]
    said = [f"{_literal(known[name])} AS {name}" for name in facts]
    said += [f"{sql} AS {name}" for name, sql in older.items() if name not in run.columns]
    replaced = ", ".join(f"{sql} AS {name}" for name, sql in older.items() if name in run.columns)
    return f"SELECT {', '.join([*said, '*'])}{f' REPLACE ({replaced})' if replaced else ''} FROM {rows}{where}"


def _define_tables(connection: DuckDBPyConnection, output: str, dataset: str | None) -> list[str]:
    """A view of every table, whether it was made or not; returns the names of the files."""
    folder = storage.join(output, "tables")
    found = {file[len(folder) + 1 :].removesuffix(".parquet"): file for file in storage.list_files(folder, ".parquet")}
    for name, columns in TABLES.items():
        if name not in found:
            _create_empty(connection, f"table_{name}", columns)
            connection.execute(f"CREATE VIEW table_{name} AS FROM internal.table_{name}")
    for name, file in found.items():
        view = f"table_{name}".replace('"', '""')
        of_one = dataset is not None and "dataset" in storage.read_schema(file).names
        where = f" WHERE dataset = {_literal(dataset)}" if of_one else ""
        connection.execute(f'CREATE VIEW "{view}" AS FROM {_read([name_of(file, output)])}{where}')
    return [name_of(file, output) for file in found.values()]


def grid_blocks(grids: Iterable[Grid]) -> pa.Table:
    """A row a block of every grid: its number, row, column, and whether it is in the centre half."""
    rows = [
        {"grid_rows": grid.rows, "grid_columns": grid.columns, "blocks": grid.blocks, "block": block}
        | {"block_row": block // grid.columns, "block_column": block % grid.columns}
        | {"centre": bool(centre_half(grid) >> block & 1)}
        for grid in sorted(grids, key=lambda grid: (grid.rows, grid.columns))
        for block in range(grid.blocks)
    ]
    return pa.Table.from_pylist(rows, GRID_BLOCKS)


def _create_empty(connection: DuckDBPyConnection, name: str, columns: pa.Schema) -> None:
    # In Parquet and in SQL lists have no fixed size: runs of other grids stand in one view.
    plain = [
        pa.field(f.name, pa.list_(f.type.value_type) if pa.types.is_fixed_size_list(f.type) else f.type)
        for f in columns
    ]
    _create_table(connection, f"internal.{name}", pa.schema(plain).empty_table())


def _create_table(connection: DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("given", rows)
    connection.execute(f"CREATE TABLE {name} AS FROM given")
    connection.unregister("given")


def _read(names: Sequence[str], union: bool = False) -> str:
    # Folder names are not made columns here: DuckDB would take a run of digits for a number.
    by_name = ", union_by_name = true" if union else ""
    return f"read_parquet([{', '.join(map(_literal, names))}], hive_partitioning = false{by_name})"


def _literal(value: Any) -> str:
    """A value as SQL writes it."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)
