"""Several pieces of work at a time, each in a thread of this process: for work that waits for a cluster."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def side_by_side(works: Sequence[Callable[[], T]], at_once: int) -> list[T]:
    """What the works return, in their order; ``at_once`` of them run at the same time, one after the other if 1.

    Where some raise, the others go on to their end, and then the first one's error is raised. What stops the caller,
    Ctrl-C for example, does not wait for any: unlike a ThreadPoolExecutor's, these threads end with the process.
    """
    if at_once == 1:
        return [work() for work in works]
    waiting: queue.SimpleQueue[tuple[Callable[[], T], Future[T]]] = queue.SimpleQueue()
    futures: list[Future[T]] = []
    for work in works:
        futures.append(Future())
        waiting.put((work, futures[-1]))

    def run() -> None:
        with suppress(queue.Empty):
            while True:
                work, future = waiting.get_nowait()
                try:
                    future.set_result(work())
                except Exception as error:  # the caller gets it
                    future.set_exception(error)

    for _ in range(min(at_once, len(works))):
        threading.Thread(target=run, daemon=True).start()
    errors = [error for future in futures if (error := future.exception())]
    if errors:
        raise errors[0]
    return [future.result() for future in futures]
