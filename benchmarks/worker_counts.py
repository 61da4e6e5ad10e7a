"""One worker against two, at equal global batches: the same loss curve, if BatchNorm stands still.

Every step takes the same photos, shared between the workers; gradients are averaged. With frozen BatchNorm statistics,
no dropout and float32 the curves agree within rounding. With live statistics each worker normalises by its own half of
the batch, and they part: by how much stands in the second table.

    make reproduce-demo    # or its first jobs: photos and manifest
    python -m benchmarks.worker_counts --output benchmarks/results/worker_counts.md
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable

from benchmarks.demo_models import settings_of
from benchmarks.printing import machine, run
from benchmarks.training_speed import shortened
from halfiqa_ray.config import Settings
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.training import train
from halfiqa_ray.training.run_folder import RunFolder


def losses(settings: Settings, frozen: str, workers: int) -> list[float]:
    """Training loss of every epoch of a fresh run."""
    changes = {
        "run": f"{frozen}-{workers}",
        "freeze_batchnorm": frozen,
        "workers": workers,
        "threads": 1,
        "cpus_per_worker": 0.5,
    }
    still = settings.model.model_copy(update={"triq": settings.model.triq.model_copy(update={"dropout": 0.0})})
    chosen = settings.model_copy(update={"train": settings.train.model_copy(update=changes), "model": still})
    train.run(chosen)
    return [report.loss for report in RunFolder.of(chosen).history()]


def work(options: argparse.Namespace) -> Iterable[str]:
    """Four runs and their curves."""
    with tempfile.TemporaryDirectory() as folder:
        settings = shortened(settings_of("triq", 1), folder, options.photos)
        with ray_session(settings):
            curves = {
                (frozen, workers): losses(settings, frozen, workers) for frozen in ("all", "none") for workers in (1, 2)
            }
    batch = settings.train.batch_size
    yield f"{machine(threads=1)}; demo TRIQ, {options.photos} pictures, batches of {batch}, dropout 0, float32."
    for frozen, words in (("all", "BatchNorm statistics frozen"), ("none", "BatchNorm statistics live")):
        one, two = curves[frozen, 1], curves[frozen, 2]
        yield from [
            "",
            f"{words}:",
            "",
            "| epoch | loss, 1 worker | loss, 2 workers | relative difference |",
            "|---|---|---|---|",
        ]
        for epoch, (a, b) in enumerate(zip(one, two, strict=True), 1):
            yield f"| {epoch} | {a:.6f} | {b:.6f} | {abs(a - b) / a:.1e} |"


if __name__ == "__main__":
    run(__doc__, lambda options: list(work(options)), photos=160)
