"""Runs of the rank job as they lie in storage: which there are, which is the newest, and their rows.

What is small (ids, splits, MOS, halves) is read whole; the 2^B scores of every image are streamed. An image that
stands in two files, as after an interrupted compaction, counts once. Shape suffixes: N images, S = 2^B subsets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.storage import created

ALL = "all"  # the scope of every image of a run
SPLIT_ORDER = ("train", "validation", "test", "test_same_photo")
# Scores of a run in memory at a time while they are streamed (float32; the sums over them work in float64).
BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class Run:
    """One run of the rank job: its files, and what their metadata says of all of them."""

    dataset: str
    key: str  # 8 characters
    files: tuple[str, ...]
    metadata: dict[str, Any]

    @property
    def grid(self) -> Grid:
        """The block grid that was scored."""
        return Grid(self.metadata["grid"]["rows"], self.metadata["grid"]["columns"])

    @property
    def synthetic(self) -> bool:
        """Whether the data, or what the model learned from, are made up."""
        return bool(self.metadata.get("synthetic"))


@dataclass(frozen=True)
class Part:
    """One file of a run: which of its rows count (ascending), and where each stands in order of image id."""

    uri: str
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """What is small of a run, in order of image id (so that nothing depends on how the rows lie in files)."""

    image_id: tuple[str, ...]
    split: tuple[str | None, ...]
    photo: tuple[str, ...]  # the source photo; the image itself where it is no crop
    of_photos: bool  # whether any image is a crop of a named photo
    score_N: NDArray[np.float64]  # nothing masked, MOS units
    mos_N: NDArray[np.float64]  # NaN where unknown
    halves: dict[str, NDArray[np.int64]]  # rule: important half of every image, 0 where it has none
    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return len(self.image_id)

    def groups(self) -> NDArray[np.int64]:
        """The number of every image's source photo, 0 .. photos - 1: what intervals resample."""
        return np.unique(np.asarray(self.photo, dtype=str), return_inverse=True)[1].astype(np.int64)

    def scopes(self) -> dict[str, NDArray[np.int64]]:
        """Positions of the images of every scope: the whole run, then each split."""
        known = {s for s in self.split if s is not None}
        ordered = [s for s in SPLIT_ORDER if s in known] + sorted(known - set(SPLIT_ORDER))
        splits = np.asarray([s if s is not None else "" for s in self.split], dtype=object)
        return {ALL: np.arange(len(self))} | {name: np.flatnonzero(splits == name) for name in ordered}


def find_run(output: str, dataset: str, run_key: str | None = None) -> Run:
    """The newest run of a data set below ``output``, or the one of ``run_key`` (8 characters or more).

    Newest is by the latest time of creation in the files' metadata, else by when they were written.
    Raises FileNotFoundError naming the folder and the job that fills it.
    """
    runs = find_runs(output, dataset, run_key)
    if not runs:
        wanted = f"run {run_key[:8]}" if run_key is not None else "a run"
        folder = storage.join(output, "rank", f"dataset={dataset}")
        raise FileNotFoundError(f"no Parquet file of {wanted} below {folder}: jobs/rank.py writes it")
    return runs[0]


def find_runs(output: str, dataset: str, run_key: str | None = None) -> list[Run]:
    """All runs of a data set below ``output`` (or those of ``run_key``), the newest first."""
    folder = storage.join(output, "rank", f"dataset={dataset}")
    runs: dict[str, list[str]] = {}
    for file in storage.list_files(folder, ".parquet", recursive=True):
        name = file[len(folder) + 1 :].split("/")[0]
        if name.startswith("run="):
            runs.setdefault(name.removeprefix("run="), []).append(file)
    if run_key is not None:
        runs = {key: files for key, files in runs.items() if key == run_key[:8]}
    if len(runs) > 1:
        runs = dict(sorted(runs.items(), key=lambda run: (created(run[1]), run[0]), reverse=True))
    found = []
    for key, files in runs.items():
        metadata = schema.metadata(storage.read_schema(files[0]))
        if "grid" not in metadata:
            raise ValueError(f"{files[0]} does not say its block grid: it was not written by jobs/rank.py")
        found.append(Run(dataset, key, tuple(files), metadata))
    return found


def read_images(run: Run) -> Images:
    """What is small of every image of a run, each once."""
    rules = {rule: f"important_{rule}" for rule in schema.IMAGE_RULES}
    columns = ["image_id", "split", "source_photo", "mos", "score", *rules.values()]
    tables = [storage.read_table(file, columns) for file in run.files]
    ids = [table["image_id"].to_pylist() for table in tables]
    place = {image_id: position for position, image_id in enumerate(sorted({i for part in ids for i in part}))}
    seen: set[str] = set()
    parts = []
    for file, names in zip(run.files, ids, strict=True):
        rows = []
        for row, name in enumerate(names):
            if name not in seen:
                seen.add(name)
                rows.append(row)
        positions = [place[names[row]] for row in rows]
        parts.append(Part(file, np.array(rows, dtype=np.int64), np.array(positions, dtype=np.int64)))
    taken = pa.concat_tables([t.take(pa.array(p.rows)) for t, p in zip(tables, parts, strict=True)])
    taken = taken.sort_by("image_id")
    names = taken["image_id"].to_pylist()
    photos = taken["source_photo"].to_pylist()
    return Images(
        image_id=tuple(names),
        split=tuple(taken["split"].to_pylist()),
        photo=tuple(name if photo is None else photo for name, photo in zip(names, photos, strict=True)),
        of_photos=any(photo is not None for photo in photos),
        score_N=_numbers(taken["score"]),
        mos_N=_numbers(taken["mos"]),
        halves={rule: taken[c].fill_null(0).to_numpy().astype(np.int64) for rule, c in rules.items()},
        parts=tuple(p for p in parts if len(p.rows)),
    )


def read_run(output: str, dataset: str, run_key: str | None = None, columns: list[str] | None = None) -> pa.Table:
    """`read_rows` of the run that `find_run` finds; raises as it does."""
    return read_rows(find_run(output, dataset, run_key), columns)


def read_rows(run: Run, columns: list[str] | None = None) -> pa.Table:
    """All rows of a run as one table, each image once, in order of image id: for data that fit in memory.

    ``columns`` must hold ``image_id``.
    """
    rows = pa.concat_tables([storage.read_table(file, columns) for file in run.files])
    _, first = np.unique(np.asarray(rows["image_id"].to_pylist(), dtype=object), return_index=True)
    return rows.take(pa.array(first))


def stream_scores(part: Part, grid: Grid) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Subset scores of the counting rows of a file: (where in ``part.rows``, float32 (n, 2^B)), in their order.

    Raises ValueError naming file and row when a score is not a finite number or the file is of another grid.
    """
    start, done = 0, 0
    for batch in storage.iterate_table(part.uri, ["subset_scores"], max(1, BATCH_BYTES // (4 * grid.subsets))):
        scores_NS = vectors(batch.column(0))
        if scores_NS.shape[1] != grid.subsets:
            raise ValueError(
                f"{part.uri} holds {scores_NS.shape[1]} scores an image, but {grid.rows} x {grid.columns} blocks "
                f"have {grid.subsets} subsets"
            )
        stop = done + int(np.searchsorted(part.rows[done:], start + batch.num_rows))
        wanted = part.rows[done:stop] - start
        if len(wanted) < batch.num_rows:
            scores_NS = scores_NS[wanted]
        bad = np.flatnonzero(~np.isfinite(scores_NS).all(1))
        if len(bad):
            raise ValueError(
                f"{part.uri}, row {part.rows[done + bad[0]]}: a subset score is not a finite number; "
                "delete the file and run jobs/rank.py again"
            )
        if stop > done:
            yield slice(done, stop), scores_NS
        start, done = start + batch.num_rows, stop


def vectors(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of fixed-size float lists as (N, width); a null list or element is NaN."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = array.type.list_size
    # .values, not flatten(): that one leaves null lists out and shifts all that follows.
    child = array.values[array.offset * width : (array.offset + len(array)) * width]
    values = child.to_numpy(zero_copy_only=False).reshape(-1, width)
    if array.null_count:
        values = values.copy()
        values[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return values


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy()
