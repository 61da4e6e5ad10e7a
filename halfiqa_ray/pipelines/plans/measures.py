"""What a run of the measures is: its settings, its key and, first of all, the mean of every frequency band."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from halfiqa_ray import storage
from halfiqa_ray.data.manifest import sample
from halfiqa_ray.data.problems import PASSING
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.natural_bands import natural_band_means
from halfiqa_ray.pipelines.plans.run import Plan
from halfiqa_ray.pipelines.steps import InTurn, Tell
from halfiqa_ray.runtime.counting import counting
from halfiqa_ray.stages.keys import measures_key, photos_key
from halfiqa_ray.stages.measures import BandMeans, MeasurePhotos
from halfiqa_ray.stages.outputs import measures_output
from halfiqa_ray.stages.parts import Output, errors_uri, run_uri

PHOTOS_PER_TASK = 8


@dataclass(frozen=True)
class MeasurePlan:
    """A run of the measures: where its rows go, and the names of what is in them."""

    plan: Plan
    band_means: tuple[float, ...]
    names: tuple[str, ...]
    main: tuple[str, ...]  # those of the paper among them
    averaged: str
    objectness_sha256: str | None
    key: str

    @cached_property
    def folder(self) -> str:
        """Folder of the run's rows."""
        return run_uri(self.plan.settings.output, "measures", self.plan.settings.data.dataset, self.key)

    @cached_property
    def errors(self) -> str:
        """Folder of the errors of the measure job."""
        return errors_uri(self.plan.settings.output, "measure", self.plan.settings.data.dataset, self.key)

    @cached_property
    def stage(self) -> MeasurePhotos:
        """The stage that measures."""
        settings = self.plan.settings
        return MeasurePhotos(settings.measure, self.band_means, settings.rank.grid, settings.seed)

    @cached_property
    def output(self) -> Output:
        """The table of the measures."""
        settings = self.plan.settings
        about: dict[str, Any] = {
            "run_key": self.key,
            "size": self.plan.size,
            "settings": settings.measure.model_dump(mode="json"),
            "band_means": list(self.band_means),
            "whitening": settings.measure.frequency.whitening,
            "measures": list(self.names),
            "default_frequency": f"frequency_{settings.measure.frequency.combination}",
            "averaged": self.averaged,
            "objectness_sha256": self.objectness_sha256,
            "seed": settings.seed,
        }
        return measures_output(self.folder, self.plan.blocks, self.plan.about_photos | about)


def plan_measures(plan: Plan) -> MeasurePlan:
    """The run of the settings; computes the band means unless they are known. Raises ValueError for bad settings."""
    return _of_means(plan, _known_means(plan) or _compute_means(plan))


def stored_measures(plan: Plan) -> MeasurePlan | None:
    """The run of the settings when some of it is stored."""
    means = _known_means(plan)
    found = _of_means(plan, means) if means else None
    return found if found and storage.list_files(found.folder, ".parquet") else None


def _of_means(plan: Plan, means: tuple[float, ...]) -> MeasurePlan:
    settings = plan.settings
    measures = Measures(settings.measure, means)
    sha256 = measures.weights_sha256
    key = measures_key(plan.record, settings.rank, settings.measure, sha256, means, settings.seed)
    return MeasurePlan(plan, means, measures.names, measures.main, measures.averaged, sha256, key)


def _sampled(plan: Plan) -> tuple[list[str], str]:
    """The images behind the band means, and where these are stored."""
    settings = plan.settings
    every = plan.manifest["image_id"].to_pylist()
    chosen = sample(every, settings.measure.frequency.sample, settings.seed, "band means")
    # A name that begins with _ is no part of the Parquet data set that the folder is.
    name = f"_band_means-{photos_key(plan.record, settings.rank, chosen)[:8]}.json"
    return chosen, storage.join(settings.output, "measures", f"dataset={settings.data.dataset}", name)


def _known_means(plan: Plan) -> tuple[float, ...] | None:
    """The constants, or those of the data set where they were computed before."""
    if plan.settings.measure.frequency.whitening == "natural":
        return natural_band_means()
    uri = _sampled(plan)[1]
    return tuple(storage.read_json(uri)["band_means"]) if storage.exists(uri) else None


def _compute_means(plan: Plan) -> tuple[float, ...]:
    """The mean over the sampled photos that can be read. Raises ValueError when none can."""
    chosen, uri = _sampled(plan)
    compute = plan.settings.compute
    photos = plan.manifest.filter(pa.array([i in set(chosen) for i in plan.manifest["image_id"].to_pylist()]))
    photos = photos.select(["image_id", "uri"])
    found: dict[str, list[float] | None] = {}
    errors: Counter[str] = Counter()
    with counting(len(chosen), "photos sampled for the band means", compute.progress_seconds) as counter:
        steps = InTurn([BandMeans(plan.decode()), Tell(counter)])
        stream = ray.data.from_arrow(
            [photos.slice(start, PHOTOS_PER_TASK) for start in range(0, photos.num_rows, PHOTOS_PER_TASK)]
        ).map_batches(steps.__call__, batch_size=None, batch_format="pyarrow", num_cpus=compute.decode_cpus)
        for row in stream.iter_rows():
            found[row["image_id"]] = row["band_means"]
            errors.update([row["error"]] if row["error"] else [])
    # In order of image id: the sum must not hang on which task was first.
    read = [found[image_id] for image_id in chosen if found[image_id] is not None]
    if not read:
        raise ValueError(f"none of the {len(chosen)} photos sampled for the band means can be read")
    means = tuple(np.mean(np.array(read, np.float64), axis=0).tolist())
    facts = {"band_means": means, "photos": len(read), "unreadable": len(chosen) - len(read), "images": chosen}
    if errors:
        kinds = ", ".join(f"{count} {kind}" for kind, count in errors.most_common())
        print(
            f"band means of {len(read)} photos; of {len(chosen) - len(read)} others there are none: {kinds}", flush=True
        )
    if not errors.keys() & PASSING:  # another run may read those
        storage.write_json(uri, facts)
    return means
