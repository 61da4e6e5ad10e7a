"""Progress of work that is spread over actors: they tell a counter, and the driver prints a line now and then.

Each stage also tells how long it took, for the run record, and what it did, as metrics of Ray (which its dashboard and
Prometheus show); where nothing moves any longer, the driver says what is waited for.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import ray
import ray._private.state
from ray.exceptions import RayError
from ray.util.metrics import Counter as Metric
from ray.util.metrics import Histogram
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from halfiqa_ray.runtime.progress import duration, make_progress

STALL_SECONDS = 60
READ_SECONDS = 30
SECONDS_BOUNDARIES = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]


@dataclass
class Counts:
    """Photos done, failed among them, and the photos and seconds of every stage, added up over all actors and tasks.

    Of models whose passes are not plain the largest change by half precision, and why they are not compiled.
    """

    done: int = 0
    failed: int = 0
    photos: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)
    not_compiled: dict[str, str] = field(default_factory=dict)


class Counter:
    """Counts items for the progress line, and what stages took (a Ray actor)."""

    def __init__(self) -> None:
        self.counts = Counts()

    def add(self, done: int, failed: int) -> None:
        """Count items that are done, and how many of them failed."""
        self.counts.done += done
        self.counts.failed += failed

    def took(self, stage: str, photos: int, seconds: float) -> None:
        """Count what a stage did."""
        self.counts.photos[stage] = self.counts.photos.get(stage, 0) + photos
        self.counts.seconds[stage] = self.counts.seconds.get(stage, 0.0) + seconds

    def passes_are(self, model: str, change: float | None, not_compiled: str) -> None:
        """Keep what an actor saw of a model's passes."""
        if change is not None:
            self.counts.changes[model] = max(change, self.counts.changes.get(model, 0.0))
        if not_compiled:
            self.counts.not_compiled[model] = not_compiled

    def read(self) -> Counts:
        """Everything so far."""
        return self.counts


@dataclass(frozen=True)
class Timed:
    """A stage that tells the counter and Ray's metrics what it took. Its first argument is a table, a row a photo."""

    name: str
    stage: Callable[..., Any]
    counter: Any

    def __call__(self, rows: pa.Table, *more: Any) -> Any:
        """Run the stage."""
        start = time.perf_counter()
        result = self.stage(rows, *more)
        seconds = time.perf_counter() - start
        self.counter.took.remote(self.name, rows.num_rows, seconds)
        photos, took, _ = _metrics()
        if rows.num_rows:  # a counter of Ray's takes no 0
            photos.inc(rows.num_rows, {"stage": self.name})
        took.observe(seconds, {"stage": self.name})
        return result


def count_errors(rows: pa.Table) -> pa.Table:
    """Tell Ray's metrics of the photos in rows with ``error`` set, by the kind of error; the rows as they are."""
    _, _, failed = _metrics()
    for kind in rows["error"].to_pylist():
        if kind is not None:
            failed.inc(1, {"kind": kind})
    return rows


@functools.cache
def _metrics() -> tuple[Metric, Histogram, Metric]:
    """Once a process: photos and seconds by stage, and failed photos by kind."""
    return (
        Metric("halfiqa_photos", "Photos that went through a stage.", ("stage",)),
        Histogram("halfiqa_stage_seconds", "Seconds of one call of a stage.", SECONDS_BOUNDARIES, ("stage",)),
        Metric("halfiqa_failed_photos", "Photos that became rows of the errors table.", ("kind",)),
    )


class CounterHere:
    """A counter in this process, called as the actor is, by one thread at a time as that is."""

    def __init__(self) -> None:
        counter, self._lock = Counter(), threading.Lock()
        for name in ("add", "took", "passes_are", "read"):
            setattr(self, name, SimpleNamespace(remote=partial(self._call, getattr(counter, name))))

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            return method(*arguments)


@contextmanager
def counting(
    total: int,
    what: str,
    seconds: float,
    stall_seconds: float = STALL_SECONDS,
    actor: str | None = None,
    here: bool = False,
) -> Iterator[Any]:
    """A counter actor for the length of a ``with`` block, its progress printed from a thread of the driver.

    When nothing is done for ``stall_seconds`` it prints what is waited for, and again each time that long; ``actor`` is
    the class of the actors that do the work. Where this process does it, the counter is ``here`` too.
    """
    counter: Any = CounterHere() if here else _counter_actor()
    progress = make_progress(total, what, seconds)
    stop = threading.Event()

    def follow() -> None:
        moved = time.monotonic()
        while True:
            last = stop.wait(min(seconds, 1))
            try:
                counts = _read(counter)
            except RayError as error:
                progress.say(f"{what}: not counted any longer ({type(error).__name__}); the work goes on")
                return
            if counts.done > progress.done:
                moved = time.monotonic()
            progress.advance(counts.done - progress.done, counts.failed - progress.failed)
            if last:
                return
            if time.monotonic() - moved >= stall_seconds:
                moved = time.monotonic()
                progress.say(f"no {what} for {duration(stall_seconds)}: {waits_for(counts, actor)}")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        stop.set()
        thread.join()
        progress.close()
        if not here:
            ray.kill(counter)


def _counter_actor() -> Any:
    # On the driver's node: on another one it would go when an autoscaler takes that away.
    own = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return cast(Any, ray.remote(Counter)).options(num_cpus=0, scheduling_strategy=own).remote()


def _read(counter: Any) -> Counts:
    read = counter.read.remote()
    return read if isinstance(read, Counts) else cast(Counts, ray.get(read, timeout=READ_SECONDS))


def last_counts(counter: Any) -> Counts:
    """All counts of a stream that is done, or none where the counter went with its node, which is said."""
    try:
        return _read(counter)
    except RayError as error:
        print(f"what each stage took is lost ({type(error).__name__}); the work is done", flush=True)
        return Counts()


def waits_for(counts: Counts, actor: str | None) -> str:
    """How far the stages are, which actors are up, and what is free in the cluster: the reason is among them."""
    said = [", ".join(f"{stage} {photos:,} photos" for stage, photos in counts.photos.items()) or "no stage has begun"]
    if actor is not None:
        up, waiting = actors_up(actor)
        said.append(f"{up} scoring actors are up" + (f" and {waiting} wait for room" if waiting else ""))
    free, all_of_it = ray.available_resources(), ray.cluster_resources()
    said.append(
        "free " + ", ".join(f"{free.get(name, 0):g} of {all_of_it.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
    )
    nodes = sum(1 for node in ray.nodes() if node["Alive"])
    return "; ".join([*said, f"{nodes} node{'s' * (nodes != 1)} running"])


def actors_up(actor: str) -> tuple[int, int]:
    """How many of this job's actors of a class are up, and how many wait for a node with room or are starting."""
    job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
    there = ray._private.state.actors(job_id=job).values()  # ray.util.state would need a dashboard
    states = [each["State"] for each in there if actor in each["ActorClassName"] and each["State"] != "DEAD"]
    return states.count("ALIVE"), len(states) - states.count("ALIVE")
