"""Passes a second of zeroing against the bare loop over each model, and the cores that decode for it.

Bare: the model as trained, in a plain loop over normalised images whose blocks are zeroed already. Ours: the stage of
the stream, which takes decoded photos, normalises, zeroes, and has BatchNorm folded into the convolutions. Both take
turns, in one process, with batches of one size. Half precision and torch.compile are there to be asked for: on a CPU
neither need be faster. Models are those that come with the package; Swin-IQA has no weights there, is untrained, and so
large that it is asked on demand.

    python -m benchmarks.zeroing_passes --threads 1 --output benchmarks/results/zeroing_passes.md
    python -m benchmarks.zeroing_passes --device cuda --batch 16 --precisions float32,bfloat16 --swin 1
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import yaml

from benchmarks.first_photo import write_photos
from benchmarks.printing import machine, run
from halfiqa_ray.config import GridSettings, ModelSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.zeroing import zero_blocks
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import CheckpointRecord, load_checkpoint, save_checkpoint
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.zeroing import WORK, ScoreZeroed

SHIPPED = ("biq2021/triq", "biq2021/aihiqnet", "biq2021/koncept", "biq2021/dbcnn")
SWIN = Path(__file__).parents[1] / "configs" / "models" / "swin_iqa.yaml"
RANKINGS = 6  # halves a photo: 13 passes
GRID = GridSettings()
PASSES = 1 + 2 * RANKINGS  # of the photo as it is, and with either half zeroed


def swin(folder: Path) -> str:
    """A checkpoint of an untrained Swin-IQA at its published size."""
    chosen = yaml.safe_load(SWIN.read_text())["model"]
    settings = ModelSettings(**chosen | {"backbone": {**chosen.get("backbone", {}), "weights": "none"}})
    model = build_model(settings, MosScale(1, 5))
    _, other = load_checkpoint(SHIPPED[0])
    about = {"model": settings, "preprocessing": model.preprocessing, "mos_scale": model.mos_scale, "metrics": {}}
    save_checkpoint(str(folder), model.eval(), CheckpointRecord(**(dict(other) | about)))
    return str(folder)


def photos(folder: Path, count: int) -> pa.Table:
    """Rows of photos of 1024 x 768 as the stream gives them to a decoding stage, asked for halves of ``RANKINGS``."""
    names = write_photos(folder, count)
    work = [
        {"model": 0, "ranking": str(r) if r else None, "fill": "zero" if r else "none"} for r in range(RANKINGS + 1)
    ]
    columns = {name: [None] * count for name in ("split", "source_photo", "mos")}
    rows = pa.table({"image_id": names, "uri": names} | columns)
    return rows.append_column("zero", pa.array([work] * count, WORK))


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one call."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def row(checkpoint: str, rows: pa.Table, options: argparse.Namespace) -> str:
    """One model's line."""
    device, count = torch.device(options.device), rows.num_rows
    bare, record = load_checkpoint(checkpoint, options.device)
    size = record.preprocessing.height, record.preprocessing.width
    decode = Decode(*size, more=(size,))
    decoded = decode(rows)
    halves = np.random.default_rng(0).permuted(np.tile(np.arange(12), (count, RANKINGS, 1)), axis=2)[:, :, :6]
    important = (1 << halves).sum(2)
    known = [{str(r + 1): int(half) for r, half in enumerate(some)} for some in important]
    masks = [0, *(int(m) for half in important[0] for m in (half, Grid().full ^ half))]
    with torch.inference_mode():
        pixels = torch.from_numpy(next(iter(pixels_of(decoded, size)))[1].copy()).to(device)
        images = bare.normalise(pixels.expand(PASSES, *pixels.shape))
        images = zero_blocks(images, masks, Grid())

    def bare_loop() -> None:
        with torch.inference_mode():
            for _ in range(count):
                for start in range(0, PASSES, options.batch):
                    bare(images[start : start + options.batch])

    def stage(precision: str, compiled: bool) -> ScoreZeroed:
        made = ScoreZeroed([checkpoint], GRID, options.device, options.batch, 0, {}, precision, compiled)
        made(decoded.slice(0, 1), known[:1])  # warm
        return made

    ways = {name: stage(name, compiled=False) for name in options.precisions.split(",")}
    if options.compile:
        ways["compiled"] = stage("float32", compiled=True)
    bare_loop()
    taken: dict[str, list[float]] = {name: [] for name in ("bare", *ways, "decode")}
    for _ in range(options.repeats):
        taken["bare"].append(seconds(bare_loop, device))
        for name, way in ways.items():
            taken[name].append(seconds(partial(way, decoded, known), device))
        taken["decode"].append(seconds(lambda: decode(rows), device))
    median = {name: statistics.median(each) for name, each in taken.items()}
    passes = count * PASSES
    cells = [f"{passes / median['bare']:.1f}"]
    for name, way in ways.items():
        change, why = way.passes[0].change, way.passes[0].not_compiled
        told = (f" (change {change:.1g})" if change is not None else "") + (
            f" (not compiled: {why[:60]})" if why else ""
        )
        cells.append(f"{passes / median[name]:.1f}, {median['bare'] / median[name]:.2f} x{told}")
    # A decoding core keeps up with so many devices: passes of a photo take longer than its decoding.
    cores = median["decode"] / median[options.precisions.split(",")[0]]
    name = record.model.name + ("" if checkpoint in SHIPPED else ", untrained")
    return (
        f"| {name}, {size[0]} x {size[1]} | {' | '.join(cells)} | {1000 * median['decode'] / count:.1f} | {cores:.2f} |"
    )


def table(options: argparse.Namespace) -> Iterator[str]:
    """The machine, and a line a model."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    ways = [*options.precisions.split(","), *(["compiled"] if options.compile else [])]
    yield (
        f"{machine(device, torch.get_num_threads())}; batches of {options.batch}, {PASSES} passes a photo of 1024 x "
        f"768, medians of {options.repeats}."
    )
    yield ""
    yield f"| model | bare loop, passes/s | {' | '.join(ways)} | decode and resize, ms a photo | decoding cores |"
    yield f"|---|---|{'---|' * len(ways)}---|---|"
    with tempfile.TemporaryDirectory() as scratch:
        rows = photos(Path(scratch) / "photos", options.photos)
        large = [swin(Path(scratch) / "swin")] if options.swin else []
        for checkpoint in (*SHIPPED, *large):
            yield row(checkpoint, rows, options)


if __name__ == "__main__":
    run(
        __doc__,
        lambda options: list(table(options)),
        device="cuda" if torch.cuda.is_available() else "cpu",
        threads=0,
        batch=1,
        photos=4,
        repeats=5,
        precisions="float32",
        compile=0,
        swin=0,
    )
