"""Photos at one input size, for training: decoded ahead by threads, and kept in memory as far as a bound allows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.data.images import open_photo, resize

BATCHES_AHEAD = 2


class PhotoCache:
    """Numbered photos, each decoded, resized to ``height`` x ``width`` pixels and kept, while all fit ``cache_bytes``.

    What no longer fits is decoded again whenever it is asked for. Memory beyond the bound: the batches ahead.
    """

    def __init__(
        self,
        uris: Sequence[str],
        height: int,
        width: int,
        maximum_pixels: int,
        cache_bytes: int,
        threads: int | None = None,
    ) -> None:
        self.uris, self.height, self.width = uris, height, width
        self.maximum_pixels = maximum_pixels
        self.slots_left = cache_bytes // (height * width * 3)
        self.kept: dict[int, NDArray[np.uint8]] = {}
        self.lock = Lock()
        self.pool = ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1), thread_name_prefix="decode")

    def batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """RGB pixels (N, height, width, 3) of one batch of photos after another, as new arrays.

        Raises what `open_photo` raises for a photo that cannot be read, with the photo's URI in its text.
        """
        waiting: deque[list[NDArray[np.uint8] | Future[NDArray[np.uint8]]]] = deque()
        coming = iter(places)
        try:
            while True:
                while len(waiting) <= BATCHES_AHEAD and (batch := next(coming, None)) is not None:
                    waiting.append([self._begin(int(place)) for place in batch])
                if not waiting:
                    return
                ready = waiting.popleft()
                yield np.stack([item.result() if isinstance(item, Future) else item for item in ready])
        finally:
            for item in (item for batch in waiting for item in batch if isinstance(item, Future)):
                item.cancel()

    def _begin(self, place: int) -> NDArray[np.uint8] | Future[NDArray[np.uint8]]:
        kept = self.kept.get(place)
        return self.pool.submit(self._read, place) if kept is None else kept

    def _read(self, place: int) -> NDArray[np.uint8]:
        pixels = resize(open_photo(self.uris[place], self.maximum_pixels), self.height, self.width)
        with self.lock:
            if place not in self.kept and self.slots_left > 0:
                self.slots_left -= 1
                self.kept[place] = pixels
        return pixels
