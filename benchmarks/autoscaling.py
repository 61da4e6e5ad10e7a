"""A rank job in a cluster that has no worker when it comes: nodes are added for it, its pool grows, nodes go again.

The head has no CPU of its own and the autoscaler two kinds of nodes, one with a GPU. They are processes of this machine
(Ray's fake node provider) and their GPUs are a number: what is shown is the asking, the growing and the going. The
scorer sleeps as long as a real photo takes (benchmarks/sleeping.py). Both versions of Ray's autoscaler.

    make reproduce-demo    # photos and checkpoint
    python -m benchmarks.autoscaling --output benchmarks/results/autoscaling.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.local_ray import growing_ray
from benchmarks.printing import machine, run

NODE_TYPES = {
    "gpu": {"resources": {"CPU": 2, "GPU": 1}, "max_workers": 3},
    "cpu": {"resources": {"CPU": 4}, "max_workers": 1},
}
IDLE_MINUTES = 0.2


def grow(version: int, config: str, photos: int, seconds: float, *flags: str) -> dict[str, Any]:
    """One job in a cluster of its own; what `benchmarks.sleeping` prints."""
    command = [sys.executable, "-m", "benchmarks.sleeping", "--config", config, "--compute.device", "cuda"]
    command += ["--photos", str(photos), "--seconds", str(seconds), "--until-gone", *flags]
    with growing_ray(NODE_TYPES, cpus=0, idle_minutes=IDLE_MINUTES, version=version) as head:
        told = subprocess.run(command, env=head.environment, capture_output=True, text=True, check=False)
    if told.returncode:
        raise RuntimeError(told.stdout[-3000:] + told.stderr[-3000:])
    result: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return result


def timeline(samples: list[dict[str, Any]]) -> list[str]:
    """A row of Markdown whenever nodes or actors change."""
    lines = [
        "| seconds | nodes besides the head | scoring actors up | waiting | photos scored |",
        "|---|---|---|---|---|",
    ]
    before: Any = None
    for seen in samples:
        workers = {kind: count for kind, count in sorted(seen["nodes"].items()) if kind != "head"}
        if (now := (workers, seen["up"], seen["waiting"])) != before:
            before = now
            said = ", ".join(f"{count} {kind}" for kind, count in workers.items()) or "none"
            lines.append(f"| {seen['t']:.0f} | {said} | {seen['up']} | {seen['waiting']} | {seen['done']} |")
    return lines


def work(options: argparse.Namespace) -> Iterable[str]:
    """Both versions, as Markdown."""
    lines = [f"{machine()}; nodes are processes of it and their GPUs only numbers; {options.seconds} s a photo, slept."]
    for version in (1, 2):
        found = grow(version, options.config, options.photos, options.seconds)
        left = found["samples"][-1]
        lines += [
            "",
            f"Autoscaler version {version}, planned: {found['scorers']}.",
            "",
            *timeline(found["samples"]),
            "",
            f"{found['written']} of {options.photos} rows written, the job ended after {found['ended']:.0f} s; "
            + (
                f"the last node was gone {left['t'] - found['ended']:.0f} s later (idle timeout "
                f"{60 * IDLE_MINUTES:.0f} s)."
                if set(left["nodes"]) == {"head"}
                else f"nodes left: {left['nodes']}."
            ),
        ]
    return lines


if __name__ == "__main__":
    run(__doc__, work, config="configs/made_up/koniq10k.yaml", photos=120, seconds=1.0)
