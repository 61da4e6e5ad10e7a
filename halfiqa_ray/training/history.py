"""The epochs of a fit as its workers publish them, told to a person while it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from halfiqa_ray import storage
from halfiqa_ray.models.fitting.training import EpochProgress, EpochReport
from halfiqa_ray.runtime.progress import duration
from halfiqa_ray.training.run_folder import RunFolder
from halfiqa_ray.training.tensorboard import write_events

LOOK_SECONDS = 0.5  # between looks at the run's history for a line to print; 10 times as long for object stores


def best_plcc(best: EpochReport | None) -> float:
    """The validation PLCC of a fit's best epoch so far; -1, the lowest there is, where it has none."""
    return -1.0 if best is None or best.plcc is None else best.plcc


def describe(report: EpochReport) -> str:
    """One line on an epoch, for a person; the time left is what it takes if no stage stops early."""
    plcc, srcc = (" none" if value is None else f"{value:5.3f}" for value in (report.plcc, report.srcc))
    left = f"at most {duration(report.seconds * report.epochs_left)} left" if report.epochs_left else "last epoch"
    return (
        f"{report.stage} {report.epoch:3d}/{report.stage_epochs}  loss {report.loss:.4f}  "
        f"validation PLCC {plcc} SRCC {srcc}  {report.images_per_second:.1f} images/s  "
        f"{left}{'  (best so far)' if report.best else ''}"
    )


def describe_progress(progress: EpochProgress) -> str:
    """One line on an epoch under way, for a person; the time left leaves validation out."""
    left = progress.of_images - progress.images + progress.of_images * progress.epochs_left
    return (
        f"{progress.stage} {progress.epoch:3d}/{progress.stage_epochs}  {progress.images:,} of {progress.of_images:,} "
        f"images  {progress.images_per_second:.1f} images/s  at most "
        f"{duration(left / progress.images_per_second)} left"
    )


class PublishedProgress:
    """Publishes how far an epoch is in its run's folder, at most every so many ``seconds``."""

    def __init__(self, folder: RunFolder, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.last = time.monotonic()

    def __call__(self, progress: EpochProgress) -> None:
        """Publish it, when the last time is long enough ago."""
        if time.monotonic() - self.last >= self.seconds:
            self.last = time.monotonic()
            with suppress(OSError):  # a store that is away for a moment must not end the fit
                self.folder.write_progress(progress)


@contextmanager
def printed_history(folder: RunFolder, name: str = "") -> Iterator[None]:
    """Print a line for every epoch, and for every progress in one, that the workers publish while the block runs."""
    seen, told, stop = len(folder.history()), folder.progress(), threading.Event()

    def print_new() -> None:
        nonlocal seen, told
        history, progress = folder.history(), folder.progress()
        if progress is not None and progress != told and len(history) == seen:
            print(f"{name}{describe_progress(progress)}\n", end="", flush=True)
        told = progress
        for report in history[seen:]:
            print(f"{name}{describe(report)}\n", end="", flush=True)  # one write: others may print at the same time
        if len(history) > seen:
            write_events(folder.tensorboard, history)
        seen = len(history)

    def look() -> None:
        while not stop.wait(LOOK_SECONDS * (10 if storage.is_remote(folder.uri) else 1)):
            try:
                print_new()
            except (OSError, ValueError):  # a store that is away for a moment must not end the fit
                continue

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        stop.set()
        looking.join()
        print_new()
