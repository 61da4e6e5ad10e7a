"""Training threads that spin while they wait, that sleep, and that do both, alone and beside one busy process.

Each rate is of a process of its own, with the niceness that Ray gives its workers, because OpenMP reads its variables
when a process starts. It runs the bare loop of `benchmarks.training_speed`: no Ray. The busy process counts, and shares
the cores as Ray's own processes, decoding or another worker would. The cells are run in turn, ``--repeats`` times.

    make reproduce-demo    # or its first jobs: photos and manifest
    python -m benchmarks.waiting_threads --output benchmarks/results/waiting_threads.md
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from benchmarks.demo_models import settings_of
from benchmarks.printing import machine, run
from benchmarks.training_speed import bare, shortened
from halfiqa_ray.training.workers import WAITING

WAYS: dict[str, dict[str, str]] = {
    "spin (OpenMP's default)": {},
    "sleep (PASSIVE)": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin for microseconds, then sleep (the training job's)": WAITING,
}
NICENESS = 15  # Ray's default for its workers


def rate(model: str, photos: int, threads: int) -> float:
    """Images a second of the bare training loop in this process."""
    os.nice(NICENESS)
    with tempfile.TemporaryDirectory() as folder:
        return bare(shortened(settings_of(model, 1), folder, photos), threads)[0]


@contextmanager
def neighbour(there: bool) -> Iterator[None]:
    """A process that keeps one core busy for the block, or none."""
    if not there:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield
        finally:
            busy.kill()


def timed(waiting: dict[str, str], busy: bool, model: str, photos: int, threads: int) -> float:
    """`rate` in a fresh process with those variables, and none of the others."""
    before = {name: os.environ.pop(name, None) for name in WAITING}
    os.environ.update(waiting)
    try:
        with neighbour(busy), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            return fresh.submit(rate, model, photos, threads).result()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def work(options: argparse.Namespace) -> Iterable[str]:
    """The table."""
    threads = len(os.sched_getaffinity(0))
    rates: dict[tuple[bool, str], list[float]] = {}
    for _ in range(options.repeats):
        for busy in (False, True):
            for ways, waiting in WAYS.items():
                found = timed(waiting, busy, options.model, options.photos, threads)
                print(f"busy neighbour {busy}, {ways}: {found:.1f} images a second", flush=True)
                rates.setdefault((busy, ways), []).append(found)
    lines = []
    for busy in (False, True):
        cells = [
            f"{statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})"
            for found in (rates[busy, ways] for ways in WAYS)
        ]
        lines.append(f"| {'one busy process' if busy else 'nothing'} | {' | '.join(cells)} |")
    return [
        f"{machine(threads=threads)}; {options.model}, {options.photos} pictures of 192 x 256, batches of 8; images a "
        f"second, median and range of {options.repeats}.",
        "",
        f"| beside it runs | {' | '.join(f'threads {ways}' for ways in WAYS)} |",
        "|---" * (1 + len(WAYS)) + "|",
        *lines,
    ]


if __name__ == "__main__":
    run(__doc__, work, model="triq", photos=80, repeats=3)
