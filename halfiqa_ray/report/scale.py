"""The scale of scores, in words and digits."""

from __future__ import annotations

LEVELS = ("bad", "poor", "fair", "good", "excellent")  # of the five-point scale, lowest first


def digits(low: float, high: float) -> int:
    """Decimals that scores between ``low`` and ``high`` are written with."""
    return 3 if high - low < 10 else 2


def level(score: float, low: float, high: float) -> int:
    """The place in ``LEVELS`` of a score between ``low`` and ``high``; what lies outside counts as the end.

    Halves are rounded up, as the page's script does.
    """
    share = min(1.0, max(0.0, (score - low) / (high - low)))
    return int(share * (len(LEVELS) - 1) + 0.5)
