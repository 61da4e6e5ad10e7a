"""Photos for training from Ray Data: decoded by tasks on any node with free CPUs, given in the order asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from numpy.typing import NDArray

from halfiqa_ray import machine
from halfiqa_ray.data.photos.images import Bounds
from halfiqa_ray.stages.decode import Decode, pixels_of

BATCHES_AHEAD = 2
PHOTOS_OF_A_TASK = 32  # of 8, half of what a task costs is Ray's, where photos are small


class RayDataPixels:
    """What `PhotoCache` gives, decoded elsewhere and anew each time, so that neither memory nor one node bounds it.

    Every call of ``batches`` is one Ray Data execution over the photos in their order. As many photos are decoded at a
    time as this machine has cores.
    """

    def __init__(self, uris: Sequence[str], height: int, width: int, bounds: Bounds, decode_cpus: float) -> None:
        self.uris, self.height, self.width = uris, height, width
        self.bounds, self.decode_cpus = bounds, decode_cpus
        self.problems: dict[int, tuple[str, str]] = {}

    def batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        """RGB pixels (N, height, width, 3) of one batch of photos after another, as new arrays, and which are readable.

        A photo that cannot be read is zeros, and stands in ``problems``.
        """
        if not len(places):
            return
        photos: Any = ray.data.from_arrow([self._rows(np.concatenate(parts)) for parts in _tasks(places)])
        photos.context.execution_options.preserve_order = True
        photos.context.enable_progress_bars = False
        photos.context.print_on_execution_start = False
        decoded = photos.map_batches(
            Decode(self.height, self.width, bounds=self.bounds).__call__,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=self.decode_cpus,
            # Without a bound as many processes are started as Ray has room for, each of which imports Ray, and they are
            # ended soon after the epoch's photos are decoded: on two cores that took a third of the speed.
            compute=ray.data.TaskPoolStrategy(machine.cores()),
        )
        sizes = {len(part) for part in places[:-1]}
        assert len(sizes) <= 1, "all batches but the last are of one size"  # noqa: S101
        for batch in decoded.iter_batches(
            batch_size=len(places[0]), batch_format="pyarrow", prefetch_batches=BATCHES_AHEAD
        ):
            readable_N = batch["error"].combine_chunks().is_null().to_numpy(zero_copy_only=False)
            for said in batch.select(["place", "error", "message"]).to_pylist():
                self.problems.pop(said["place"], None)
                if said["error"]:
                    self.problems[said["place"]] = (said["error"], said["message"])
            pixels_NHWC = np.zeros((batch.num_rows, self.height, self.width, 3), np.uint8)
            for row, photo in pixels_of(batch):
                pixels_NHWC[row] = photo
            yield pixels_NHWC, readable_N

    def _rows(self, places: NDArray[np.int64]) -> pa.Table:
        return pa.table({"place": places, "uri": [self.uris[place] for place in places]})


def _tasks(places: Sequence[NDArray[np.int64]]) -> Iterator[Sequence[NDArray[np.int64]]]:
    """The batches of one task after another: whole ones, of `PHOTOS_OF_A_TASK` photos together where they are small."""
    batches = max(1, PHOTOS_OF_A_TASK // len(places[0]))
    return (places[start : start + batches] for start in range(0, len(places), batches))
