"""Progress of work that is spread over actors: they tell a counter, and the driver prints a line now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from halfiqa_ray.pipelines.progress import Progress


class Counter:
    """Counts items for the progress line (a Ray actor)."""

    def __init__(self) -> None:
        self.done, self.failed = 0, 0

    def add(self, done: int, failed: int) -> None:
        """Count items that are done, and how many of them failed."""
        self.done += done
        self.failed += failed

    def read(self) -> tuple[int, int]:
        """Items done, and failed among them."""
        return self.done, self.failed


@contextmanager
def counting(total: int, what: str, seconds: float) -> Iterator[Any]:
    """A counter actor for the length of a ``with`` block, its progress printed from a thread of the driver."""
    counter: Any = ray.remote(num_cpus=0)(Counter).remote()
    progress = Progress(total, what, seconds)
    stop = threading.Event()

    def follow() -> None:
        while True:
            last = stop.wait(min(seconds, 1))
            done, failed = ray.get(counter.read.remote())
            progress.advance(done - progress.done, failed - progress.failed)
            if last:
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        stop.set()
        thread.join()
        progress.close()
        ray.kill(counter)
