"""All 4096 block subsets of one photo: masked passes one by one, the same batched, ours, and the backbone's pass.

One run, one machine, one process; every time is the median of its repeats. The masked passes are timed on a sample of
subsets and multiplied up, and the table says so.

    python -m benchmarks.subset_scoring --output benchmarks/results/subset_scoring.md
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.printing import machine, parser, publish
from halfiqa_ray.config import BackboneSettings, ModelSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.ordinary import score_subsets
from halfiqa_ray.masking.subset_scorer import SubsetScorer
from halfiqa_ray.masking.transformer import layers_of
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.triq import Triq

SHARPENED = 50


def seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median seconds of one call, after one to warm up."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def measure(device: torch.device, sample: int, repeats: int) -> list[str]:
    """All rows of the table, as Markdown lines."""
    torch.manual_seed(0)
    settings = ModelSettings(backbone=BackboneSettings(name="resnet50", weights="none"))
    model = build_model(settings, MosScale(1, 5)).to(device).eval()
    assert isinstance(model, Triq)
    grid = Grid()
    pixels = torch.randint(0, 256, (1, settings.height, settings.width, 3), dtype=torch.uint8, device=device)
    images = model.normalise(pixels)
    with torch.inference_mode():
        features = model.feature_matrix(images)
        # Random weights give features near 0; real ones are of the order of 1.
        features = features / features.std()
    chosen = np.random.default_rng(0).choice(grid.subsets, sample, replace=False).tolist()
    scorer = SubsetScorer(model, grid)

    def backbone() -> None:
        with torch.inference_mode():
            model.feature_matrix(images)

    ours = seconds(lambda: scorer(features), repeats, device)
    cnn = seconds(backbone, repeats, device)
    one = seconds(lambda: score_subsets(model, features[0], grid, chosen), 1, device) / sample * grid.subsets
    batched = {
        size: seconds(lambda size=size: score_subsets(model, features[0], grid, chosen, size), 1, device)  # type: ignore[misc]
        / sample
        * grid.subsets
        for size in ((2, 4, 8, 16) if device.type == "cpu" else (16, 64))
    }
    best = min(batched, key=lambda size: batched[size])
    plain, _ = score_subsets(model, features[0], grid, chosen)
    sizes = ", ".join(map(str, batched))
    difference = float((plain - scorer(features).scores_NS[0, chosen]).abs().max())
    spread = float(scorer(features).scores_NS.std())
    both = images.shape[0] / (ours + cnn)
    # A trained first layer is far sharper than a random one: the same weights with queries scaled up stand for it.
    with torch.no_grad():
        layers_of(model)[0].attention.query.weight *= SHARPENED
    sharp_scorer = SubsetScorer(model, grid)
    sharp = seconds(lambda: sharp_scorer(features), repeats, device)
    assert sharp_scorer.sharp_images == repeats + 1
    return [
        f"{machine(device, torch.get_num_threads())}; 768 x 1024 photo, 768 tokens, 2 layers, width 32, 8 heads, "
        "3 x 4 blocks, float32.",
        "",
        "| | what | seconds a photo | times ours |",
        "|---|---|---|---|",
        f"| a | 4096 masked passes, one by one ({sample} timed, multiplied up) | {one:.2f} | {one / ours:.0f} |",
        f"| b | the same, {best} subsets a pass (best of {sizes}; {sample} timed, multiplied up) "
        f"| {batched[best]:.2f} | {batched[best] / ours:.0f} |",
        f"| c | all 4096 subsets, ours | {ours:.3f} | 1 |",
        f"| c, sharp | the same with {SHARPENED} times larger logits in the first layer, as training makes them "
        f"(float64 there) | {sharp:.3f} | {sharp / ours:.2f} |",
        f"| d | ResNet-50 pass | {cnn:.3f} | {cnn / ours:.2f} |",
        "",
        f"(a) / (c) = {one / ours:.0f}; (c) / (d) = {ours / cnn:.2f}; "
        f"largest difference (a) - (c) over {sample} subsets: {difference:.1e} MOS "
        f"(standard deviation of the scores over subsets: {spread:.3f}); "
        f"backbone and all subsets: {both:.2f} photos a second.",
    ]


def main() -> None:
    """Measure, print, and write if asked."""
    command = parser(__doc__)
    command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    command.add_argument("--sample", type=int, default=256, help="subsets to time for (a) and (b)")
    command.add_argument("--repeats", type=int, default=7, help="repeats of (c) and (d)")
    options = command.parse_args()
    publish(measure(torch.device(options.device), options.sample, options.repeats), options.output)


if __name__ == "__main__":
    main()
