"""The rank job's stream with a scorer that also sleeps, so that many simulated nodes can share few cores.

It scores each photo as it is (of small photos, quickly) and then sleeps for the rest of the time that a real photo
takes. What is real: Ray's scheduling, decoding, scores, files. What is not: that the nodes have cores of their own.
Started by other benchmarks, in a cluster that RAY_ADDRESS names; prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from benchmarks.rank_throughput import repeated
from halfiqa_ray import storage
from halfiqa_ray.config import Settings, parse
from halfiqa_ray.pipelines import rank
from halfiqa_ray.pipelines.photo_stream import ScoringActor
from halfiqa_ray.runtime.counting import actors_up, counting
from halfiqa_ray.runtime.resources import plan_scorers
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.parts import finished_ids

GONE_SECONDS = 120  # to wait for nodes to go


class SleepingActor(ScoringActor):
    """Takes ``seconds`` a photo, of which scoring is a part."""

    seconds = 0.0

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score, and sleep."""
        start = time.monotonic()
        scored = super().__call__(rows)
        time.sleep(max(0.0, self.seconds * rows.num_rows - (time.monotonic() - start)))
        return scored


def sleeping(seconds_a_photo: float) -> type[SleepingActor]:
    """A scorer that takes so many seconds a photo."""
    return type("SleepingActor", (SleepingActor,), {"seconds": seconds_a_photo})


def busy_meter() -> Callable[[], float]:
    """A function that gives the share of this machine's cores that was busy since it was called last."""

    def read() -> tuple[float, float]:
        times = [float(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(times), times[3] + times[4]  # all, idle and waiting for a disk

    before = read()

    def since() -> float:
        nonlocal before
        (total, idle), (total_before, idle_before), before = read(), before, read()
        return 1 - (idle - idle_before) / max(total - total_before, 1.0)

    return since


def nodes() -> dict[str, int]:
    """How many nodes of each kind run: head, gpu, cpu."""
    kinds: Counter[str] = Counter()
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            kinds["head" if "node:__internal_head__" in has else "gpu" if has.get("GPU") else "cpu"] += 1
    return dict(kinds)


def run(settings: Settings, photos: int, seconds: float, until_gone: bool) -> dict[str, Any]:
    """Rank so many photos into a folder that is thrown away; times are in seconds since the job began."""
    samples: list[dict[str, Any]] = []
    busy = busy_meter()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        plan = rank.make_plan(settings)
        rows = repeated(plan, photos)
        plan = replace(plan, settings=settings.model_copy(update={"output": folder}))
        with ray_session(plan.settings, rows["uri"].to_pylist()):
            # Logical GPUs only: what asks for one computes on CPU.
            scorers = replace(plan_scorers(settings.compute, photos), device="cpu", threads=1, batch_size=1)
            print(scorers, flush=True)
            stop = threading.Event()
            with counting(photos, "photos scored", settings.compute.progress_seconds, 30, "SleepingActor") as counter:

                def sample() -> None:
                    counts = ray.get(counter.read.remote())
                    up, waiting = actors_up("SleepingActor")
                    seen = {"t": time.monotonic() - started, "done": counts.done, "nodes": nodes()}
                    samples.append(seen | {"up": up, "waiting": waiting, "busy": busy()})

                def follow() -> None:
                    while not stop.wait(0.25):
                        sample()

                thread = threading.Thread(target=follow)
                thread.start()
                for _ in rank.stream(plan, rows, scorers, counter, sleeping(seconds)):
                    pass
                stop.set()
                thread.join()
                sample()
            ended = time.monotonic() - started
            while until_gone and set(nodes()) != {"head"} and time.monotonic() - started - ended < GONE_SECONDS:
                time.sleep(0.25)
                gone = {"t": time.monotonic() - started, "done": photos, "nodes": nodes(), "up": 0, "waiting": 0}
                samples.append(gone)
            written = len(finished_ids(plan.folder))
        assert written == photos
        assert storage.list_files(plan.errors) == []
    return {"scorers": str(scorers), "samples": samples, "ended": ended, "written": written}


def main() -> None:
    """One run."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--config", default="configs/made_up/koniq10k.yaml")
    command.add_argument("--photos", type=int, required=True)
    command.add_argument("--seconds", type=float, required=True, help="seconds a photo takes")
    command.add_argument("--until-gone", action="store_true", help="wait until only the head is left")
    options, more = command.parse_known_args()
    settings = parse("sleeping.py", "", ["rank", "compute"], ["--config", options.config, *more])
    print(json.dumps(run(settings, options.photos, options.seconds, options.until_gone)))


if __name__ == "__main__":
    main()
