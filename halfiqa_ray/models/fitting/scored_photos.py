"""The photos that a fit learns from and is judged by, and where their pixels come from.

Shape suffixes: N images, H and W pixels, C channels, 5 the quality levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoredPhotos:
    """The photos of one split that have a MOS.

    ``places`` are their indices in the pixel source, ``mos_N`` float64 in native units, ``labels_N5`` float32 level
    distributions, ``groups_N`` the number of the photo that each is a crop of (all different for whole photos).
    """

    image_ids: tuple[str, ...]
    places: NDArray[np.int64]
    mos_N: NDArray[np.float64]
    labels_N5: NDArray[np.float32]
    groups_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_ids)


def photos_of(
    image_ids: Sequence[str],
    mos: Sequence[float],
    labels_N5: NDArray[np.float32],
    rows: Sequence[int],
    source_photos: Sequence[str | None] | None = None,
) -> ScoredPhotos:
    """The photos at ``rows`` of columns that cover the whole pixel source; no source photo = it is its own."""
    chosen = np.asarray(rows, dtype=np.int64)
    sources = [(source_photos[row] if source_photos else None) or image_ids[row] for row in chosen]
    return ScoredPhotos(
        tuple(image_ids[row] for row in chosen),
        chosen,
        np.asarray(mos, dtype=np.float64)[chosen],
        labels_N5[chosen],
        np.unique(np.array(sources, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64),
    )


# Decoded photos at one size: uint8 RGB (N, H, W, 3), and which of them could be read: bool (N,); the others are zeros.
PhotoBatch = tuple[NDArray[np.uint8], NDArray[np.bool_]]


class Pixels(Protocol):
    """Where photos come from, decoded and at the model's input size.

    ``problems`` says for every place that could not be read so far what was wrong: kind and message.
    """

    problems: dict[int, tuple[str, str]]

    def batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[PhotoBatch]:
        """The pixels of one batch of photos after another; the caller may change them."""
