"""One stream over the photos for everything that is made of them: decode once, measure, score subsets, explain, zero,
write.

Ray Data streams; the science is in ``halfiqa_ray.stages`` and below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import local
from typing import Any

import pyarrow as pa
import ray
import torch

from halfiqa_ray import schema, storage
from halfiqa_ray.config import LimeSettings
from halfiqa_ray.models.sources import Source
from halfiqa_ray.pipelines.plans.run import Plan
from halfiqa_ray.pipelines.steps import InTurn, Tell
from halfiqa_ray.runtime.counting import Counts, Timed, count_errors, counting, last_counts
from halfiqa_ray.runtime.resources import WRITE_CPUS, Scorers
from halfiqa_ray.stages.decode import Size
from halfiqa_ray.stages.explain import explain_passes
from halfiqa_ray.stages.measures import MapMeasures, MeasurePhotos, SmallMeasures
from halfiqa_ray.stages.parts import Output, WriteParts, marks_uri
from halfiqa_ray.stages.score import ScorePhotos, stored_columns
from halfiqa_ray.stages.watched import KILLED, Watched
from halfiqa_ray.stages.zeroing import variants

WATCHED = ("measure", "score")  # stages in which a photo may kill its process
BLOCK_BYTES, SMALLEST_BLOCK, LARGEST_BLOCK = 32 << 20, 4, 64
# Photos, and forward passes on a CPU, that are done in this process no later than by actors, which have to start first.
PHOTOS_HERE, PASSES_HERE = 50, 150
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
    measure: MeasurePhotos | MapMeasures | None = None
    zeroed: tuple[Source, ...] = ()  # the models that predict zeroed photos, or are explained
    zeroed_sizes: tuple[Size, ...] = ()
    explain: LimeSettings | None = None
    planned: dict[str, str] = field(default_factory=dict)  # SHA-256 of the weights of every checkpoint
    actor: type[ScoringActor] | None = None  # in place of the usual one, for a benchmark
    here: bool = False  # in this process, where a photo that ends it would end the job

    def run(self, todo: pa.Table, what: str) -> Counts:
        """Send rows (of ``stages.work``) through, with a progress line now and then. Returns what each stage took."""
        compute = self.plan.settings.compute
        actor = self._actor.__name__ if self._networks else None
        told = (compute.progress_seconds, compute.stall_seconds, actor, self.here)
        with counting(todo.num_rows, what, *told) as counter:
            for _ in self.parts_here(todo, counter) if self.here else self.parts(todo, counter):
                pass
            return last_counts(counter)

    def parts(self, todo: pa.Table, counter: Any) -> Iterator[dict[str, int]]:
        """The Ray Data stream; yields ``written`` and ``failed`` of every part file."""
        settings, scorers = self.plan.settings, self.scorers
        block = self.block(todo)
        blocks = [todo.slice(start, block) for start in range(0, todo.num_rows, block)]
        steps = self._before_scoring(counter)
        if self._networks:
            context = ray.data.DataContext.get_current()
            patience = SECONDS_PER_BATCH * block * max(self.passes(todo)) // scorers.batch_size
            context.execution_no_progress_timeout_s = max(context.execution_no_progress_timeout_s, patience)
        else:
            steps += [stored_columns, Tell(counter)]
        photos = ray.data.from_arrow(blocks).map_batches(
            InTurn(steps).__call__, batch_size=None, batch_format="pyarrow", num_cpus=settings.compute.decode_cpus
        )
        if self._networks:
            photos = photos.map_batches(
                self._actor,
                fn_constructor_args=[self._scoring, counter, self._watching("score")],
                batch_size=block,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=scorers.first, max_size=scorers.actors),
                num_cpus=scorers.cpus,
                num_gpus=scorers.gpus or None,
            )
        photos = photos.map_batches(
            self._writing(counter).__call__,
            batch_size=self.images_per_part(todo),
            batch_format="pyarrow",
            num_cpus=WRITE_CPUS,
        )
        yield from photos.iter_rows()

    def parts_here(self, todo: pa.Table, counter: Any) -> Iterator[dict[str, int]]:
        """The same stages without Ray Data, in this process; what it stores is equal."""
        threads, block = torch.get_num_threads(), self.block(todo)
        blocks = [todo.slice(start, block) for start in range(0, todo.num_rows, block)]
        before, write, own = InTurn(self._before_scoring(counter)), self._writing(counter), local()

        def score(rows: pa.Table) -> pa.Table:
            if not hasattr(own, "stage"):  # each thread has its models, and its number of torch's threads
                own.stage = self._actor(self._scoring, counter, self._watching("score"))
            return own.stage(rows)

        ahead, scorers = ThreadPoolExecutor(1), ThreadPoolExecutor(self.scorers.actors)
        try:
            for rows in scorers.map(score, ahead.map(before, blocks)):
                yield from write(rows).to_pylist()
        finally:
            ahead.shutdown(cancel_futures=True)
            scorers.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def _before_scoring(self, counter: Any) -> list[Callable[[pa.Table], pa.Table]]:
        steps: list[Callable[[pa.Table], pa.Table]] = [Timed("decode", self.plan.decode(self.zeroed_sizes), counter)]
        if self.measure is not None:
            split = self._measured_by_scorers
            stage = self.measure if split is None else SmallMeasures(split)
            steps.append(self._watching("measure")(Timed("measure", stage, counter)))
        return steps

    @property
    def _measured_by_scorers(self) -> MeasurePhotos | None:
        """The measures that are finished on the models' device, where there is one and the settings ask for it."""
        asked = self.plan.settings.compute.measures == "scoring" and self._networks
        return self.measure if asked and isinstance(self.measure, MeasurePhotos) else None

    def _watching(self, stage: str) -> Callable[[Callable[..., Any]], Watched]:
        marks = storage.absolute(marks_uri(self.errors, stage))
        return partial(Watched, marks=marks, most=self.plan.settings.compute.killed_photos)

    def _writing(self, counter: Any) -> Timed:
        write = WriteParts(self.outputs, storage.absolute(self.errors), self.error_columns)
        return Timed("write", InTurn([count_errors, write]), counter)

    @property
    def _scoring(self) -> dict[str, Any]:
        """Arguments of the stage that holds the models."""
        settings, scorers = self.plan.settings, self.scorers
        return {
            "subsets": self.subsets,
            "zeroed": self.zeroed,
            "grid": settings.rank.grid,
            "seed": settings.seed,
            "device": scorers.device,
            "batch_size": scorers.batch_size,
            "threads": scorers.threads,
            "explain": self.explain,
            "planned": self.planned,
            "precision": settings.compute.precision,
            "compiled": settings.compute.compile,
            "measure": self._measured_by_scorers,
        }

    @property
    def _actor(self) -> type[ScoringActor]:
        return self.actor or ScoringActor

    @property
    def _networks(self) -> bool:
        return self.subsets is not None or bool(self.zeroed)

    def block(self, todo: pa.Table) -> int:
        """Photos a block: one decoding task and one call of an actor.

        Small enough to overlap and to fit in memory, large enough to be worth a task; with zeroing or explaining, few
        enough that an actor is heard of now and then.
        """
        size = self.plan.record.preprocessing
        pixels = sum(height * width for height, width in {(size.height, size.width), *self.zeroed_sizes})
        block = min(LARGEST_BLOCK, max(SMALLEST_BLOCK, BLOCK_BYTES // (3 * pixels)))
        block = max(1, min(block, todo.num_rows // (4 * self.scorers.actors) or 1))
        batch_size = self.scorers.batch_size
        most = max(1, *self.passes(todo))
        return min(block, max(batch_size, BLOCK_BATCHES * batch_size // most))

    def images_per_part(self, todo: pa.Table) -> int:
        """Images a part file: fewer when zeroing or explaining makes each of them dear to lose."""
        batches = sum(self.passes(todo)) / todo.num_rows / self.scorers.batch_size
        return max(1, int(self.plan.settings.rank.rows_per_file / max(1.0, batches)))

    def passes(self, todo: pa.Table) -> list[int]:
        """Forward passes that each row needs at most."""
        return passes(todo, self.plan.blocks, self.plan.settings.explain.lime.samples)


def is_soon_here(scorers: Scorers, photos: int, passes: int) -> bool:
    """Whether so many forward passes over so many photos are few enough for the job's own process."""
    return scorers.device == "cpu" and photos <= PHOTOS_HERE and 0 < passes <= PASSES_HERE


def passes(todo: pa.Table, blocks: int, lime_samples: int) -> list[int]:
    """Forward passes of the backbones that each row needs at most: equal masks of an image are run once."""

    def column(name: str) -> list[Any]:
        return todo[name].to_pylist() if name in todo.column_names else [None] * todo.num_rows

    return [
        int(rank) + explain_passes(explain, lime_samples) + variants(zero, blocks)
        for rank, explain, zero in zip(column("rank"), column("explain"), column("zero"), strict=True)
    ]


class ScoringActor:
    """A stage that holds the models, in a Ray actor; tells the counter what is done."""

    def __init__(self, stage: dict[str, Any], counter: Any, watch: Callable[[Timed], Watched]) -> None:
        self.counter = counter
        scoring: Any = ScorePhotos(
            **stage, done=lambda count: self.counter.add.remote(count, 0), told=counter.passes_are.remote
        )
        for name in ("finish_measures", "subsets", "explain", "zeroed"):
            if (part := getattr(scoring, name)) is not None:
                setattr(scoring, name, Timed(name, part, counter))
        self.stage = watch(Timed("score", scoring, counter))

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score one block of decoded photos."""
        scored = self.stage(rows)
        killed = zip(rows["error"].to_pylist(), scored["error"].to_pylist(), strict=True)
        unscored = rows["error"].length() - rows["error"].null_count + list(killed).count((None, KILLED))
        if unscored:
            self.counter.add.remote(unscored, unscored)
        return scored


def error_columns(stage: str, key: str) -> pa.Schema:
    """Columns of error rows, with the job and key of the run in their metadata."""
    return schema.with_metadata(schema.ERRORS, {"stage": stage, "run_key": key})
