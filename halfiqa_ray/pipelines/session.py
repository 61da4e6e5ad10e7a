"""The Ray session of a job: the cluster it was submitted to, or a private one on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import ray.data

from halfiqa_ray.config import Settings

LEAST_CPUS = 4
MOST_OBJECT_STORE = 2 * 2**30
NO_PROGRESS_SECONDS = 300


@contextmanager
def ray_session(settings: Settings, dashboard: bool = False) -> Iterator[None]:
    """Ray for the length of a ``with`` block.

    A session that runs already is used and left running; with RAY_ADDRESS set (as in a submitted job) that cluster is
    joined; otherwise a private session on loopback is started, and ended with the block. With ``dashboard`` that one
    has Ray's web page and State API too, on loopback and behind its token.
    """
    running = ray.is_initialized()
    if not running:
        _start(dashboard)
    before = ray.data.DataContext.get_current()
    try:
        ray.data.DataContext._set_current(_data_context(before, settings))
        yield
    finally:
        ray.data.DataContext._set_current(before)
        if not running:
            ray.shutdown()


def _start(dashboard: bool) -> None:
    # Workers report through results and errors; their own logs stay in Ray's log folder.
    if os.environ.get("RAY_ADDRESS", "local") != "local":
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
        return
    ray.init(
        address="local",  # not a cluster that somebody else left running on this machine
        include_dashboard=dashboard,
        dashboard_host="127.0.0.1",
        # Logical CPUs are tokens, not cores: with fewer than 4, a pool of actors could take them all, and the tasks
        # that read for it would wait for ever.
        num_cpus=max(LEAST_CPUS, os.cpu_count() or 1),
        object_store_memory=_object_store_bytes(),
        log_to_driver=False,
        logging_level=logging.WARNING,
    )


def _object_store_bytes() -> int:
    """An eighth of the memory, 2 GiB at most: batches pass through it quickly, and Ray's default is 30%."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(MOST_OBJECT_STORE, memory // 8)


def _data_context(before: ray.data.DataContext, settings: Settings) -> ray.data.DataContext:
    """Ray Data's settings: a stuck run ends with an error, and the terminal belongs to our own progress lines."""
    context = before.copy()
    context.execution_no_progress_timeout_s = NO_PROGRESS_SECONDS
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # it warns that the bars are off
    return context
