"""What is said of a look, for terminal and notebook alike."""

from __future__ import annotations

from halfiqa_ray.looking.result import Look
from halfiqa_ray.report.scale import LEVELS, level

SYNTHETIC = "SYNTHETIC DATA: this model learned scores from a formula, not from people"


def score(look: Look) -> str:
    """The score, its scale and what it means there."""
    scale = look.mos_scale
    place = level(look.score, scale.low, scale.high)
    return (
        f"score {look.score:.{look.digits}f} on {scale.low:g} to {scale.high:g}, {LEVELS[place]} "
        f"({place + 1} of {len(LEVELS)})"
    )


def kept_alone(look: Look) -> list[tuple[str, float]]:
    """Names and scores of the halves that are shown, each kept alone."""
    return [
        ("important half", look.important_score),
        ("trivial half", look.trivial_score),
        ("best half", look.best_score),
        ("worst half", look.worst_score),
    ]


def change(look: Look, score: float) -> str:
    """How a score differs from the whole photo's."""
    return f"{score - look.score:+.{look.digits}f}"
