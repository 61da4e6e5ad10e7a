"""Stage: decoded photos in, all that networks say of them out: subset scores, halves, explanations, and scores with
halves zeroed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from halfiqa_ray import schema
from halfiqa_ray.config import GridSettings, LimeSettings
from halfiqa_ray.masking.controls import centre_half, random_halves
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.sources import Source
from halfiqa_ray.stages.decode import without_pixels
from halfiqa_ray.stages.explain import ExplainPhotos
from halfiqa_ray.stages.measures import MEASURES, FinishMeasures, MeasurePhotos
from halfiqa_ray.stages.subsets import ScoreSubsets, output_schema
from halfiqa_ray.stages.zeroing import ZEROED, Halves, ScoreZeroed

# What is known before a photo is decoded: halves of rankings that an earlier run, or other images, gave.
KNOWN_HALVES = pa.list_(pa.struct([pa.field("ranking", pa.string()), pa.field("half", pa.uint16())]))


class ScorePhotos:
    """Scores the block subsets of the rows whose ``rank`` is true, then what each row's ``zero`` asks for.

    With ``explain``, first what each row's ``explain`` asks for, of the models ``zeroed``. The halves that are zeroed
    come from the subset scores, from explanations, from ``measures`` and from the column ``halves``, as far as they
    are there, and from the controls that need no more than the image's id. Either checkpoint argument may be empty.
    With ``measure`` the rows are those of `SmallMeasures`, and what is left of the measures is done on the device.
    ``done`` is called with the number of photos, as they are done. ``planned`` is the SHA-256 of the weights of every
    checkpoint; others are a CheckpointError. ``precision``, ``compiled`` and ``told`` are for `ScoreZeroed`.
    """

    def __init__(
        self,
        subsets: str | None,
        zeroed: Sequence[Source],
        grid: GridSettings,
        seed: int = 0,
        device: str = "cpu",
        batch_size: int = 1,
        threads: int = 0,
        explain: LimeSettings | None = None,
        done: Callable[[int], None] = lambda count: None,
        planned: Mapping[str, str] = MappingProxyType({}),
        precision: str = "float32",
        compiled: bool = False,
        told: Callable[[str, float | None, str], None] = lambda name, change, why: None,
        measure: MeasurePhotos | None = None,
    ) -> None:
        self.finish_measures = None if measure is None else FinishMeasures(measure, device)
        self.grid, self.seed, self.batch_size, self.done = Grid(grid.rows, grid.columns), seed, batch_size, done
        self.zeroed = None
        if zeroed:
            self.zeroed = ScoreZeroed(zeroed, grid, device, batch_size, threads, planned, precision, compiled, told)
        self.explain = None
        if explain is not None and self.zeroed is not None:
            models, self.names = self.zeroed.models, self.zeroed.names
            self.explain = ExplainPhotos(models, self.names, grid, explain, seed, self.zeroed.device, batch_size)
        self.subsets = None
        if subsets is not None:
            counted = done if self.zeroed is None else lambda count: None
            self.subsets = ScoreSubsets(subsets, grid, device, batch_size, threads, counted, planned.get(subsets))

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows of ``Decode`` with their work to what there is to store of them, in the same order.

        Columns: those of ``rows`` without pixels, those of ``rank/`` (null where not asked for or failed) when
        subsets are scored, ``zeroed``; ``error`` and ``message`` of what failed first.
        """
        if self.zeroed is None:
            return self._score(rows)
        # A batch of photos at a time: their masks fill the batches of the models, and progress is steady.
        steps = range(0, max(rows.num_rows, 1), self.batch_size)
        return pa.concat_tables([self._score(rows.slice(start, self.batch_size)) for start in steps])

    def _score(self, rows: pa.Table) -> pa.Table:
        if self.finish_measures is not None:
            rows = self.finish_measures(rows)
        if self.explain is not None:
            rows = self.explain(rows)
        stored = stored_columns(rows)
        if self.subsets is not None:
            stored = _beside(stored, self.subsets(rows.filter(rows["rank"])), rows["rank"], self.grid.blocks)
        if self.zeroed is not None:
            found = self.zeroed(rows, self._halves(stored))
            stored = _put(stored, "zeroed", pa.array([f.rows for f in found], ZEROED))
            stored = _put(
                stored, "error", pc.coalesce(stored["error"], pa.array([f.error for f in found], pa.string()))
            )
            told = pa.array([f.message for f in found], pa.string())
            stored = _put(stored, "message", pc.coalesce(stored["message"], told))
            self.done(rows["error"].null_count)
        return stored

    def _halves(self, rows: pa.Table) -> list[Halves]:
        """The important half of every image by every ranking that has one."""
        image_ids = rows["image_id"].to_pylist()
        controls = random_halves(self.grid, image_ids, self.seed).tolist()
        centre = centre_half(self.grid)
        halves: list[Halves] = [{"control_random": half, "control_centre": centre} for half in controls]
        for rule in schema.IMAGE_RULES:
            if f"important_{rule}" in rows.column_names:
                for own, half in zip(halves, rows[f"important_{rule}"].to_pylist(), strict=True):
                    own |= {} if half is None else {rule: half}
        for own, measured in zip(halves, rows["measures"].to_pylist(), strict=True):
            own |= {each["measure"]: each["high_blocks"] for each in measured or ()}
        if self.explain is not None:
            for own, explained in zip(halves, rows["explained"].to_pylist(), strict=True):
                own |= {
                    schema.explained(each["method"], self.names[each["model"]]): each["high_blocks"]
                    for each in explained
                }
        for own, known in zip(halves, rows["halves"].to_pylist(), strict=True):
            own |= {each["ranking"]: each["half"] for each in known or ()}
        return halves


def stored_columns(rows: pa.Table) -> pa.Table:
    """The rows without pixels, with null columns ``measures`` and ``zeroed`` where nothing was measured or zeroed.

    A photo that could not be measured or explained is an error when it is not one already.
    """
    stored = without_pixels(rows)
    for name, kind in (("measures", MEASURES), ("zeroed", ZEROED)):
        if name not in stored.column_names:
            stored = stored.append_column(name, pa.nulls(rows.num_rows, kind))
    for stage in ("measure", "explain"):
        for name in ("error", "message"):
            if (problem := f"{stage}_{name}") in stored.column_names:
                stored = _put(stored, name, pc.coalesce(stored[name], stored[problem])).drop_columns([problem])
    return stored


def _beside(rows: pa.Table, ranked: pa.Table, asked: pa.ChunkedArray, blocks: int) -> pa.Table:
    """The columns of ``rank/`` beside their rows, null for rows that were not ranked; their errors with the others."""
    place = pc.if_else(asked, pc.subtract(pc.cumulative_sum(pc.cast(asked, pa.int64())), 1), None)
    taken = ranked.take(place.combine_chunks())
    for name in output_schema(blocks).names:
        if name in ("error", "message"):
            rows = _put(rows, name, pc.coalesce(rows[name], taken[name]))
        elif name not in rows.column_names:
            rows = rows.append_column(name, taken[name])
    return rows


def _put(rows: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, column)
