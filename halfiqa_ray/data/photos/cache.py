"""Photos at one input size, for training: decoded ahead by threads, and kept in memory as far as a bound allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray import machine
from halfiqa_ray.data.photos.images import Bounds, ImageError, read_photo

BATCHES_AHEAD = 2


class PhotoCache:
    """Numbered photos, each decoded, resized to ``height`` x ``width`` pixels and kept, while all fit ``cache_bytes``.

    What no longer fits is decoded again whenever it is asked for. Memory beyond the bound: the batches ahead.
    ``problems`` holds what was wrong with every photo that could not be read when it was last asked for.
    """

    def __init__(
        self,
        uris: Sequence[str],
        height: int,
        width: int,
        bounds: Bounds,
        cache_bytes: int,
        threads: int | None = None,
    ) -> None:
        self.uris, self.height, self.width = uris, height, width
        self.bounds = bounds
        self.slots_left = cache_bytes // (height * width * 3)
        self.kept: dict[int, NDArray[np.uint8]] = {}
        self.problems: dict[int, tuple[str, str]] = {}
        self.lock = Lock()
        self.pool = ThreadPoolExecutor(threads or min(8, machine.cores()), thread_name_prefix="decode")

    def batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        """RGB pixels (N, height, width, 3) of one batch of photos after another, as new arrays, and which are readable.

        A photo that cannot be read is zeros, and stands in ``problems``.
        """
        waiting: deque[list[NDArray[np.uint8] | Future[NDArray[np.uint8] | None]]] = deque()
        coming = iter(places)
        try:
            while True:
                while len(waiting) <= BATCHES_AHEAD and (batch := next(coming, None)) is not None:
                    waiting.append([self._begin(int(place)) for place in batch])
                if not waiting:
                    return
                ready = waiting.popleft()
                photos = [item.result() if isinstance(item, Future) else item for item in ready]
                nothing = np.zeros((self.height, self.width, 3), np.uint8)
                yield (
                    np.stack([nothing if photo is None else photo for photo in photos]),
                    np.array([photo is not None for photo in photos]),
                )
        finally:
            for item in (item for batch in waiting for item in batch if isinstance(item, Future)):
                item.cancel()

    def _begin(self, place: int) -> NDArray[np.uint8] | Future[NDArray[np.uint8] | None]:
        kept = self.kept.get(place)
        return self.pool.submit(self._read, place) if kept is None else kept

    def _read(self, place: int) -> NDArray[np.uint8] | None:
        try:
            [pixels] = read_photo(self.uris[place], self.bounds, [(self.height, self.width)]).pixels
        except ImageError as error:
            self.problems[place] = (error.kind, str(error))
            return None
        self.problems.pop(place, None)
        with self.lock:
            if place not in self.kept and self.slots_left > 0:
                self.slots_left -= 1
                self.kept[place] = pixels
        return pixels
