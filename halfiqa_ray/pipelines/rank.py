"""The rank job: every photo of a manifest through decode and an actor pool that scores all block subsets, to Parquet.

Ray Data streams; the science is in ``halfiqa_ray.stages`` and below. Finished images are found in the output and not
computed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import ray

from halfiqa_ray import schema, storage
from halfiqa_ray.config import RankSettings, Settings
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.models.checkpoints import CheckpointRecord, read_record
from halfiqa_ray.pipelines import aggregate
from halfiqa_ray.pipelines.counting import counting
from halfiqa_ray.pipelines.errors import report_errors
from halfiqa_ray.pipelines.resources import WRITE_CPUS, Scorers, plan_scorers
from halfiqa_ray.pipelines.runs import RunRecord
from halfiqa_ray.pipelines.session import ray_session
from halfiqa_ray.stages.decode import Decode
from halfiqa_ray.stages.parts import WriteParts, compact, errors_uri, finished_ids, run_uri, settle_errors
from halfiqa_ray.stages.runs import checkpoint_of, run_key
from halfiqa_ray.stages.subsets import ScoreSubsets

BLOCK_BYTES, SMALLEST_BLOCK, LARGEST_BLOCK = 32 << 20, 4, 64


@dataclass(frozen=True)
class Plan:
    """What a run is: its checkpoint, its key and where its rows go."""

    settings: Settings
    checkpoint: str
    record: CheckpointRecord
    manifest: pa.Table
    key: str

    @property
    def folder(self) -> str:
        """Folder of the run's rows."""
        return run_uri(self.settings.output, "rank", self.settings.data.dataset, self.key)

    @property
    def errors(self) -> str:
        """Folder of the run's errors."""
        return errors_uri(self.settings.output, "rank", self.settings.data.dataset, self.key)

    @property
    def metadata(self) -> dict[str, Any]:
        """What stands in every file of the run."""
        rank, manifest = self.settings.rank, schema.metadata(self.manifest.schema)
        return {
            "dataset": self.settings.data.dataset,
            "layout": manifest.get("layout"),
            "run_key": self.key,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "mos_scale": {"low": self.record.mos_scale.low, "high": self.record.mos_scale.high},
            "grid": {"rows": rank.grid.rows, "columns": rank.grid.columns},
            "model": self.record.model.name,
            "backbone": self.record.model.backbone.name,
            "checkpoint": self.checkpoint,
            "checkpoint_sha256": self.record.weights_sha256,
            "checkpoint_run": self.record.run,
            "native": rank.native,
            "portrait": rank.portrait,
            # Of demo photos, or of a model that learned from them: either way no number here is about people.
            "synthetic": bool(manifest.get("synthetic")) or self.record.synthetic,
        }


def make_plan(settings: Settings) -> Plan:
    """Read checkpoint record and manifest. Raises ValueError naming what is missing and the job that makes it."""
    manifest = read_manifest(settings.output, settings.data.dataset)
    checkpoint = checkpoint_of(settings)
    record = read_record(checkpoint)
    return Plan(settings, storage.absolute(checkpoint), record, manifest, run_key(record, settings.rank))


def run(settings: Settings) -> int:
    """The whole job. Returns the exit code: 0, or 1 when a photo failed and ``strict`` is set."""
    plan = make_plan(settings)
    with ray_session(settings), RunRecord.of(settings, "rank", plan.key) as record:
        record.note(checkpoint=plan.checkpoint, split_hash=schema.metadata(plan.manifest.schema).get("split_hash"))
        rows = chosen_rows(plan.manifest, settings.rank)
        finished = finished_ids(plan.folder)
        todo = rows.filter(pa.array([i not in finished for i in rows["image_id"].to_pylist()], pa.bool_()))
        scorers = plan_scorers(settings.compute, todo.num_rows)
        print(
            f"rank {settings.data.dataset}, run {plan.key[:8]}: {rows.num_rows} images, "
            f"{rows.num_rows - todo.num_rows} finished before, {todo.num_rows} to score\n"
            f"  model {plan.record.model.name}, {plan.record.model.backbone.name}, from {plan.checkpoint}\n"
            f"  {scorers}",
            flush=True,
        )
        record.note(device=scorers.device, scorers=str(scorers))
        if todo.num_rows:
            with record.timed("score"):
                score(plan, todo, scorers)
        with record.timed("compact"):
            compact(plan.folder)
            done = finished_ids(plan.folder)
            failed = settle_errors(plan.errors, done)
        report_errors(failed, plan.errors)
        record.note(counts={"in": rows.num_rows, "out": len(done), "failed": failed.num_rows})
        if done and settings.rank.tables:
            with record.timed("tables"):
                aggregate.run(settings, plan.key)
    return 1 if settings.strict and failed.num_rows else 0


def chosen_rows(rows: pa.Table, rank: RankSettings) -> pa.Table:
    """Manifest rows of the wanted splits, the first ``limit`` of them. Raises ValueError when none is left."""
    splits = rows["split"].to_pylist()
    if rank.splits:
        unknown = set(rank.splits) - set(splits)
        if unknown:
            there = ", ".join(sorted({s for s in splits if s})) or "no splits"
            raise ValueError(f"rank.splits names {', '.join(sorted(unknown))}, but the manifest has {there}")
        rows = rows.filter(pa.array([s in rank.splits for s in splits], pa.bool_()))
    if rank.limit:
        rows = rows.slice(0, rank.limit)
    if not rows.num_rows:
        raise ValueError("the manifest has no images: look at errors/stage=prepare under the output")
    return rows


def score(plan: Plan, todo: pa.Table, scorers: Scorers) -> None:
    """Stream the rows through decode, scoring and writing, with a progress line now and then."""
    with counting(todo.num_rows, "photos scored", plan.settings.compute.progress_seconds) as counter:
        for _ in stream(plan, todo, scorers, counter):
            pass


def stream(plan: Plan, todo: pa.Table, scorers: Scorers, counter: Any) -> Iterator[dict[str, int]]:
    """The Ray Data stream; yields ``written`` and ``failed`` of every part file."""
    settings, size = plan.settings, plan.record.preprocessing
    rank = settings.rank
    decode = Decode(size.height, size.width, rank.native, rank.portrait, settings.data.maximum_pixels)
    # One block is one decoding task and one call of an actor: small enough to overlap, large enough to be worth a task.
    block = min(LARGEST_BLOCK, max(SMALLEST_BLOCK, BLOCK_BYTES // (3 * size.height * size.width)))
    block = max(1, min(block, todo.num_rows // (4 * scorers.actors) or 1))
    todo = todo.select(["image_id", "uri", "split", "source_photo", "mos"])
    blocks = [todo.slice(start, block) for start in range(0, todo.num_rows, block)]
    columns = schema.with_metadata(schema.rank(rank.grid.rows * rank.grid.columns), plan.metadata)
    error_columns = schema.with_metadata(schema.ERRORS, {"stage": "rank", "run_key": plan.key})
    write = WriteParts(storage.absolute(plan.folder), storage.absolute(plan.errors), columns, error_columns)
    parts = (
        ray.data.from_arrow(blocks)
        .map_batches(decode.__call__, batch_size=None, batch_format="pyarrow", num_cpus=settings.compute.decode_cpus)
        .map_batches(
            ScoringActor,
            fn_constructor_args=[
                {
                    "checkpoint": plan.checkpoint,
                    "grid": rank.grid,
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
        .map_batches(write.__call__, batch_size=rank.rows_per_file, batch_format="pyarrow", num_cpus=WRITE_CPUS)
    )
    yield from parts.iter_rows()


class ScoringActor:
    """A stage that holds the model, in a Ray actor; tells the counter what is done."""

    def __init__(self, stage: dict[str, Any], counter: Any) -> None:
        self.counter = counter
        self.stage = ScoreSubsets(**stage, done=lambda count: self.counter.add.remote(count, 0))

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score one block of decoded photos."""
        scored = self.stage(rows)
        undecoded = rows["error"].length() - rows["error"].null_count
        if undecoded:
            self.counter.add.remote(undecoded, undecoded)
        return scored
