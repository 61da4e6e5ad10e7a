"""Images a second of every model in training and in inference: the training job's worker against the bare torch loop.

Both sides take the same decoded photos in memory, the same batches, the same optimiser and threads. The bare loop has
no Ray, no progress, no validation. It runs before, between and after the two jobs, in the order of the columns, so that
a drift of the machine shows; the rate of a job is that of its best epoch but the first. "Ray Data" is the job with
photos decoded anew by Ray Data tasks, which is more work than the loop's, on the same cores.

    make reproduce-demo    # or its first jobs: photos and manifest
    python -m benchmarks.training_speed --output benchmarks/results/training_speed.md
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow as pa
import torch

from benchmarks.demo_models import settings_of
from benchmarks.printing import machine, run
from halfiqa_ray import storage
from halfiqa_ray.config import Settings, StageSettings
from halfiqa_ray.data import manifest
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.fitting.losses import quality_loss, standardise_target
from halfiqa_ray.models.fitting.optimisers import frozen_parameters
from halfiqa_ray.models.fitting.training import predict
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.training import train
from halfiqa_ray.training.photos import mos_scale_of, photos_by_split, pixels_of
from halfiqa_ray.training.run_folder import RunFolder


def shortened(settings: Settings, folder: str, photos: int) -> Settings:
    """The same recipe in one stage of three epochs, over a manifest of ``photos`` training pictures."""
    rows = manifest.read_manifest(settings.output, settings.data.dataset)
    split = rows["split"].to_pylist()
    chosen = [row for row, name in enumerate(split) if name == "train"][:photos]
    chosen += [row for row, name in enumerate(split) if name == "validation"][: photos // 4]
    place = storage.join(manifest.folder(folder, settings.data.dataset), manifest.FILE_NAME)
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    storage.write_table(place, rows.take(pa.array(chosen)))
    stage = StageSettings(epochs=3, learning_rate=1e-4, warmup_epochs=0, hold_epochs=3)
    short = settings.train.model_copy(update={"main": stage, "finetune": StageSettings(epochs=0), "patience": 9})
    return settings.model_copy(update={"train": short, "output": folder})


def bare(settings: Settings, threads: int) -> tuple[float, float]:
    """Images a second of a plain training loop, best of two epochs, and of plain inference."""
    torch.set_num_threads(threads)
    rows = manifest.read_manifest(settings.output, settings.data.dataset)
    scale = mos_scale_of(rows, settings)
    photos = photos_by_split(rows, scale)["train"]
    model = build_model(settings.model, scale).train()
    if settings.train.freeze_batchnorm == "backbone":
        for module in model.backbone.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
    for parameter in frozen_parameters(model, settings.train.frozen):
        parameter.requires_grad_(False)
    standardise_target(model, photos.mos_N)
    cache = pixels_of(settings, rows)
    size = settings.train.batch_size
    steps = [np.arange(start, start + size) for start in range(0, len(photos) // size * size, size)]
    loaded = [pixels for pixels, _ in cache.batches([photos.places[step] for step in steps])]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    rates = []
    for _ in range(2):
        start = time.perf_counter()
        for step, pixels_NHWC in zip(steps, loaded, strict=True):
            prediction = model(model.normalise(torch.from_numpy(pixels_NHWC)))
            mos_N = torch.from_numpy(photos.mos_N[step]).float()
            loss = quality_loss(prediction, mos_N, torch.from_numpy(photos.labels_N5[step]), model)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        rates.append(size * len(steps) / (time.perf_counter() - start))
    model.eval()
    start = time.perf_counter()
    with torch.inference_mode():
        for pixels_NHWC in loaded:
            model(model.normalise(torch.from_numpy(pixels_NHWC)))
    plain = size * len(steps) / (time.perf_counter() - start)
    start = time.perf_counter()
    predict(model, cache, photos.places[: size * len(steps)], size)
    return max(rates), (size * len(steps) / (time.perf_counter() - start)) / plain


def job(settings: Settings, feed: str) -> float:
    """Images a second of the training job's best epoch but the first."""
    named = settings.train.model_copy(update={"feed": feed, "run": f"speed-{feed}"})
    chosen = settings.model_copy(update={"train": named})
    train.run(chosen)
    return max(report.images_per_second for report in RunFolder.of(chosen).history()[1:])


def work(options: argparse.Namespace) -> Iterable[str]:
    """The table."""
    lines, threads = [], 0
    for model in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            settings = shortened(settings_of(model, 1), folder, options.photos)
            threads = train.torch_threads(settings.train)
            before, predicted = bare(settings, threads)
            with ray_session(settings):
                memory = job(settings, "memory")
                between, predicted_between = bare(settings, threads)
                streamed = job(settings, "ray_data")
            after, predicted_after = bare(settings, threads)
        lines.append(
            f"| {model} | {before:.1f} | {memory:.1f} | {between:.1f} | {streamed:.1f} | {after:.1f} | "
            f"{memory / mean((before, between)):.2f} | {streamed / mean((between, after)):.2f} | "
            f"{mean((predicted, predicted_between, predicted_after)):.2f} |"
        )
    return [
        f"{machine(threads=threads)}; {options.photos} pictures of 192 x 256, batches of 8; images a second.",
        "",
        "| model | bare loop | training job, in memory | bare loop | job, Ray Data | bare loop | "
        "in memory / loops beside it | Ray Data / loops beside it | inference / bare inference |",
        "|---|---|---|---|---|---|---|---|---|",
        *lines,
    ]


if __name__ == "__main__":
    run(__doc__, work, models="triq,aihiqnet,koncept,dbcnn,swin_iqa", photos=240)
