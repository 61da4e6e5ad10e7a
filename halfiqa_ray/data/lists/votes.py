"""Votes for the five quality levels, as published lists give them: counts or fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from halfiqa_ray.data.problems import RowError

LEVELS = 5
SUM_TOLERANCE = 0.01  # of published fractions; their digits are cut
MOS_TOLERANCE = 0.01  # of a published MOS against the mean of its votes; lists round to two digits or more


def are_counts(votes: Sequence[Sequence[float]]) -> bool:
    """Whether a list's votes (each row 5 numbers) are counts: fractions sum to 1, counts to the number of raters.

    The whole list decides, so that one odd row cannot change the meaning of the others.
    """
    return median(sum(row) for row in votes) > 1.5


def shares(votes: Sequence[float], counts: bool, total: float | None) -> tuple[float, ...]:
    """Votes as 5 fractions that sum to 1. ``total``: the stated number of raters, checked against counts.

    Raises RowError("bad_votes").
    """
    if any(vote < 0 for vote in votes):
        raise RowError("bad_votes", f"votes {_plain(votes)} are negative")
    found = math.fsum(votes)
    if found == 0:
        raise RowError("bad_votes", "the votes are all zero")
    if not counts and abs(found - 1) > SUM_TOLERANCE:
        raise RowError("bad_votes", f"vote fractions {_plain(votes)} sum to {found:g}, not 1")
    if counts and any(vote != int(vote) for vote in votes):
        raise RowError("bad_votes", f"vote counts {_plain(votes)} are not whole")
    if counts and total is not None and found != total:
        raise RowError("bad_votes", f"vote counts {_plain(votes)} sum to {found:g}, but the list says {total:g}")
    return tuple(vote / found for vote in votes)


def mean_level(fractions: Sequence[float]) -> float:
    """The mean opinion score on 1 to 5: the sum of k p_k."""
    return math.fsum(level * share for level, share in enumerate(fractions, 1))


def _plain(votes: Sequence[float]) -> str:
    return "/".join(f"{vote:g}" for vote in votes)
