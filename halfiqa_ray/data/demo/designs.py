"""The demo data sets: which pictures, in whose layout, with which lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from halfiqa_ray.data.demo import lists, plan, whole
from halfiqa_ray.data.demo.lists import Records
from halfiqa_ray.data.demo.photos import SPLITS
from halfiqa_ray.data.demo.plan import Sample

Sizes = tuple[tuple[int, int], ...]  # width, height


@dataclass(frozen=True)
class Design:
    """One demo data set. ``samples`` and ``score_list`` take the seed; ``folder`` ends with / or is empty."""

    scores: str  # the score list, below the root
    score_list: Callable[[Records, int], bytes]
    images: dict[str, int]  # by split
    samples: Callable[[int], Iterable[Sample]]
    crops: str  # how pictures are cut from their photos
    splits: str  # what parts the splits
    folder: str = ""
    sizes: Sizes | None = None  # None: each photo's own shape


CROPS = "scaled down by 1 to 1.5 (retina 2 to 2.5), never up; crops of one split may overlap each other"
APART = (
    "test: photos never seen in training; test_same_photo: areas of training photos that share no pixel "
    "with any crop of another split (for the stereo pair: no scene point); validation, which only chooses the "
    "epoch: new crops of the training areas, which training crops overlap"
)


def crops(
    scores: str, score_list: Callable[[Records, int], bytes], images: dict[str, int], sizes: Sizes, folder: str = ""
) -> Design:
    """Crops of the photos, apart enough to train on some and test on others."""

    def samples(seed: int) -> Iterable[Sample]:
        return plan.samples(images, sizes, seed)

    return Design(scores, score_list, images, samples, CROPS, APART, folder, sizes)


DESIGNS: dict[str, Design] = {
    "koniq10k": crops(
        "koniq10k_scores_and_distributions.csv",
        lists.koniq_scores,
        {"train": 600, "validation": 96, "test": 72, "test_same_photo": 72},
        ((256, 192),),
    ),
    # Landscape and portrait, some not divisible by the grid.
    "spaq": crops(
        "Annotations/MOS and Image attribute scores.xlsx",
        lists.spaq_scores,
        {"train": 120, "validation": 24, "test": 36, "test_same_photo": 32},
        ((256, 192), (240, 180), (200, 150), (320, 240), (144, 192), (150, 200), (192, 256), (240, 320)),
        "TestImage/",
    ),
    # For models that have learned elsewhere: nothing is left to train on.
    "pyiqa": Design(
        "meta_info_demo.csv",
        lists.pyiqa_scores,
        dict.fromkeys(SPLITS, 0) | {"test": whole.COUNT},
        whole.samples,
        f"whole photos, each once undamaged and {whole.DAMAGED} times damaged; the longer side scaled down to at most "
        f"{whole.LONGER_SIDE} pixels, never up",
        "test: all pictures",
    ),
}
