"""The explain job: Grad-CAM and LIME of many photos' scores, for every model, and what their halves are worth."""

from __future__ import annotations

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.pipelines import aggregate
from halfiqa_ray.pipelines.photo_job import PhotoJob
from halfiqa_ray.pipelines.plans.checkpoints import check_models, folders_of
from halfiqa_ray.pipelines.plans.explaining import plan_explaining
from halfiqa_ray.pipelines.plans.measures import stored_measures
from halfiqa_ray.pipelines.plans.run import make_plan
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.session import ray_session


def run(settings: Settings) -> int:
    """The whole job, over some of the photos that are ranked under the same settings.

    Returns the exit code: 0, or 1 when a photo failed and ``strict`` is set. Raises what `plan_explaining` raises.
    """
    plan = make_plan(settings)
    explain, zero = plan_explaining(plan, stored_measures(plan))
    check_models(plan, folders_of(explain.models), ranks=False)
    photos = explain.images["uri"].to_pylist()
    with ray_session(settings, photos), RunRecord.of(settings, "explain", explain.key) as record:
        code = PhotoJob("explain", plan, record, explain.images, explain.measure, zero, explain).run()
        if zero:
            with record.timed("tables"):
                text = aggregate.make_explanations(settings, plan.key)
                where = storage.join(settings.output, "tables", "explanations.md")
                print(text if settings.verbose else f"table of explanations: {where} (--verbose prints it)", flush=True)
    return code
