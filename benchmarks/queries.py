"""What queries cost that do and do not read the scores of all subsets: seconds, peak memory, bytes.

On a made-up output of two data sets, written as the rank job compacts its files. The same SQL also runs over a pyarrow
dataset of the same files, the other way to bring Parquet on any storage to DuckDB. Every case has a process of its own
and is asked three times (the files are in the page cache); times are medians, memory is the process's peak.

    python -m benchmarks.queries --output benchmarks/results/queries.md
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from benchmarks.printing import machine, parser, publish
from halfiqa_ray import schema, storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.queries.connection import connect
from halfiqa_ray.queries.macros import define_macros
from halfiqa_ray.queries.stored_files import SharedFile
from halfiqa_ray.stages.parts import LARGE_FILE, ROW_GROUP, run_uri

GRID, REPEATS = Grid(3, 4), 3
HALF = "subset_score(subset_scores, important_level_plcc)"
QUERIES = {
    "agreement with MOS, by split": "SELECT dataset, split, plcc(score, mos), srcc(score, mos) FROM rank GROUP BY ALL",
    "one photo's score and halves": "SELECT score, important_level_plcc, important_shapley FROM rank "
    "WHERE image_id = 'photo004321.jpg'",
    "the ten best photos with the top left block important": "SELECT image_id, score FROM rank "
    "WHERE is_important(important_shapley, 0) ORDER BY score DESC LIMIT 10",
    "PLCC of the important half alone with the whole, by split": f"SELECT dataset, split, plcc({HALF}, score) "
    "FROM rank GROUP BY ALL",
    "all subset scores of one photo": "SELECT subset_scores FROM rank WHERE image_id = 'photo004321.jpg'",
    "mean change by number of masked blocks, every subset": "SELECT kept_blocks, avg(abs(score - whole_score)) "
    "FROM unnest_subsets() GROUP BY kept_blocks",
    "three whole rows": "FROM rank LIMIT 3",
}


def rows_of(count: int, first: int, seed: int) -> pa.Table:
    """Made-up rank rows: a score moves with the number of blocks that are kept, and a little for each subset."""
    draw = np.random.default_rng(seed)
    quality = draw.normal(3, 0.6, count)
    scores = 3 + (quality - 3)[:, None] * GRID.sizes() / GRID.blocks + draw.normal(0, 0.01, (count, GRID.subsets))
    wide = {"subset_scores": scores, "level_plcc": draw.uniform(0.9, 1, scores.shape)}
    columns: dict[str, Any] = {
        "image_id": [f"photo{first + i:06}.jpg" for i in range(count)],
        "split": draw.choice(["train", "validation", "test"], count),
        "mos": quality + draw.normal(0, 0.2, count),
        "score": scores[:, -1],
    }
    arrays = []
    for field in schema.rank(GRID.blocks):
        if pa.types.is_fixed_size_list(field.type):
            width = field.type.list_size
            values = wide.get(field.name)
            values = draw.random((count, width)) if values is None else values
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(values.ravel().astype(np.float32)), width))
        elif field.name.startswith("important_"):
            arrays.append(pa.array(draw.choice(GRID.halves(), count), field.type))
        else:
            arrays.append(pa.array(columns.get(field.name, [None] * count), field.type))
    return pa.table(arrays, schema=schema.rank(GRID.blocks))


def write(output: str, rows: int) -> int:
    """Write two data sets of half the rows each, in files as compaction makes them; returns bytes."""
    step = LARGE_FILE // (2 * 4 * GRID.subsets)
    for number, name in enumerate(("first", "second")):
        about = {"dataset": name, "model": "triq", "grid": {"rows": GRID.rows, "columns": GRID.columns}}
        folder = run_uri(output, "rank", name, f"{number}" * 8)
        for part, start in enumerate(range(0, rows // 2, step)):
            table = rows_of(min(step, rows // 2 - start), start, 2 * part + number)
            with_metadata = table.cast(schema.with_metadata(table.schema, about))
            storage.write_table(f"{folder}/data-{part}.parquet", with_metadata, ROW_GROUP)
    return sum(file.stat().st_size for file in Path(output).rglob("*.parquet"))


def case(way: str, output: str, query: str) -> dict[str, float]:
    """Ask one query in this process."""
    read: list[int] = []
    real = SharedFile.read

    def counted(file: SharedFile, size: int) -> bytes:
        read.append(size)
        return real(file, size)

    SharedFile.read = counted  # type: ignore[method-assign,assignment]
    start = time.perf_counter()
    connection = connect(output, "all") if way == "views" else over_dataset(output)
    connected = time.perf_counter() - start
    times = []
    for _ in range(REPEATS):
        read.clear()
        start = time.perf_counter()
        connection.execute(QUERIES[query]).fetchall()
        times.append(time.perf_counter() - start)
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return {"connect": connected, "seconds": statistics.median(times), "peak": peak, "read": sum(read)}


def over_dataset(output: str) -> Any:
    """The other way: DuckDB over a pyarrow dataset."""
    import duckdb

    folders = ds.partitioning(pa.schema([("dataset", pa.string()), ("run", pa.string())]), flavor="hive")
    connection = duckdb.connect(":memory:")
    define_macros(connection)
    connection.register("stored", ds.dataset(f"{output}/rank", partitioning=folders))
    connection.execute(
        "CREATE VIEW rank AS SELECT * REPLACE (subset_scores::FLOAT[] AS subset_scores), 12 AS blocks FROM stored"
    )
    return connection


def in_process(way: str, output: str, query: str) -> dict[str, float]:
    """One case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.queries", "--case", way, "--folder", output, "--query", query]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise RuntimeError(told.stderr[-3000:])
    found: dict[str, float] = json.loads(told.stdout.splitlines()[0])
    return found


def report(rows: int) -> Iterable[str]:
    """All cases, as Markdown."""
    with tempfile.TemporaryDirectory() as output:
        size = write(output, rows)
        yield (
            f"{machine()}, load {os.getloadavg()[0]:.0f} when it began; {rows:,} rows of two data sets, "
            f"{size / 2**20:,.0f} MiB of Parquet (zstd), {share(output):.0%} of it subset_scores. "
            f"(d): the same SQL over a pyarrow dataset."
        )
        yield ""
        yield "| query | reads subset_scores | seconds | peak MiB | MiB read | (d) seconds | (d) peak MiB |"
        yield "|---|---|---|---|---|---|---|"
        connects = []
        for name, sql in QUERIES.items():
            ours, other = (in_process(way, output, name) for way in ("views", "dataset"))
            connects.append(ours["connect"])
            touches = "all columns" if sql.startswith("FROM rank") else "yes" if "subset" in sql else "no"
            cells = [name, touches, f"{ours['seconds']:.2f}", f"{ours['peak'] / 2**20:.0f}"]
            cells += [f"{ours['read'] / 2**20:.1f}", f"{other['seconds']:.2f}", f"{other['peak'] / 2**20:.0f}"]
            yield f"| {' | '.join(cells)} |"
        yield ""
        yield f"Connecting (views, and a look for rows that stand in two files): {statistics.median(connects):.2f} s."


def share(output: str) -> float:
    """Of the bytes, those of the subset scores."""
    import pyarrow.parquet as pq

    ours = every = 0
    for file in Path(output).rglob("*.parquet"):
        meta = pq.read_metadata(file)
        for group in range(meta.num_row_groups):
            for column in range(meta.num_columns):
                chunk = meta.row_group(group).column(column)
                every += chunk.total_compressed_size
                ours += chunk.total_compressed_size * chunk.path_in_schema.startswith("subset_scores")
    return ours / every


def main() -> None:
    """Measure, print, and write if asked."""
    command = parser(__doc__)
    command.add_argument("--rows", type=int, default=20_000)
    command.add_argument("--case", choices=("views", "dataset"), help="one case only, its result as JSON")
    command.add_argument("--folder", help="of that case")
    command.add_argument("--query", help="of that case")
    options = command.parse_args()
    if options.case:
        print(json.dumps(case(options.case, options.folder, options.query)))
        return
    publish(report(options.rows), options.output)


if __name__ == "__main__":
    main()
