"""All 4096 block subsets of one photo: masked passes one by one, the same batched, ours, and the backbone's pass.

One run, one machine, one process; every time is a median of repeats that take turns. First the masked passes, timed on
a sample of subsets and multiplied up, beside ours at 768 tokens with random weights. Then ours alone at several numbers
of tokens, with random weights and with the trained ones of the shipped TRIQ, whose first layer's attention is sharp.

    python -m benchmarks.subset_scoring --output benchmarks/results/subset_scoring.md
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.printing import machine, run
from halfiqa_ray.config import BackboneSettings, ModelSettings
from halfiqa_ray.data.demo.photos import PHOTOS
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.ordinary import score_subsets
from halfiqa_ray.masking.subset_scorer import SubsetScorer
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import load_checkpoint
from halfiqa_ray.models.triq import Triq

TRAINED = "biq2021/triq"
# Height and width of the input that gives so many tokens; the largest is the paper's.
SIZES = {48: (192, 256), 64: (256, 256), 144: (384, 384), 768: (768, 1024)}
PAPER = 768
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
CLOCK_WORDS = {
    "wall": "Wall time.",
    "cpu": "CPU time of the process, not wall time, with other work on the machine: read the ratios, not the seconds.",
}


def seconds(
    works: Mapping[str, Callable[[], object]], repeats: int, clock: str, device: torch.device
) -> dict[str, float]:
    """Median seconds of each, taking turns, after one call to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            start = CLOCKS[clock]()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken[name].append(CLOCKS[clock]() - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def random_model(size: tuple[int, int]) -> Triq:
    """TRIQ on ResNet-50 with random weights, for an input size."""
    torch.manual_seed(0)
    backbone = BackboneSettings(name="resnet50", weights="none")
    model = build_model(ModelSettings(height=size[0], width=size[1], backbone=backbone), MosScale(1, 5))
    assert isinstance(model, Triq)
    return model.eval()


def trained_model(size: tuple[int, int]) -> Triq:
    """The shipped TRIQ for another input size: its learned positions are interpolated over the token map."""
    model, record = load_checkpoint(TRAINED, fold=True)
    assert isinstance(model, Triq)
    shape = record.model.height // Triq.stride, record.model.width // Triq.stride
    table = model.position_table.detach()
    map_1DHW = table[:, 1:].transpose(1, 2).unflatten(2, shape)
    wanted = size[0] // Triq.stride, size[1] // Triq.stride
    map_1DHW = functional.interpolate(map_1DHW, wanted, mode="bilinear", align_corners=False)
    model.position_table = nn.Parameter(torch.cat([table[:, :1], map_1DHW.flatten(2).transpose(1, 2)], 1))
    return model.eval()


def photo(size: tuple[int, int]) -> Tensor:
    """A real photo at a size: uint8 (1, H, W, 3)."""
    (coffee,) = (photo for photo in PHOTOS if photo.name == "coffee")
    return torch.from_numpy(np.array(Image.fromarray(coffee.pixels()[0]).resize(size[::-1])))[None]


class Case:
    """A model at a number of tokens, its photo's features, and both works to time."""

    def __init__(self, model: Triq, tokens: int, device: torch.device, scaled: bool) -> None:
        self.model = model.to(device)
        self.images_NCHW = model.normalise(photo(SIZES[tokens]).to(device))
        with torch.inference_mode():
            features_NCHW = model.feature_matrix(self.images_NCHW)
        # Random weights give features near 0; real ones are of the order of 1.
        self.features_NCHW = features_NCHW / features_NCHW.std() if scaled else features_NCHW
        self.scorer = SubsetScorer(model, Grid())

    def ours(self) -> Tensor:
        """All subsets' scores (1, S)."""
        return self.scorer(self.features_NCHW).scores_NS

    @torch.inference_mode()
    def backbone(self) -> None:
        """One pass of its own backbone."""
        self.model.feature_matrix(self.images_NCHW)


def against_masked_passes(case: Case, options: argparse.Namespace, device: torch.device) -> Iterator[str]:
    """The table that compares with masked passes, as Markdown lines."""
    grid, sample = Grid(), options.sample
    chosen = np.random.default_rng(0).choice(grid.subsets, sample, replace=False).tolist()

    def passes(size: int) -> Callable[[], object]:
        return lambda: score_subsets(case.model, case.features_NCHW[0], grid, chosen, size)

    sizes = (2, 4, 8, 16) if device.type == "cpu" else (16, 64)
    once = seconds({str(size): passes(size) for size in (1, *sizes)}, 1, options.clock, device)
    masked = {size: once[str(size)] / sample * grid.subsets for size in (1, *sizes)}
    best = min(sizes, key=masked.__getitem__)
    found = seconds({"ours": case.ours, "backbone": case.backbone}, options.repeats, options.clock, device)
    ours, cnn = found["ours"], found["backbone"]
    plain_S, _ = score_subsets(case.model, case.features_NCHW[0], grid, chosen)
    scores_S = case.ours()[0]
    yield f"A photo of 768 x 1024 pixels, {PAPER} tokens, random weights:"
    yield ""
    yield "| | what | seconds a photo | times ours |"
    yield "|---|---|---|---|"
    yield (
        f"| a | 4096 masked passes, one by one ({sample} timed, multiplied up) "
        f"| {masked[1]:.2f} | {masked[1] / ours:.0f} |"
    )
    yield (
        f"| b | the same, {best} subsets a pass (best of {', '.join(map(str, sizes))}; {sample} timed, multiplied up) "
        f"| {masked[best]:.2f} | {masked[best] / ours:.0f} |"
    )
    yield f"| c | all 4096 subsets, ours | {ours:.3f} | 1 |"
    yield f"| d | ResNet-50 pass | {cnn:.3f} | {cnn / ours:.2f} |"
    yield ""
    yield (
        f"(a) / (c) = {masked[1] / ours:.0f}; (c) / (d) = {ours / cnn:.2f}; largest difference (a) - (c) over {sample} "
        f"subsets: {float((plain_S - scores_S[chosen]).abs().max()):.1e} MOS (standard deviation of the scores over "
        f"subsets: {float(scores_S.std()):.3f}); backbone and all subsets: {1 / (ours + cnn):.2f} photos a second "
        f"with {torch.get_num_threads()} threads."
    )
    yield ""


def by_tokens(options: argparse.Namespace, device: torch.device) -> Iterator[str]:
    """The table of token counts and threads, as Markdown lines."""
    yield f"All 4096 subsets of one photo with random weights, and with those of {TRAINED}, whose positions are"
    yield "interpolated for other sizes than its own:"
    yield ""
    yield (
        "| tokens | threads | random, s | trained, s | trained / random | ResNet-50, s | random / ResNet-50 "
        "| trained / ResNet-50 | own backbone, s | trained / own backbone | GFLOP of products: subsets | ResNet-50 "
        "| own backbone |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for tokens in map(int, options.tokens.split(",")):
        random = Case(random_model(SIZES[tokens]), tokens, device, scaled=True)
        trained = Case(trained_model(SIZES[tokens]), tokens, device, scaled=False)
        works = {"random": random.ours, "trained": trained.ours, "resnet": random.backbone, "own": trained.backbone}
        products = " | ".join(f"{products_of(works[name]):.2f}" for name in ("random", "resnet", "own"))
        for threads in map(int, options.threads.split(",")):
            torch.set_num_threads(threads)
            found = seconds(works, options.repeats, options.clock, device)
            assert trained.scorer.sharp_images
            assert not random.scorer.sharp_images
            soft, sharp, resnet, own = (found[name] for name in works)
            yield (
                f"| {tokens} | {threads} | {soft:.3f} | {sharp:.3f} | {sharp / soft:.2f} | {resnet:.3f} "
                f"| {soft / resnet:.2f} | {sharp / resnet:.2f} | {own:.3f} | {sharp / own:.2f} "
                f"| {products} |"
            )


def products_of(work: Callable[[], object]) -> float:
    """GFLOP of matrix products and convolutions, a multiplication and an addition counted as two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Everything, as Markdown lines. Raises ValueError for a number of tokens that has no input size here."""
    unknown = set(map(int, options.tokens.split(","))) - set(SIZES)
    if unknown:
        raise ValueError(f"--tokens: no input size for {sorted(unknown)}; those with one are {sorted(SIZES)}")
    device = torch.device(options.device)
    yield f"{machine(device)}; 2 layers, width 32, 8 heads, 3 x 4 blocks, float32. {CLOCK_WORDS[options.clock]}"
    yield ""
    if options.sample:
        torch.set_num_threads(min(map(int, options.threads.split(","))))  # an actor has one
        yield from against_masked_passes(Case(random_model(SIZES[PAPER]), PAPER, device, scaled=True), options, device)
    yield from by_tokens(options, device)


if __name__ == "__main__":
    run(
        __doc__,
        measure,
        device="cuda" if torch.cuda.is_available() else "cpu",
        sample=256,  # subsets to time for (a) and (b); 0 leaves that table out
        repeats=7,
        tokens=",".join(map(str, SIZES)),
        threads="1,2",
        clock="wall",
    )
