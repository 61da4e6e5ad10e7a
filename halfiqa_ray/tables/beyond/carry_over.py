"""Does a model carry over: its agreement with people's scores on every data set that it was asked about.

Predictions are those that are stored: of the model that ranks, and of every model whose photos were zeroed (the score
with nothing zeroed). PLCC and SRCC do not hang on the scale, so a model that learned on another scale is judged too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from halfiqa_ray import schema, storage
from halfiqa_ray.models.fitting.agreement import agreement_with_intervals
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.reading import ALL, SPLIT_ORDER, created
from halfiqa_ray.tables.writing import Rows, aligned_table, interval_cell, markdown_table, table_of, write_csv

COLUMNS = ["image_id", "split", "mos", "source_photo", "score"]
TRAINED_ON, CHOSEN_BY, HELD_BACK, OTHERS = "trained on", "chosen by", "held back", "of another data set"


@dataclass(frozen=True)
class Predicted:
    """The predictions of one checkpoint for the photos of one data set that have MOS."""

    dataset: str
    model: str
    run: str  # of the training
    trained_on: str | None
    checkpoint_sha256: str
    synthetic: bool
    rows: pa.Table  # COLUMNS


def carry_over(output: str, resampling: Resampling) -> pa.Table:
    """One row (``schema.CARRY_OVER``) for every checkpoint, data set and split of all stored predictions."""
    rows: list[dict[str, Any]] = []
    for predicted in predictions(output):
        splits = sorted(
            set(predicted.rows["split"].to_pylist()) - {None},
            key=lambda name: (SPLIT_ORDER.index(name) if name in SPLIT_ORDER else len(SPLIT_ORDER), name),
        )
        for scope in splits or [ALL]:
            some = predicted.rows
            if scope != ALL:
                some = some.filter(pc.equal(some["split"], scope))
            rows.append(_row(predicted, scope, some, resampling))
    return table_of(rows, schema.CARRY_OVER)


def predictions(output: str) -> Iterator[Predicted]:
    """The stored predictions of every checkpoint for every data set, the newest of each that has most photos."""
    found: dict[tuple[str, str], list[tuple[list[str], dict[str, Any], str]]] = {}
    for kind in ("rank", "zeroed"):
        folders: dict[str, list[str]] = {}
        for file in storage.list_files(storage.join(output, kind), ".parquet", recursive=True):
            folders.setdefault(file.rsplit("/", 1)[0], []).append(file)
        for files in folders.values():
            about = schema.metadata(storage.read_schema(files[0]))
            if about.get("checkpoint_sha256") and about.get("dataset"):
                found.setdefault((about["dataset"], about["checkpoint_sha256"]), []).append((files, about, kind))
    for (dataset, sha256), runs in sorted(found.items()):
        tables = [(_read(files, kind), created(files), about) for files, about, kind in runs]
        rows, _, about = max(tables, key=lambda one: (one[0].num_rows, one[1]))
        if rows.num_rows:
            yield Predicted(
                dataset,
                str(about.get("model")),
                str(about.get("checkpoint_run")),
                about.get("trained_on"),
                sha256,
                bool(about.get("synthetic")),
                rows,
            )


def _read(files: Sequence[str], kind: str) -> pa.Table:
    """The photos with MOS, each once, with the score of the whole photo."""
    columns = [*COLUMNS, "zeroed_half"] if kind == "zeroed" else COLUMNS
    rows = pa.concat_tables([storage.read_table(file, columns).replace_schema_metadata(None) for file in files])
    if kind == "zeroed":
        rows = rows.filter(pc.equal(rows["zeroed_half"], "none")).select(COLUMNS)
    rows = rows.filter(pc.and_(pc.is_valid(rows["mos"]), pc.is_valid(rows["score"])))
    ids = rows["image_id"].to_pylist()
    first = {image_id: place for place, image_id in reversed(list(enumerate(ids)))}
    return rows.take(pa.array(sorted(first.values()), pa.int64())).sort_by("image_id")


def _row(predicted: Predicted, scope: str, rows: pa.Table, resampling: Resampling) -> dict[str, Any]:
    sources, ids = (rows[name].to_pylist() for name in ("source_photo", "image_id"))
    photos = [source or own for source, own in zip(sources, ids, strict=True)]
    groups_N = np.unique(np.asarray(photos, dtype=str), return_inverse=True)[1]
    score_N, mos_N = (rows[name].to_numpy().astype(np.float64) for name in ("score", "mos"))
    found = agreement_with_intervals(score_N, mos_N, groups_N, resampling.resamples, resampling.seed)
    row: dict[str, Any] = {
        "dataset": predicted.dataset,
        "scope": scope,
        "model": predicted.model,
        "training_run": predicted.run,
        "trained_on": predicted.trained_on,
        "photos_were": _photos_were(predicted, scope),
        "checkpoint_sha256": predicted.checkpoint_sha256,
        "n": found.n,
        "synthetic": predicted.synthetic,
    }
    for name in ("plcc", "srcc"):
        low, high = getattr(found, f"{name}_interval") or (None, None)
        row |= {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}
    return row


def _photos_were(predicted: Predicted, scope: str) -> str | None:
    """What these photos were to the model; None where it is not known what it learned from."""
    if predicted.trained_on is None:
        return None
    if predicted.trained_on != predicted.dataset:
        return OTHERS
    return {"train": TRAINED_ON, "validation": CHOSEN_BY}.get(scope, HELD_BACK)


TITLE = "Does a model carry over: agreement with people's scores"
LEGEND = (
    "Agreement of predictions with the mean opinion scores of each data set, [95% bootstrap interval]; none where "
    "there are fewer than 20 images or 8 source photos.",
    "Only photos that were held back, or that are of another data set, say how a model does on photos that it does "
    "not know.",
    "Made up: a formula gave these photos' scores, or those that the model learned from; it says nothing of people.",
)


def markdown(table: pa.Table) -> str:
    """All rows as one page."""
    header, lines = _cells(table.to_pylist())
    return "\n".join([f"# {TITLE}", "", *(f"- {line}" for line in LEGEND), "", markdown_table(header, lines), ""])


def console(table: pa.Table) -> str:
    """All rows for a terminal."""
    return "\n".join([TITLE, "", aligned_table(*_cells(table.to_pylist())), "", *LEGEND])


def write(output: str, table: pa.Table) -> None:
    """Write the table as Parquet, CSV and Markdown, in place of the last one: it is of the whole output."""
    uri = storage.join(output, "tables", "carry_over")
    storage.write_table(f"{uri}.parquet", table)
    write_csv(f"{uri}.csv", table)
    storage.write_text(f"{uri}.md", markdown(table))


def _cells(rows: Rows) -> tuple[list[str], list[list[str]]]:
    header = ["model", "learned from", "data set", "split", "its photos were", "n", "PLCC", "SRCC", ""]
    lines = [
        [
            *(row["model"], row["trained_on"] or "unknown", row["dataset"], row["scope"]),
            *(row["photos_were"] or "unknown", f"{row['n']:,}"),
            *(interval_cell(row, "plcc"), interval_cell(row, "srcc"), "made up" * row["synthetic"]),
        ]
        for row in sorted(rows, key=lambda row: (row["model"], row["trained_on"] or "", row["dataset"]))
    ]
    return header, lines
