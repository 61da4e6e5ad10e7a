"""The whole rank job against the bare loop over the same photos, and the memory of all processes at two sizes.

Both sides decode, resize, run backbone and subset scoring, with decoding overlapped and the same number of torch
threads in all; the job also writes Parquet. Rates are between the first and the last tenth of the photos, when actors
are up. Memory is the peak, over half-second samples, of the proportional set size (PSS: shared pages counted once) of
the driver and every Ray process. Each case runs in a process of its own.

    make reproduce-demo    # photos and checkpoint
    python -m benchmarks.rank_throughput --output benchmarks/results/rank_throughput.md
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.memory import PeakMemory
from benchmarks.printing import parser, publish


def steady_rate(times: list[tuple[float, int]], total: int) -> float:
    """Photos a second between a tenth and nine tenths of the photos, from (time, photos done) samples."""
    start = next(sample for sample in times if sample[1] >= total * 0.1)
    end = next(sample for sample in times if sample[1] >= total * 0.9)
    return (end[1] - start[1]) / (end[0] - start[0])


def repeated(plan: Any, photos: int) -> Any:
    """The manifest's rows, repeated under new ids up to ``photos`` rows."""
    import pyarrow as pa

    rows = plan.manifest
    table = pa.concat_tables([rows] * (photos // rows.num_rows + 1)).slice(0, photos)
    ids = pa.array([f"{i:06}" for i in range(photos)])
    return table.set_column(table.column_names.index("image_id"), rows.schema.field("image_id"), ids)


def bare(settings: Any, photos: int, threads: int) -> dict[str, float]:
    """The loop that a good engineer writes without Ray: blocks decoded ahead in a thread, scored in this one."""
    from halfiqa_ray.pipelines.rank import make_plan
    from halfiqa_ray.stages.decode import Decode
    from halfiqa_ray.stages.subsets import ScoreSubsets

    plan = make_plan(settings)
    size = plan.record.preprocessing
    decode = Decode(size.height, size.width)
    done: list[tuple[float, int]] = []
    stage = ScoreSubsets(
        plan.checkpoint,
        settings.rank.grid,
        threads=threads,
        done=lambda count: done.append((time.perf_counter(), (done[-1][1] if done else 0) + count)),
    )
    rows = repeated(plan, photos)
    with PeakMemory() as memory, ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(decode, rows.slice(0, 32))
        for start in range(0, photos, 32):
            block = waiting.result()
            waiting = ahead.submit(decode, rows.slice(start + 32, 32))
            stage(block)
    return {"rate": steady_rate(done, photos), "peak": memory.peak}


def job(settings: Any, photos: int, threads: int) -> dict[str, float]:
    """The Ray stream of the rank job, to Parquet, with its compaction."""
    import ray

    from halfiqa_ray.pipelines import rank
    from halfiqa_ray.runtime.counting import counting
    from halfiqa_ray.runtime.resources import plan_scorers
    from halfiqa_ray.runtime.session import ray_session
    from halfiqa_ray.stages.parts import compact

    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory:
        plan = rank.make_plan(settings)
        rows = repeated(plan, photos)
        elsewhere = settings.model_copy(update={"output": folder})
        plan = rank.Plan(elsewhere, plan.checkpoint, plan.record, plan.manifest, plan.key)
        done: list[tuple[float, int]] = []
        with ray_session(settings), counting(photos, "photos scored", 30) as counter:
            scorers = plan_scorers(settings.compute.model_copy(update={"actors": threads, "threads": 1}), photos)
            stop = threading.Event()

            def follow() -> None:
                while not stop.wait(0.1):
                    done.append((time.perf_counter(), ray.get(counter.read.remote()).done))

            thread = threading.Thread(target=follow)
            thread.start()
            for _ in rank.stream(plan, rows, scorers, counter):
                pass
            stop.set()
            thread.join()
            compact(plan.folder)
    return {"rate": steady_rate(done, photos), "peak": memory.peak}


def case(kind: str, config: str, photos: int, threads: int) -> dict[str, float]:
    """Run one case in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.rank_throughput",
        "--config",
        config,
        "--case",
        kind,
        "--photos",
        str(photos),
    ]
    told = subprocess.run([*command, "--threads", str(threads)], capture_output=True, text=True, check=False)
    if told.returncode:
        raise RuntimeError(told.stderr[-3000:])
    result: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return result


def table(config: str, small: int, large: int, threads: int) -> str:
    """All cases, as Markdown. The bare loop runs before and after the job, so that a drift of the machine shows."""
    first = case("bare", config, small * 2, threads)
    few, many = case("job", config, small, threads), case("job", config, large, threads)
    second = case("bare", config, small * 2, threads)
    loop = (first["rate"] + second["rate"]) / 2
    growth = many["peak"] / few["peak"] - 1
    return "\n".join(
        [
            f"{platform.machine()}, {os.cpu_count()} cores; {threads} torch threads on each side "
            f"(the loop: in one process; the job: one in each of {threads} actors).",
            "",
            "| | photos | photos a second | peak memory of all processes |",
            "|---|---|---|---|",
            f"| bare loop, before | {small * 2} | {first['rate']:.2f} | {first['peak'] / 2**20:.0f} MiB |",
            f"| rank job | {small} | {few['rate']:.2f} | {few['peak'] / 2**20:.0f} MiB |",
            f"| rank job | {large} | {many['rate']:.2f} | {many['peak'] / 2**20:.0f} MiB |",
            f"| bare loop, after | {small * 2} | {second['rate']:.2f} | {second['peak'] / 2**20:.0f} MiB |",
            "",
            f"rank job at {large} photos / bare loop = {many['rate'] / loop:.2f}; "
            f"peak memory at {large} against {small} photos: {growth:+.1%}.",
        ]
    )


def main() -> None:
    """Measure, print, and write if asked."""
    command = parser(__doc__)
    command.add_argument("--config", default="configs/made_up/koniq10k.yaml")
    command.add_argument("--small", type=int, default=200)
    command.add_argument("--large", type=int, default=2000)
    command.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    command.add_argument("--case", choices=("bare", "job"), help="one case only, its result as JSON")
    command.add_argument("--photos", type=int, help="photos of that case")
    options = command.parse_args()
    if options.case:
        from halfiqa_ray.config import parse

        settings = parse("rank_throughput.py", "", ["rank"], ["--config", options.config])
        work = bare if options.case == "bare" else job
        print(json.dumps(work(settings, options.photos, options.threads)))
        return
    publish([table(options.config, options.small, options.large, options.threads)], options.output)


if __name__ == "__main__":
    main()
