"""The demo data's scores: a stated formula of the damage, and simulated raters around it.

    expected = BEST - RANGE * weight * (strength / 4) * sqrt(damaged blocks / all blocks)        (scale 1 to 5)

The square root says that a small damaged part costs more than its share of the picture. `weight` is the
distortion's (distortions.py). No person has rated these pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from halfiqa_ray.data.demo.distortions import DISTORTIONS

BEST, RANGE = 4.3, 3.1  # KonIQ-10k's own MOS run from 1.10 to 4.31
VOTE_DEVIATION = 0.6  # of one rater, on the 1-5 scale
FEWEST_VOTES, MOST_VOTES = 93, 157  # KonIQ-10k's own range
SPAQ_RATERS, SPAQ_DEVIATION = 20, 12.0  # on the 0-100 scale
SPAQ_ATTRIBUTES = ("Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness")
# How much of an attribute (higher = better) the strongest damage of the whole picture takes; a guess, read by nobody.
ATTRIBUTE_LOSS = {
    "none": {},
    "gaussian_blur": {"Contrast": 0.3, "Sharpness": 1.0},
    "jpeg": {"Noisiness": 0.6, "Sharpness": 0.5},
    "noise": {"Noisiness": 1.0, "Contrast": 0.2},
    "under_exposure": {"Brightness": 1.0, "Colorfulness": 0.5, "Contrast": 0.5},
    "over_exposure": {"Brightness": 1.0, "Colorfulness": 0.4, "Contrast": 0.4},
    "contrast_loss": {"Contrast": 1.0, "Colorfulness": 0.7},
}
FORMULA = (
    f"expected MOS (1-5) = {BEST} - {RANGE} * weight * (strength / 4) * sqrt(damaged blocks / 12); undamaged: {BEST}. "
    f"KonIQ layout: {FEWEST_VOTES} to {MOST_VOTES} simulated votes from a normal distribution around it with standard "
    f"deviation {VOTE_DEVIATION}, rounded to 1..5; MOS = mean and SD = sample standard deviation of the votes; "
    "MOS_zscore = 25 * (MOS - 1), a stand-in. SPAQ layout: MOS = mean of "
    f"{SPAQ_RATERS} simulated ratings around 25 * (expected - 1) with standard deviation {SPAQ_DEVIATION}, clipped to "
    "0-100, two decimals"
)


@dataclass(frozen=True)
class Votes:
    """What one row of KonIQ's score list holds about an image."""

    counts: tuple[int, int, int, int, int]
    mos: float
    deviation: float

    @property
    def total(self) -> int:
        """Number of votes."""
        return sum(self.counts)

    @property
    def zscore(self) -> float:
        """The stand-in for KonIQ's 0-100 MOS."""
        return 25 * (self.mos - 1)


def severity(distortion: str, strength: int, damaged: float) -> float:
    """weight * strength / 4 * sqrt(damaged share): 0 (undamaged) to 1. ``distortion`` "none" is 0."""
    if distortion == "none":
        return 0.0
    return DISTORTIONS[distortion].weight * strength / 4 * float(np.sqrt(damaged))


def expected_mos(distortion: str, strength: int, damaged: float) -> float:
    """The stated formula on the 1-5 scale; ``damaged`` is the damaged share of the picture, 0 to 1."""
    return BEST - RANGE * severity(distortion, strength, damaged)


def vote(expected: float, rng: np.random.Generator) -> Votes:
    """Draw five-level votes around ``expected`` (1-5), and compute MOS and SD from the counts as KonIQ does."""
    total = int(rng.integers(FEWEST_VOTES, MOST_VOTES + 1))
    inner = stats.norm.cdf((np.arange(1.5, 5) - expected) / VOTE_DEVIATION)
    shares = np.diff(np.concatenate([[0.0], inner, [1.0]]))
    counts = rng.multinomial(total, shares)
    levels = np.arange(1, 6)
    mos = float((levels * counts).sum() / total)
    deviation = float(np.sqrt((counts * (levels - mos) ** 2).sum() / (total - 1)))
    c1, c2, c3, c4, c5 = (int(count) for count in counts)
    return Votes((c1, c2, c3, c4, c5), mos, deviation)


def rate(distortion: str, strength: int, damaged: float, rng: np.random.Generator) -> tuple[float, dict[str, float]]:
    """SPAQ's MOS (0-100, two decimals) and its five attributes, from simulated raters."""
    lost = severity(distortion, strength, damaged)
    attributes = {
        name: _mean_rating(85 - 70 * lost * ATTRIBUTE_LOSS[distortion].get(name, 0.0), rng) for name in SPAQ_ATTRIBUTES
    }
    return _mean_rating(25 * (expected_mos(distortion, strength, damaged) - 1), rng), attributes


def _mean_rating(centre: float, rng: np.random.Generator) -> float:
    ratings: NDArray[np.float64] = rng.normal(centre, SPAQ_DEVIATION, SPAQ_RATERS)
    return round(float(np.clip(ratings, 0, 100).mean()), 2)
