"""What scheduling costs on 1, 2, 4 and 8 nodes: photos a second against one node, with a scorer that mostly sleeps.

The nodes are raylets of this one machine with 2 logical CPUs each, so real work could not become faster: the scorer
takes as long as a real photo does, but sleeps for most of it (benchmarks/sleeping.py). Decoding, scoring of small
photos, Ray's processes and the writing of rows share the machine's cores: where N nodes are not N times one, the
machine's load says whether that is Ray or the sharing.

    make reproduce-demo    # photos and checkpoint
    python -m benchmarks.scaling --output benchmarks/results/scaling.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.local_ray import add_nodes, local_ray
from benchmarks.printing import machine, run
from benchmarks.rank_throughput import steady_rate

# With 2 CPUs a node, exactly one actor (1.25), one decoding task (0.5) and one writing task (0.25) fit on it.
NODE_CPUS = 2
FLAGS = ["--compute.device", "cpu", "--compute.cpus_per_actor", "1.25"]


def measure(nodes: int, config: str, photos: int, seconds: float) -> dict[str, Any]:
    """One job on so many nodes beside a head without CPUs: its rate, and how busy the machine was."""
    command = [sys.executable, "-m", "benchmarks.sleeping", "--config", config, "--photos", str(photos)]
    command += ["--seconds", str(seconds), "--compute.actors", str(nodes), *FLAGS]
    with local_ray(0) as head, add_nodes(head, nodes, NODE_CPUS):
        told = subprocess.run(command, env=head.environment, capture_output=True, text=True, check=False)
    if told.returncode:
        raise RuntimeError(told.stdout[-3000:] + told.stderr[-3000:])
    samples = json.loads(told.stdout.splitlines()[-1])["samples"]
    busy = [sample["busy"] for sample in samples if 0.1 * photos <= sample["done"] <= 0.9 * photos]
    rate = steady_rate([(sample["t"], sample["done"]) for sample in samples], photos)
    return {"rate": rate, "up": max(sample["up"] for sample in samples), "busy": sum(busy) / len(busy)}


def work(options: argparse.Namespace) -> Iterable[str]:
    """All sizes, as Markdown."""
    lines = [
        f"{machine()}, shared by all nodes and whatever else runs; {options.seconds} s a photo and actor, most of it "
        f"slept; one actor a node.",
        "",
        "| nodes | photos | photos a second | of one node | of the most that sleeping allows | cores busy |",
        "|---|---|---|---|---|---|",
    ]
    first = 0.0
    for nodes in map(int, options.nodes.split(",")):
        photos = options.photos * nodes
        found = measure(nodes, options.config, photos, options.seconds)
        first = first or found["rate"]
        lines.append(
            f"| {nodes} | {photos} | {found['rate']:.2f} | {found['rate'] / first:.2f} | "
            f"{found['rate'] * options.seconds / nodes:.0%} | {found['busy']:.0%} of {os.cpu_count()} |"
        )
        print(lines[-1], flush=True)
    load = Path("/proc/loadavg").read_text().split()[0]
    return [*lines, "", f"Load of the machine at the end: {load}."]


if __name__ == "__main__":
    run(__doc__, work, config="configs/made_up/koniq10k.yaml", photos=60, seconds=1.6, nodes="1,2,4,8")
