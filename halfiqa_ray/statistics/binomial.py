"""An interval for a share of hits."""

from __future__ import annotations

from scipy.stats import binomtest


def binomial_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of ``hits`` out of ``n`` independent trials, within [0, 1]; (0, 1) for no trials.

    Raises ValueError when ``hits`` is not in 0 .. n.
    """
    if n == 0 and hits == 0:
        return 0.0, 1.0
    interval = binomtest(hits, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)
