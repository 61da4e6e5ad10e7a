"""How alike the splits of a data set are in MOS and in spatial information."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.data.manifest import Row


@dataclass(frozen=True)
class Spread:
    """One value over the photos of one split; None without values. ``distance``: Kolmogorov-Smirnov, to all photos."""

    mean: float | None
    deviation: float | None
    distance: float | None


@dataclass(frozen=True)
class SplitSummary:
    """One split: its number of photos, and the spread of MOS and of spatial information in it."""

    name: str
    images: int
    mos: Spread
    spatial_information: Spread


def summarise(rows: Sequence[Row]) -> list[SplitSummary]:
    """One summary a split, in the order train, validation, test, others, and last all photos together."""
    usual = {"train": 0, "validation": 1, "test": 2}
    names = sorted({row.split for row in rows if row.split}, key=lambda name: (usual.get(name, 3), name))
    groups = [(name, [row for row in rows if row.split == name]) for name in names]
    if unsplit := [row for row in rows if row.split is None]:
        groups.append(("no split", unsplit))
    return [
        SplitSummary(
            name,
            len(group),
            _spread([row.mos for row in group], [row.mos for row in rows]),
            _spread([row.spatial_information for row in group], [row.spatial_information for row in rows]),
        )
        for name, group in [*groups, ("all", list(rows))]
    ]


def as_text(summaries: Sequence[SplitSummary]) -> str:
    """A table for the terminal."""
    heads = "".join(f"   {value + ' mean':>9}{'deviation':>10}{'KS':>7}" for value in ("MOS", "SI"))
    lines = [f"{'split':16}{'photos':>8}{heads}"]
    for summary in summaries:
        values = (summary.mos, summary.spatial_information)
        lines.append(f"{summary.name:16}{summary.images:8,}" + "".join(f"   {_cells(value)}" for value in values))
    return "\n".join(lines)


def _spread(part: Sequence[float | None], everything: Sequence[float | None]) -> Spread:
    values, reference = _known(part), _known(everything)
    if not len(values):
        return Spread(None, None, None)
    from scipy.stats import ks_2samp  # a second to import, which photos without scores need not wait for

    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), deviation, float(ks_2samp(values, reference, method="asymp").statistic))


def _known(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([value for value in values if value is not None], np.float64)


def _cells(value: Spread) -> str:
    cells = ((value.mean, 9, 3), (value.deviation, 10, 3), (value.distance, 7, 3))
    return "".join(f"{'-':>{width}}" if x is None else f"{x:{width}.{digits}f}" for x, width, digits in cells)
