"""Which rows of a stream (one an image, as ``ScorePhotos`` gives them) go into which table of the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from halfiqa_ray import schema
from halfiqa_ray.stages.parts import Output

MEASURES_KEY = ("image_id", "measure")
ZEROED_KEY = ("image_id", "ranking", "zeroed_half", "zeroed_blocks", "fill")
EXPLAIN_KEY = ("image_id", "method")
MAPS_KEY = ("image_id", "name", "model")


def rank_output(folder: str, blocks: int, metadata: dict[str, Any]) -> Output:
    """``rank/``: the images whose subsets were scored."""
    return Output(folder, schema.with_metadata(schema.rank(blocks), metadata), rows=_ranked)


def measures_output(folder: str, blocks: int, metadata: dict[str, Any]) -> Output:
    """``measures/``: a row an image and measure."""
    columns = schema.with_metadata(schema.measures(blocks), metadata)
    return Output(folder, columns, MEASURES_KEY, _Measured(blocks))


def zeroed_output(folder: str, model: int, metadata: dict[str, Any]) -> Output:
    """``zeroed/`` of one model, given by its number in the stream: rows of an image, ranking and fill."""
    metadata = metadata | {"schema_version": schema.ZEROED_VERSION}
    columns = schema.with_metadata(schema.ZEROED, metadata)
    return Output(folder, columns, ZEROED_KEY, _ZeroedBy(model), schema.with_fill)


def explain_output(folder: str, model: int, blocks: int, metadata: dict[str, Any]) -> Output:
    """``explain/`` of one model, given by its number in the stream: rows of an image and method."""
    columns = schema.with_metadata(schema.explain(blocks), metadata)
    return Output(folder, columns, EXPLAIN_KEY, _ExplainedBy(model, blocks))


def maps_output(folder: str, metadata: dict[str, Any]) -> Output:
    """``maps/``: rows of an image and map."""
    return Output(folder, schema.with_metadata(schema.MAPS, metadata), MAPS_KEY, _mapped)


def _ranked(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.is_valid(rows["score"]))


@dataclass(frozen=True)
class _Measured:
    blocks: int

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = _one_a_row(rows, "measures", ["image_id", "split", "source_photo"])
        return _fixed(found, "block_means", self.blocks)


@dataclass(frozen=True)
class _ZeroedBy:
    model: int

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = _one_a_row(rows, "zeroed", ["image_id", "split", "source_photo", "mos"])
        return found.filter(pc.equal(found["model"], self.model))


@dataclass(frozen=True)
class _ExplainedBy:
    model: int
    blocks: int

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = _one_a_row(rows, "explained", ["image_id", "split", "source_photo"])
        found = found.filter(pc.equal(found["model"], self.model))
        return _fixed(_fixed(found, "block_means", self.blocks), "signed_means", self.blocks)


def _mapped(rows: pa.Table) -> pa.Table:
    return _one_a_row(rows, "maps", ["image_id"])


def _fixed(rows: pa.Table, column: str, width: int) -> pa.Table:
    """The rows with a column of lists as lists of one size."""
    lists = rows[column].cast(pa.list_(pa.float32(), width))
    return rows.set_column(rows.column_names.index(column), column, lists)


def _one_a_row(rows: pa.Table, column: str, carried: list[str]) -> pa.Table:
    """The structs in a column of lists, one a row, with the image's own columns beside each."""
    lists = rows[column].combine_chunks()
    found = rows.select(carried).take(pc.list_parent_indices(lists))
    structs = lists.flatten()
    for number, f in enumerate(structs.type):
        found = found.append_column(f.name, structs.field(number))
    return found
