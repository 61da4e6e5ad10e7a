"""The zero job: photos predicted with a half of their blocks set to zero, by halves that are stored already."""

from __future__ import annotations

import pyarrow as pa

from halfiqa_ray.config import Settings
from halfiqa_ray.pipelines.photo_job import PhotoJob
from halfiqa_ray.pipelines.plans.checkpoints import check_models, find_checkpoints, folders_of
from halfiqa_ray.pipelines.plans.measures import stored_measures
from halfiqa_ray.pipelines.plans.run import make_plan
from halfiqa_ray.pipelines.plans.zeroing import plan_zeroing
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.work import rule_halves


def run(settings: Settings) -> int:
    """The whole job, over those photos of the zero splits that are ranked.

    Returns the exit code: 0, or 1 when a photo failed and ``strict`` is set. Raises ValueError when none is ranked.
    """
    plan = make_plan(settings)
    models = find_checkpoints(plan, settings.zero.models)
    check_models(plan, folders_of(models), ranks=False)
    photos = plan.manifest["uri"].to_pylist()
    with ray_session(settings, photos), RunRecord.of(settings, "zero", plan.key) as record:
        zero = plan_zeroing(plan, models, stored_measures(plan))
        ranked, wanted = rule_halves(plan.folder, ()), set(zero.images["image_id"].to_pylist())
        if not ranked:
            raise ValueError(f"no rank rows in {plan.folder}: run jobs/rank.py with the same settings first")
        rows = plan.rows.filter(pa.array([i in wanted for i in plan.rows["image_id"].to_pylist()], pa.bool_()))
        there = [i in ranked for i in rows["image_id"].to_pylist()]
        if not all(there):
            print(f"{there.count(False)} images of the zero splits have no rank row and are left out", flush=True)
        rows = rows.filter(pa.array(there, pa.bool_()))
        return PhotoJob("zero", plan, record, rows, zero.measure, zero).run()
