"""What of an output becomes a view: the folders of stored rows, their runs, and which of these are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from halfiqa_ray import schema, storage

BLOCKS = 12  # of the schemas below; how long lists are does not show in SQL


@dataclass(frozen=True)
class Source:
    """A folder of stored rows: its name, which is the view's, and what its files hold."""

    name: str
    folders: tuple[str, ...]  # what the names of its folders say
    facts: tuple[str, ...]  # what the metadata of its files say of all their rows
    stored: pa.Schema
    key: tuple[str, ...]  # columns that tell a row of a run from every other
    about: str
    older: Mapping[str, str] = field(default_factory=dict)  # columns that older files lack, and SQL for their value

    @property
    def has_runs(self) -> bool:
        """Whether the newest runs stand for all. Errors are shown of all: a run that goes on settles its own."""
        return "run" in self.folders and self.name != "errors"

    @property
    def columns(self) -> pa.Schema:
        """All columns of the view."""
        first = [pa.field(name, pa.string()) for name in self.folders if name not in self.stored.names]
        last = [pa.field(name, FACTS[name]) for name in self.facts if name not in self.stored.names]
        return pa.schema([*first, *self.stored, *last])


FACTS = {
    "model": pa.string(),
    "trained_on": pa.string(),  # the data set that the model learned from
    "rank_run": pa.string(),  # the rank run that it was made for
    "grid_rows": pa.int32(),
    "grid_columns": pa.int32(),
    "blocks": pa.int32(),
    "synthetic": pa.bool_(),  # made-up data, or a model that learned from them: the numbers say nothing of people
}
_OF_GRID = ("grid_rows", "grid_columns", "blocks", "synthetic")
SOURCES = (
    Source("manifest", ("dataset",), ("synthetic",), schema.MANIFEST, ("image_id",), "a row a photo"),
    Source(
        "rank",
        ("dataset", "run"),
        ("model", "trained_on", *_OF_GRID),
        schema.rank(BLOCKS),
        ("image_id",),
        "a row a photo: the scores of all its block subsets, importance and halves by every rule",
    ),
    Source(
        "measures",
        ("dataset", "run"),
        _OF_GRID,
        schema.measures(BLOCKS),
        ("image_id", "measure"),
        "a row a photo and measure (saliency, frequency_... ): its mean in every block",
    ),
    Source(
        "zeroed",
        ("dataset", "model", "run"),
        ("trained_on", "rank_run", *_OF_GRID),
        schema.ZEROED,
        ("image_id", "ranking", "zeroed_half", "zeroed_blocks", "fill"),
        "a row a photo, model, ranking, half and fill: the score with that half of the pixels set to zero, or filled",
        {"fill": schema.OLDER_FILL},
    ),
    Source(
        "explain",
        ("dataset", "model", "run"),
        ("trained_on", *_OF_GRID),
        schema.explain(BLOCKS),
        ("image_id", "method"),
        "a row a photo, model and method (grad_cam, lime): its mean in every block",
    ),
    Source(
        "maps",
        ("dataset", "run"),
        ("rank_run", "synthetic"),
        schema.MAPS,
        ("image_id", "name", "model"),
        "small pixel maps of measures and explanations, of chosen photos",
    ),
    Source(
        "errors",
        ("stage", "dataset", "run"),
        (),
        schema.ERRORS,
        tuple(schema.ERRORS.names),
        "a row a photo that failed, with the stage and the reason",
    ),
)
# Tables below ``tables/`` by name: what no run made yet is a view without rows.
TABLES = {
    name.lower().removesuffix("_table"): columns
    for name, columns in vars(schema).items()
    if isinstance(columns, pa.Schema) and {"dataset", "synthetic"} <= {*columns.names}
}
GRID_BLOCKS = pa.schema(
    [
        pa.field("grid_rows", pa.int32()),
        pa.field("grid_columns", pa.int32()),
        pa.field("blocks", pa.int32()),
        pa.field("block", pa.int32()),
        pa.field("block_row", pa.int32()),
        pa.field("block_column", pa.int32()),
        pa.field("centre", pa.bool_()),  # in the centre half, masking/controls.py
    ]
)


@dataclass(frozen=True)
class Run:
    """The files of one run of a source, and what is true of all their rows."""

    folders: dict[str, str]  # dataset, run ...
    files: tuple[str, ...]
    metadata: dict[str, Any]
    columns: tuple[str, ...]  # of its files
    lacking: frozenset[str] = frozenset()  # columns that are in `Source.older` and that some of its files lack

    def facts(self) -> dict[str, Any]:
        """Values of the columns that come from folder names and metadata."""
        grid = self.metadata.get("grid", {})
        rows, columns = grid.get("rows"), grid.get("columns")
        rank_key = self.metadata.get("rank_key")
        return {
            "model": self.metadata.get("model"),
            "trained_on": self.metadata.get("trained_on"),
            "rank_run": rank_key and str(rank_key)[:8],
            "grid_rows": rows,
            "grid_columns": columns,
            "blocks": rows and columns and rows * columns,
            "synthetic": self.metadata.get("synthetic"),
        } | self.folders


def find(output: str, source: Source) -> list[Run]:
    """All runs of a source, by the names of their folders. Raises ValueError naming a file that is no Parquet."""
    base = storage.join(output, source.name)
    files: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for file in storage.list_files(base, ".parquet", recursive=True):
        parts = (part.partition("=") for part in file[len(base) + 1 :].split("/")[:-1])
        folders = {name: value for name, _, value in parts if name in source.folders}
        if "dataset" in folders:
            files.setdefault(tuple(folders.items()), []).append(file)
    runs = []
    for found, of_run in files.items():
        columns = storage.read_schema(of_run[0])
        names = list(columns.names)
        lacking: set[str] = set()
        if source.older:
            for each in (storage.read_schema(file).names for file in of_run):
                names += [name for name in each if name not in names]
                lacking |= source.older.keys() - set(each)
        runs.append(Run(dict(found), tuple(of_run), schema.metadata(columns), tuple(names), frozenset(lacking)))
    return runs


def newest(source: Source, runs: Sequence[Run], ranks: Iterable[Run] = ()) -> list[Run]:
    """The newest run of every data set (and model); beside a run of ``ranks``, the newest that was made for it."""
    if not source.has_runs:
        return list(runs)
    shown = {rank.folders["dataset"]: rank for rank in ranks}
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        rank = shown.get(run.folders["dataset"])
        if rank is None or schema.made_for(run.metadata, rank.folders["run"], rank.metadata):
            groups.setdefault(tuple(value for name, value in run.folders.items() if name != "run"), []).append(run)
    return [max(group, key=_age) if group[1:] else group[0] for group in groups.values()]


def _age(run: Run) -> tuple[float, str]:
    return storage.created(list(run.files)), run.folders["run"]
