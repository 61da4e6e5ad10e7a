"""One stream over the photos for everything that is made of them: decode once, measure, score subsets, zero, write.

Ray Data streams; the science is in ``halfiqa_ray.stages`` and below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from halfiqa_ray import schema, storage
from halfiqa_ray.pipelines.counting import counting
from halfiqa_ray.pipelines.plan import Plan
from halfiqa_ray.pipelines.resources import WRITE_CPUS, Scorers
from halfiqa_ray.stages.decode import Size
from halfiqa_ray.stages.measures import MeasurePhotos
from halfiqa_ray.stages.parts import Output, WriteParts
from halfiqa_ray.stages.score import ScorePhotos, stored_columns
from halfiqa_ray.stages.zeroing import variants

BLOCK_BYTES, SMALLEST_BLOCK, LARGEST_BLOCK = 32 << 20, 4, 64
# Batches of forward passes in a block of photos, and the seconds that one may take before a stream counts as stuck.
BLOCK_BATCHES, SECONDS_PER_BATCH = 64, 20


@dataclass(frozen=True)
class Stream:
    """One pass over photos: what is made of them, and the outputs that it goes to."""

    plan: Plan
    outputs: tuple[Output, ...]
    errors: str  # folder
    error_columns: pa.Schema
    scorers: Scorers
    subsets: str | None = None  # checkpoint that ranks
    measure: MeasurePhotos | None = None
    zeroed: tuple[str, ...] = ()  # checkpoints
    zeroed_sizes: tuple[Size, ...] = ()

    def run(self, todo: pa.Table, what: str) -> None:
        """Send rows (of ``stages.work``) through, with a progress line now and then."""
        with counting(todo.num_rows, what, self.plan.settings.compute.progress_seconds) as counter:
            for _ in self.parts(todo, counter):
                pass

    def parts(self, todo: pa.Table, counter: Any) -> Iterator[dict[str, int]]:
        """The Ray Data stream; yields ``written`` and ``failed`` of every part file."""
        settings, scorers = self.plan.settings, self.scorers
        block = self.block(todo)
        blocks = [todo.slice(start, block) for start in range(0, todo.num_rows, block)]
        write = WriteParts(self.outputs, storage.absolute(self.errors), self.error_columns)
        steps: list[Callable[[pa.Table], pa.Table]] = [self.plan.decode(self.zeroed_sizes)]
        if self.measure is not None:
            steps.append(self.measure)
        if networks := self.subsets is not None or bool(self.zeroed):
            context = ray.data.DataContext.get_current()
            patience = SECONDS_PER_BATCH * block * max(passes(todo, self.plan.blocks)) // scorers.batch_size
            context.execution_no_progress_timeout_s = max(context.execution_no_progress_timeout_s, patience)
        else:
            steps += [stored_columns, Tell(counter)]
        photos = ray.data.from_arrow(blocks).map_batches(
            InTurn(steps).__call__, batch_size=None, batch_format="pyarrow", num_cpus=settings.compute.decode_cpus
        )
        if networks:
            photos = photos.map_batches(
                ScoringActor,
                fn_constructor_args=[
                    {
                        "subsets": self.subsets,
                        "zeroed": self.zeroed,
                        "grid": settings.rank.grid,
                        "seed": settings.seed,
                        "device": scorers.device,
                        "batch_size": scorers.batch_size,
                        "threads": scorers.threads,
                    },
                    counter,
                ],
                batch_size=block,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=scorers.actors, initial_size=scorers.actors),
                num_cpus=scorers.cpus,
                num_gpus=scorers.gpus or None,
            )
        photos = photos.map_batches(
            write.__call__, batch_size=self.images_per_part(todo), batch_format="pyarrow", num_cpus=WRITE_CPUS
        )
        yield from photos.iter_rows()

    def block(self, todo: pa.Table) -> int:
        """Photos a block: one decoding task and one call of an actor.

        Small enough to overlap and to fit in memory, large enough to be worth a task; with zeroing, few enough that
        an actor is heard of now and then.
        """
        size = self.plan.record.preprocessing
        pixels = sum(height * width for height, width in {(size.height, size.width), *self.zeroed_sizes})
        block = min(LARGEST_BLOCK, max(SMALLEST_BLOCK, BLOCK_BYTES // (3 * pixels)))
        block = max(1, min(block, todo.num_rows // (4 * self.scorers.actors) or 1))
        batch_size = self.scorers.batch_size
        most = max(1, *passes(todo, self.plan.blocks))
        return min(block, max(batch_size, BLOCK_BATCHES * batch_size // most))

    def images_per_part(self, todo: pa.Table) -> int:
        """Images a part file: fewer when zeroing makes each of them dear to lose."""
        batches = sum(passes(todo, self.plan.blocks)) / todo.num_rows / self.scorers.batch_size
        return max(1, int(self.plan.settings.rank.rows_per_file / max(1.0, batches)))


def passes(todo: pa.Table, blocks: int) -> list[int]:
    """Forward passes of the backbones that each row needs at most: equal masks of an image are run once."""
    zero = todo["zero"].to_pylist() if "zero" in todo.column_names else [None] * todo.num_rows
    return [int(rank) + variants(asked, blocks) for rank, asked in zip(todo["rank"].to_pylist(), zero, strict=True)]


@dataclass(frozen=True)
class InTurn:
    """Stages one after the other in one task."""

    stages: list[Callable[[pa.Table], pa.Table]]

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Through all of them."""
        for stage in self.stages:
            rows = stage(rows)
        return rows


@dataclass(frozen=True)
class Tell:
    """Tells the counter of rows that go by."""

    counter: Any

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The rows as they are."""
        self.counter.add.remote(rows.num_rows, rows.num_rows - rows["error"].null_count)
        return rows


class ScoringActor:
    """A stage that holds the models, in a Ray actor; tells the counter what is done."""

    def __init__(self, stage: dict[str, Any], counter: Any) -> None:
        self.counter = counter
        self.stage = ScorePhotos(**stage, done=lambda count: self.counter.add.remote(count, 0))

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score one block of decoded photos."""
        scored = self.stage(rows)
        undecoded = rows["error"].length() - rows["error"].null_count
        if undecoded:
            self.counter.add.remote(undecoded, undecoded)
        return scored


def error_columns(stage: str, key: str) -> pa.Schema:
    """Columns of error rows, with the job and key of the run in their metadata."""
    return schema.with_metadata(schema.ERRORS, {"stage": stage, "run_key": key})
