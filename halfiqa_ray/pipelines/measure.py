"""The measure job: saliency, spatial frequency, objectness and their average, as block means of every photo."""

from __future__ import annotations

import time

from halfiqa_ray.config import Settings
from halfiqa_ray.pipelines.photo_job import PhotoJob
from halfiqa_ray.pipelines.plans.measures import plan_measures
from halfiqa_ray.pipelines.plans.run import make_plan
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.resources import check_room
from halfiqa_ray.runtime.session import ray_session


def run(settings: Settings) -> int:
    """The whole job, over the photos that the same settings rank, at the size that the ranking model sees.

    Returns the exit code: 0, or 1 when a photo failed and ``strict`` is set.
    """
    plan = make_plan(settings)
    with ray_session(settings, plan.rows["uri"].to_pylist()):
        check_room("measuring", {"CPU": settings.compute.decode_cpus}, 1, "lower compute.decode_cpus")
        start = time.monotonic()
        measure = plan_measures(plan)  # before the record: the run's key hangs on its band means
        seconds = time.monotonic() - start
        with RunRecord.of(settings, "measure", measure.key) as record:
            record.took("band means", seconds)
            return PhotoJob("measure", plan, record, plan.rows, measure).run()
