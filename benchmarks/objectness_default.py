"""How well the objectness that needs no download finds known foregrounds, beside simpler guesses.

Foregrounds are random smooth shapes filled from one photograph and laid over another (or over another part of the
same one), so that every pixel's truth is known. They are not objects that people marked: published figures on such data
(MSRA, ECSSD) say more about real objects, these about this implementation.

    python -m benchmarks.objectness_default --u2netp u2netp.onnx --output benchmarks/results/objectness_default.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from benchmarks.printing import parser, publish
from halfiqa_ray.data.demo.photos import PHOTOS
from halfiqa_ray.data.photos.images import resize
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means, high_blocks
from halfiqa_ray.measures.boundary_connectivity import boundary_connectivity
from halfiqa_ray.measures.pixels import Pixels
from halfiqa_ray.measures.saliency import spectral_residual
from halfiqa_ray.measures.salient_object import SalientObject

HEIGHT, WIDTH = 288, 384
BETA_SQUARED = 0.3  # of the F-measure, as in R. Achanta et al., "Frequency-tuned salient region detection" (CVPR 2009)
KINDS = {
    "inside": "from another photo, wholly inside",
    "cut": "from another photo, cut by the border",
    "same": "from the same photo, wholly inside",
}
COLUMNS = ("AUC", "F", "share of it in the high half of 3 x 4 blocks")


@dataclass(frozen=True)
class Composition:
    """A photo with a known foreground."""

    name: str
    background: str
    pixels_HW3: Pixels
    foreground_HW: NDArray[np.bool_]


def centre_prior(pixels_HW3: Pixels) -> NDArray[np.float32]:
    """A Gaussian around the image's centre, of a quarter of each side."""
    height, width = pixels_HW3.shape[:2]
    down = (np.arange(height) + 0.5) / height - 0.5
    across = (np.arange(width) + 0.5) / width - 0.5
    return np.exp(-(down[:, None] ** 2 + across[None, :] ** 2) / (2 * 0.25**2)).astype(np.float32)


def everywhere(pixels_HW3: Pixels) -> NDArray[np.float32]:
    """Chance: no pixel before another."""
    return np.ones(pixels_HW3.shape[:2], np.float32)


METHODS: dict[str, Callable[[Pixels], NDArray[np.float32]]] = {
    "boundary connectivity (the default)": boundary_connectivity,
    "spectral residual (the saliency measure)": spectral_residual,
    "centre prior": centre_prior,
    "chance (all pixels alike)": everywhere,
}


def shape(random: np.random.Generator, cut: bool) -> NDArray[np.bool_]:
    """A smooth closed shape of 3 to 25 percent of the image; its centre on the border if it is to be cut."""
    harmonics = np.arange(1, 6)
    sizes, phases = random.normal(0, 0.25, 5) / harmonics, random.uniform(0, 2 * np.pi, 5)
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    while True:
        share = random.uniform(0.03, 0.25)
        radius = np.sqrt(share * HEIGHT * WIDTH / np.pi)
        centre = np.array([random.uniform(0, HEIGHT), random.uniform(0, WIDTH)])
        if cut:
            side = random.integers(4)
            centre[side % 2] = (0, (HEIGHT, WIDTH)[side % 2])[side // 2]
        angle = np.arctan2(row - centre[0], column - centre[1])
        edge = radius * np.exp((sizes * np.cos(harmonics * angle[..., None] + phases)).sum(-1))
        inside = np.hypot(row - centre[0], column - centre[1]) < edge
        touches = inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any()
        if touches == cut and 0.02 < inside.mean() < 0.35:
            return inside


def crop(pixels_HW3: Pixels, random: np.random.Generator) -> Pixels:
    """A random part of a photo, at least 70 percent of what its shape allows, at the composition's size."""
    height, width = pixels_HW3.shape[:2]
    scale = min(height / HEIGHT, width / WIDTH) * random.uniform(0.7, 1)
    rows, columns = int(HEIGHT * scale), int(WIDTH * scale)
    top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
    return resize(np.ascontiguousarray(pixels_HW3[top : top + rows, left : left + columns]), HEIGHT, WIDTH)


def compositions(kind: str, each: int) -> Iterator[Composition]:
    """``each`` foregrounds over every colour photo."""
    photos = {photo.name: photo.pixels()[0] for photo in PHOTOS if not photo.grey}
    for number, background in enumerate(photos):
        others = [name for name in photos if name != background]
        for i in range(each):
            random = np.random.default_rng([list(KINDS).index(kind), number, i])
            source = background if kind == "same" else others[random.integers(len(others))]
            inside = shape(random, kind == "cut")
            alpha = ndimage.gaussian_filter(inside.astype(float), 0.7)[..., None]
            mixed = alpha * crop(photos[source], random) + (1 - alpha) * crop(photos[background], random)
            yield Composition(f"{kind} {background} {i}", background, np.rint(mixed).astype(np.uint8), inside)


def judge(map_HW: NDArray[np.float32], composition: Composition) -> tuple[float, float, float]:
    """AUC, F at twice the map's mean, and the share of the foreground in the six blocks with the higher means."""
    truth = composition.foreground_HW
    ranks = stats.rankdata(map_HW)
    positive, negative = truth.sum(), (~truth).sum()
    auc = (ranks.reshape(truth.shape)[truth].sum() - positive * (positive + 1) / 2) / (positive * negative)
    marked = map_HW >= min(2 * map_HW.mean(), map_HW.max())
    precision, recall = (marked & truth).sum() / marked.sum(), (marked & truth).sum() / positive
    both = BETA_SQUARED * precision + recall
    f = (1 + BETA_SQUARED) * precision * recall / both if both else 0.0
    grid = Grid()
    high = high_blocks(block_means(map_HW, grid), composition.name, 1).mask
    in_high = (high >> grid.cells(HEIGHT, WIDTH) & 1).astype(bool)
    return float(auc), float(f), float((in_high & truth).sum() / positive)


def interval(values_NC: NDArray[np.float64], backgrounds: list[str]) -> NDArray[np.float64]:
    """95% bootstrap interval of each column's mean over background photos: (2, C)."""
    names = sorted(set(backgrounds))
    means = np.array([values_NC[np.array(backgrounds) == name].mean(0) for name in names])
    drawn = np.random.default_rng(0).integers(len(names), size=(2000, len(names)))
    return np.quantile(means[drawn].mean(1), [0.025, 0.975], axis=0)


def report(each: int, methods: Mapping[str, Callable[[Pixels], NDArray[np.float32]]]) -> list[str]:
    """The table as Markdown lines."""
    lines = [f"| foreground | method | {' | '.join(COLUMNS)} |", "|---|---|---|---|---|"]
    for kind, words in KINDS.items():
        made = list(compositions(kind, each))
        backgrounds = [one.background for one in made]
        for name, method in methods.items():
            maps = [method(one.pixels_HW3) for one in made]
            values = np.array([judge(map_HW, one) for map_HW, one in zip(maps, made, strict=True)])
            low, high = interval(values, backgrounds)
            cells = [f"{m:.2f} [{a:.2f}, {b:.2f}]" for m, a, b in zip(values.mean(0), low, high, strict=True)]
            lines.append(f"| {words} (n = {len(made)}) | {name} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"Means with 95% bootstrap intervals over the {len(set(backgrounds))} background photos; F with beta^2 = 0.3 "
        f"at twice the map's mean; {HEIGHT} x {WIDTH} compositions, foregrounds of 2 to 35% of the image.",
    ]


def main() -> None:
    """Measure, print, and write if asked."""
    command = parser(__doc__)
    command.add_argument("--each", type=int, default=10, help="foregrounds over every photo and kind")
    command.add_argument("--u2netp", help="path of u2netp.onnx, for a row of its own")
    options = command.parse_args()
    methods = dict(METHODS)
    if options.u2netp:
        methods["U2-Netp (its weights are the user's to fetch)"] = SalientObject.load(options.u2netp)
    publish(report(options.each, methods), options.output)


if __name__ == "__main__":
    main()
