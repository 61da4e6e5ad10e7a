"""What the measures of a photo of 1024 x 768 cost on one thread, before and after; and decoding against bare Pillow.

"Before" computes whole maps in the plainest way (tests/measures/whole_maps.py), an oracle that the tests compare with.
Bare Pillow opens, decodes and resizes the same JPEG; the stage also checks the file, hands it to the process that
guards decoding, and its pixels on as Arrow. Everything takes turns in one process. Counted is processor time, which
other work on the machine lengthens less than it does the clock's; that of the guarding process is the system's count.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice -n 5 \\
        python -m benchmarks.measures_speed --output benchmarks/results/measures_speed.md
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from benchmarks.printing import machine, run
from halfiqa_ray.config import MeasureSettings
from halfiqa_ray.data.photos import guard
from halfiqa_ray.data.photos.images import Bounds
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures import average, blocks, boundary_connectivity, frequency, pixels, saliency, superpixels
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.natural_bands import natural_band_means
from halfiqa_ray.measures.on_device import DeviceMeasures
from halfiqa_ray.measures.on_device import block_means as means_of
from halfiqa_ray.stages.decode import Decode
from tests.measures import whole_maps

WIDTH, HEIGHT = 1024, 768
NAMES = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry")
GUARDED = Bounds(seconds=60)
BATCH = 8  # photos that one call of the stage decodes

Photo = NDArray[np.uint8]


def photo(name: str) -> Photo:
    """One of scikit-image's photos, cut to 4 : 3 and enlarged."""
    whole = Image.fromarray(getattr(data, name)())
    scale = min(whole.width / WIDTH, whole.height / HEIGHT)
    wide, high = WIDTH * scale, HEIGHT * scale
    left, top = (whole.width - wide) / 2, (whole.height - high) / 2
    box = (left, top, left + wide, top + high)
    return np.asarray(whole.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box))


def guarding() -> float:
    """Seconds that the decoding processes have run so far."""
    decoders = guard.decoders(GUARDED.seconds, GUARDED.bytes).free
    stats = [Path(f"/proc/{each.process.pid}/schedstat").read_text() for each in decoders if each.process]
    return sum(int(text.split()[0]) for text in stats) / 1e9


def in_turn(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each, one after the other."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            started = time.process_time() + guarding()
            work()
            found[name].append(1000 * (time.process_time() + guarding() - started))
    return found


def measuring(photos: list[Photo], repeats: int) -> Iterable[str]:
    """Each part before and after."""
    measures, grid = Measures(MeasureSettings(), natural_band_means()), Grid()
    weights = np.stack([frequency.band_weights(each, natural_band_means()) for each in measures.combinations])
    small = np.random.default_rng(0).random((192, 256), np.float32)
    maps = list(measures.measure(photos[0]).values())
    labs = {id(each): boundary_connectivity._lab(boundary_connectivity._shrink(each)) for each in photos}

    def plainly(work: Callable[[Photo], object]) -> Callable[[Photo], object]:
        def inside(each: Photo) -> object:
            with whole_maps.instead():
                return work(each)

        return inside

    parts: dict[str, tuple[Callable[[Photo], object], Callable[[Photo], object]]] = {
        "saliency": (plainly(saliency.spectral_residual), saliency.spectral_residual),
        "three frequency maps": (
            lambda each: whole_maps.frequency_maps(whole_maps.luma(each), weights),
            lambda each: frequency.frequency_maps(pixels.luma(each), weights),
        ),
        "objectness by boundary connectivity": (
            plainly(boundary_connectivity.boundary_connectivity),
            boundary_connectivity.boundary_connectivity,
        ),
        "- its superpixels": (
            lambda each: whole_maps.superpixels(labs[id(each)]),
            lambda each: superpixels.superpixels(labs[id(each)]),
        ),
        "- its enlargement": (
            lambda _: whole_maps.bilinear(small, HEIGHT, WIDTH),
            lambda _: pixels.bilinear(small, HEIGHT, WIDTH),
        ),
        "average": (lambda _: whole_maps.average(maps[:3]), lambda _: average.average(maps[:3])),
        "block means of all six": (
            lambda _: [whole_maps.block_means(each, grid) for each in maps],
            lambda _: [blocks.block_means(each, grid) for each in maps],
        ),
        "all of it": (
            plainly(lambda each: [whole_maps.block_means(m, grid) for m in measures.measure(each).values()]),
            lambda each: [blocks.block_means(m, grid) for m in measures.measure(each).values()],
        ),
    }
    on_device = DeviceMeasures(measures)
    small_maps = {id(each): measures.small_maps(each) for each in photos}
    by_torch: dict[str, Callable[[Photo], object]] = {
        "what stays on the CPU with compute.measures scoring": measures.small_maps,
        "the rest, by torch on this CPU": lambda each: means_of(on_device.measure(each, small_maps[id(each)]), grid),
    }
    yield "| measures | before | after | after / before |"
    yield "|---|---|---|---|"
    for name, (before, after) in parts.items():
        before_ms, after_ms = [], []
        for each in photos:
            found = in_turn({"before": partial(before, each), "after": partial(after, each)}, repeats)
            before_ms += found["before"]
            after_ms += found["after"]
        old, new = statistics.median(before_ms), statistics.median(after_ms)
        yield f"| {name} | {old:.1f} | {new:.1f} | {new / old:.2f} |"
    for name, work in by_torch.items():
        alone = [ms for each in photos for ms in in_turn({name: partial(work, each)}, repeats)[name]]
        yield f"| {name} | | {statistics.median(alone):.1f} | |"


def bare(files: list[str], height: int, width: int) -> list[Photo]:
    """Pillow alone."""
    found = []
    for file in files:
        with Image.open(file) as image:
            found.append(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))
    return found


def decoding(photos: list[Photo], repeats: int) -> Iterable[str]:
    """The stage, with and without the guarding process, against bare Pillow."""
    yield "| decode 1024 x 768 to | bare Pillow | stage in this process | / bare | stage, guarded | / bare |"
    yield "|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{number}.jpg" for number in range(BATCH)]
        for number, file in enumerate(files):
            Image.fromarray(photos[number % len(photos)]).save(file, quality=92)
        rows = pa.table({"image_id": files, "uri": files})
        for height, width in ((192, 256), (384, 384)):
            here, guarded = Decode(height, width, readers=1), Decode(height, width, bounds=GUARDED, readers=1)
            guarded(rows)  # starts its process
            found = in_turn(
                {
                    "bare": partial(bare, files, height, width),
                    "here": partial(here, rows),
                    "guarded": partial(guarded, rows),
                },
                repeats,
            )
            alone, inside, outside = (statistics.median(times) / BATCH for times in found.values())
            yield (
                f"| {width} x {height} | {alone:.1f} | {inside:.1f} | {inside / alone:.2f} | {outside:.1f} "
                f"| {outside / alone:.2f} |"
            )


def work(options: argparse.Namespace) -> Iterable[str]:
    """Both tables."""
    torch.set_num_threads(1)
    photos = [photo(name) for name in NAMES[: options.photos]]
    yield (
        f"{machine()}. Processor milliseconds a photo of {WIDTH} x {HEIGHT}, medians of {options.repeats} turns on "
        f"{len(photos)} photos, on a machine that was busy with other work."
    )
    yield ""
    yield from measuring(photos, options.repeats)
    yield ""
    yield from decoding(photos, options.repeats)


if __name__ == "__main__":
    run(__doc__, work, photos=4, repeats=3)
