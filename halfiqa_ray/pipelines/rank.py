"""The rank job: every photo of a manifest through one stream that decodes it once, measures it, scores all its block
subsets and predicts it with its halves zeroed, to Parquet.

Finished images are found in the output and not computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from halfiqa_ray import schema
from halfiqa_ray.config import Settings
from halfiqa_ray.pipelines import prepare
from halfiqa_ray.pipelines.photo_job import PhotoJob
from halfiqa_ray.pipelines.photo_stream import PHOTOS_HERE, ScoringActor, Stream, error_columns
from halfiqa_ray.pipelines.plans.checkpoints import Checkpoint, check_models, find_checkpoints, folders_of
from halfiqa_ray.pipelines.plans.measures import plan_measures, stored_measures
from halfiqa_ray.pipelines.plans.run import Plan, chosen_rows, make_plan
from halfiqa_ray.pipelines.plans.zeroing import plan_zeroing
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.resources import Scorers, plan_scorers
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.outputs import rank_output
from halfiqa_ray.stages.work import CARRIED, rule_halves

__all__ = ["Plan", "chosen_rows", "make_plan", "run", "stream"]


def run(settings: Settings) -> int:
    """The whole job. Returns the exit code: 0, or 1 when a photo failed and ``strict`` is set.

    A plain folder of photos is prepared first, so that own photos need one command.
    """
    if code := prepare.prepare_folder(settings):
        return code
    plan = make_plan(settings)
    photos = plan.rows["uri"].to_pylist()
    models = find_checkpoints(plan, settings.zero.models) if settings.rank.zero else ()
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(_check, plan, models)
        if len(photos) > PHOTOS_HERE:
            checked.result()  # before a cluster is waited for
        # For few photos, what networks and tables import comes in while Ray's processes start.
        with ray_session(settings, photos), RunRecord.of(settings, "rank", plan.key) as record:
            for line in checked.result():
                print(line, flush=True)
            return _rank(plan, models, record)


def _check(plan: Plan, models: Sequence[Checkpoint]) -> list[str]:
    """Raise what would end the job later; returns what its tables will lack, a line each."""
    check_models(plan, folders_of(models))
    from halfiqa_ray.pipelines import aggregate  # all that tables need

    return aggregate.missing_inputs(plan.settings) if plan.settings.rank.tables else []


def _rank(plan: Plan, models: tuple[Checkpoint, ...], record: RunRecord) -> int:
    settings = plan.settings
    record.note(checkpoint=plan.checkpoint, split_hash=schema.metadata(plan.manifest.schema).get("split_hash"))
    plan_scorers(settings.compute, plan.rows.num_rows)  # says at once what the cluster lacks
    with record.timed("band means"):
        measure = plan_measures(plan) if settings.rank.measure else None
    zero = None
    if settings.rank.zero:
        measure = measure or stored_measures(plan)
        zero = plan_zeroing(plan, models, measure)
    code = PhotoJob("rank", plan, record, plan.rows, measure, zero).run()
    if settings.rank.tables and rule_halves(plan.folder, ()):
        from halfiqa_ray.pipelines import aggregate

        with record.timed("tables"):
            aggregate.run(settings, plan.key, verbose=settings.verbose)
    return code


def stream(
    plan: Plan, rows: pa.Table, scorers: Scorers, counter: Any, actor: type[ScoringActor] | None = None
) -> Iterator[dict[str, int]]:
    """The stream of manifest rows that are only ranked; yields ``written`` and ``failed`` of every part file.

    ``actor`` may take the place of the usual one.
    """
    todo = rows.select(CARRIED).append_column("rank", pa.array([True] * rows.num_rows))
    output = rank_output(plan.folder, plan.blocks, plan.metadata)
    columns = error_columns("rank", plan.key)
    ranking = Stream(plan, (output,), plan.errors, columns, scorers, plan.checkpoint, actor=actor)
    yield from ranking.parts(todo, counter)
