"""What one GPU and its node can do, and what bounds KonIQ-10k: at most six minutes, without Ray and without a network.

- all 4096 subsets of photos against the pass of their own backbone in float32, TF32 and bfloat16;
- passes a second of the five models at their published sizes, and a training step of each at its published batch;
- photos a second that the node's cores decode from JPEG and bring to size, and measure: whole, or (compute.measures:
  scoring) small images alone, with the GPU for what is done at every pixel;
- from these the time of KonIQ-10k's 10,073 photos, decoded already and from JPEG, and what bounds it.

Weights are random, photos are made up: neither changes how long it takes (trained attention is sharper than random one,
see benchmarks/subset_scoring.py). Where memory does not suffice for a batch it is halved, and the table says so.

    python -m benchmarks.gpu --output benchmarks/results/gpu.md
    python -m benchmarks.gpu --size small      # the same frame on a CPU in a minute; its numbers mean little
"""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from benchmarks.printing import machine, parser, publish
from halfiqa_ray.config import MeasureSettings, ModelSettings
from halfiqa_ray.data.photos import decoding
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.subset_scorer import SubsetScorer
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.natural_bands import natural_band_means
from halfiqa_ray.measures.on_device import DeviceMeasures, block_means
from halfiqa_ray.models.base import MosScale, QualityModel
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.fitting.losses import quality_loss
from halfiqa_ray.models.triq import Triq

CONFIGS = Path(__file__).parents[1] / "configs" / "models"
MODELS = ("triq", "aihiqnet", "koncept", "dbcnn", "swin_iqa")
PRECISIONS = ("float32", "TF32", "bfloat16")
KONIQ_PHOTOS = 10_073
MAXIMUM_PIXELS = 100_000_000
JPEG_SIZE = (768, 1024)  # KonIQ-10k's photos
SCALE = MosScale(1, 5)


@dataclass(frozen=True)
class Size:
    """How much is timed. ``shrink`` divides the models' sides."""

    shrink: int
    passes: int  # images a timed pass
    seconds: float  # of timing, each
    photos: int  # that are decoded
    measured: int


SIZES = {"full": Size(1, 16, 2.0, 800, 96), "small": Size(4, 2, 0.3, 8, 2)}


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """float32 with or without TF32 products, or bfloat16 by autocast."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "TF32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def seconds(work: Callable[[], object], least: float, device: torch.device) -> float:
    """Median seconds of a call, over at least three calls and ``least`` seconds, after one to warm up."""

    def timed() -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    timed()
    taken = [timed() for _ in range(3)]
    while sum(taken) < least:
        taken.append(timed())
    return statistics.median(taken)


def settings_of(model: str, size: Size) -> tuple[ModelSettings, int]:
    """A model as published, without weights, and the batch that it was trained with."""
    config = yaml.safe_load((CONFIGS / f"{model}.yaml").read_text())
    chosen = config["model"]
    chosen["backbone"] = {**chosen.get("backbone", {}), "weights": "none"}
    settings = ModelSettings(**chosen)
    if size.shrink > 1 and model != "swin_iqa":  # whose windows fix its size
        smaller = {"height": settings.height // size.shrink, "width": settings.width // size.shrink}
        settings = settings.model_copy(update=smaller)
    return settings, int(config["train"]["batch_size"])


def halving(work: Callable[[int], float], batch: int) -> tuple[float, int]:
    """What ``work`` returns for a batch, or for half of it as often as memory does not suffice, and the batch."""
    while True:
        try:
            return work(batch), batch
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            torch.cuda.empty_cache()
            batch //= 2


def photos_of(settings: ModelSettings, count: int, device: torch.device) -> torch.Tensor:
    """Made-up photos (N, H, W, 3), uint8."""
    return torch.randint(0, 256, (count, settings.height, settings.width, 3), dtype=torch.uint8, device=device)


def inference(model: QualityModel, settings: ModelSettings, name: str, size: Size, device: torch.device) -> float:
    """Passes a second."""

    def rate(batch: int) -> float:
        images = model.normalise(photos_of(settings, batch, device))
        with torch.inference_mode(), precision(name, device):
            return batch / seconds(lambda: model(images), size.seconds, device)

    return halving(rate, size.passes)[0]


def training(
    model: QualityModel, settings: ModelSettings, batch: int, name: str, size: Size, device: torch.device
) -> tuple[float, int]:
    """Images a second of forward, loss, backward and step, and the batch that fits."""

    def rate(images: int) -> float:
        pixels = photos_of(settings, images, device)
        mos_N = torch.linspace(1, 5, images, device=device)
        labels_N5 = torch.full((images, 5), 0.2, device=device)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-6)

        def step() -> None:
            with precision(name, device):
                prediction = model(model.normalise(pixels))
                loss = quality_loss(prediction, mos_N, labels_N5, model)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

        return images / seconds(step, size.seconds, device)

    model.train()
    found = halving(rate, max(2, batch // size.shrink))
    model.eval()
    return found


def jpeg() -> bytes:
    """A made-up photo of KonIQ-10k's size: smooth, with fine grain, some 100 to 200 kB as theirs."""
    random = np.random.default_rng(0)
    rough = Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).resize(
        JPEG_SIZE[::-1], Image.Resampling.BICUBIC
    )
    grain = random.normal(0, 6, (*JPEG_SIZE, 1))
    made = Image.fromarray((np.asarray(rough) + grain).clip(0, 255).astype(np.uint8))
    written = io.BytesIO()
    made.save(written, "JPEG", quality=90)
    return written.getvalue()


def decode(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """A photo at the size to score, as the project brings it there."""
    return decoding.resize(decoding.decode(data, MAXIMUM_PIXELS), height, width)


def decode_many(data: bytes, height: int, width: int, count: int) -> None:
    """Work of one process."""
    for _ in range(count):
        decode(data, height, width)


def measure_many(data: bytes, height: int, width: int, count: int, small: bool = False) -> None:
    """Work of one process: all measures of a photo at the size to score, or what stays on the CPU of them."""
    measures = Measures(MeasureSettings(), natural_band_means())
    pixels = decode(data, height, width)
    work = measures.small_maps if small else measures.measure
    for _ in range(count):
        work(pixels)


def measured_on(device: torch.device, height: int, width: int, size: Size) -> float:
    """Photos a second of what the device does of the measures, block means included."""
    measures = Measures(MeasureSettings(), natural_band_means())
    pixels, on_device = decode(jpeg(), height, width), DeviceMeasures(measures, device)
    small = measures.small_maps(pixels)
    return 1 / seconds(lambda: block_means(on_device.measure(pixels, small), Grid()).cpu(), size.seconds, device)


def node_rate(work: Callable[[bytes, int, int, int], None], height: int, width: int, count: int) -> float:
    """Photos a second of all cores, one process each."""
    cores = len(os.sched_getaffinity(0))
    each, data = max(1, count // cores), jpeg()
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(work, [data] * cores, [height] * cores, [width] * cores, [1] * cores))  # imports, first calls
        start = time.perf_counter()
        list(pool.map(work, [data] * cores, [height] * cores, [width] * cores, [each] * cores))
        return each * cores / (time.perf_counter() - start)


def precisions(device: torch.device) -> tuple[str, ...]:
    """Those that the device makes a difference between."""
    return PRECISIONS if device.type == "cuda" else PRECISIONS[:1]


def subset_rows(size: Size, device: torch.device) -> tuple[list[str], float]:
    """The scorer beside its backbone, and the photos a second of both (on a GPU with the backbone in TF32)."""
    settings, _ = settings_of("triq", size)
    model = build_model(settings, SCALE).to(device).eval()
    assert isinstance(model, Triq)
    scorer = SubsetScorer(model, Grid())
    rates: dict[str, float] = {}
    names = precisions(device)

    def scored(batch: int) -> float:
        images = model.normalise(photos_of(settings, batch, device))
        with torch.inference_mode():
            features = model.feature_matrix(images)
            features = features / features.std()
            rates["tokens"] = model.project_and_pool(features[:1])[0, 0].numel()
        for name in names:
            with torch.inference_mode(), precision(name, device):
                rates[name] = batch / seconds(lambda: model.feature_matrix(images), size.seconds, device)
        return batch / seconds(lambda: scorer(features), size.seconds, device)

    subsets, batch = halving(scored, size.passes)
    both = 1 / (1 / subsets + 1 / rates[names[min(1, len(names) - 1)]])
    lines = [
        f"| all 4096 subsets of a photo, {rates['tokens']:.0f} tokens, batches of {batch} | {subsets:.1f} |"
        + " |" * (len(names) - 1),
        f"| backbone of the same photos, {settings.height} x {settings.width} | "
        + " | ".join(f"{rates[name]:.1f}" for name in names)
        + " |",
    ]
    return lines, both


def report(size: Size, device: torch.device) -> Iterator[str]:
    """The tables, as Markdown lines."""
    yield f"{machine(device)}; {len(os.sched_getaffinity(0))} cores."
    yield ""
    names = precisions(device)
    yield f"| what, images a second | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    lines, both = subset_rows(size, device)
    yield from lines
    for name in MODELS:
        settings, batch = settings_of(name, size)
        model = build_model(settings, SCALE).to(device).eval()
        what = f"{name}, {settings.height} x {settings.width}"
        rates = [inference(model, settings, kind, size, device) for kind in names]
        yield f"| {what}, scored | {' | '.join(f'{rate:.1f}' for rate in rates)} |"
        trained = [training(model, settings, batch, kind, size, device) for kind in names]
        yield f"| {what}, trained in batches of {trained[0][1]} | {' | '.join(f'{rate:.1f}' for rate, _ in trained)} |"
        del model
        if device.type == "cuda":
            torch.cuda.empty_cache()
    triq, _ = settings_of("triq", size)
    decoded = node_rate(decode_many, triq.height, triq.width, size.photos)
    measured = node_rate(measure_many, triq.height, triq.width, size.measured)
    small = node_rate(partial(measure_many, small=True), triq.height, triq.width, size.measured)
    at_pixels = measured_on(device, triq.height, triq.width, size)
    yield ""
    yield (
        f"All cores decode {decoded:.1f} photos a second from JPEG, and measure {measured:.1f}; small images alone "
        f"{small:.1f}, and the device does the rest of {at_pixels:.1f}."
    )
    yield ""
    yield "| KonIQ-10k's 10,073 photos | seconds | bound by |"
    yield "|---|---|---|"
    yield f"| all subsets, decoded already | {KONIQ_PHOTOS / both:.0f} | the GPU |"
    slowest = min(both, decoded)
    yield f"| all subsets, from JPEG | {KONIQ_PHOTOS / slowest:.0f} | {'the GPU' if both < decoded else 'decoding'} |"
    for where, by_cores, by_device in (
        ("", 1 / (1 / decoded + 1 / measured), both),
        (", at every pixel by the GPU", 1 / (1 / decoded + 1 / small), 1 / (1 / both + 1 / at_pixels)),
    ):
        bound = "the GPU" if by_device < by_cores else "the cores that decode and measure"
        taken = KONIQ_PHOTOS / min(by_cores, by_device)
        yield f"| all subsets and measures{where}, from JPEG | {taken:.0f} | {bound} |"


def main() -> None:
    """Measure, print, and write if asked."""
    command = parser(__doc__)
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    command.add_argument("--size", choices=sorted(SIZES), default="full", help="default full")
    options = command.parse_args()
    publish(report(SIZES[options.size], torch.device(options.device)), options.output)


if __name__ == "__main__":
    main()
