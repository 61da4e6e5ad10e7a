"""A training run that is killed twice, by worker and by driver, against one that is left alone.

The worker is killed with SIGKILL after its second epoch: Ray Train starts it again. The driver with all of its Ray
processes is killed after the fourth: the same command is given again. At the end the weights of both runs are compared.

    for job in demo_data prepare; do  # photos and manifest
      python jobs/$job.py --config configs/made_up/koniq10k.yaml --config configs/made_up/spaq.yaml; done
    python -m benchmarks.kill_and_resume --output benchmarks/results/kill_and_resume.md
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.printing import machine, run
from halfiqa_ray import storage
from halfiqa_ray.config import Settings, parse
from halfiqa_ray.models.checkpoints import read_record
from halfiqa_ray.training.run_folder import RunFolder


def ours(title: bytes, since: float) -> list[int]:
    """Process ids of Ray processes with this title that were started after ``since`` (seconds since 1970)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(title) and process.stat().st_ctime >= since:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_for(folder: RunFolder, epochs: int) -> None:
    """Until so many epochs are published."""
    while len(folder.history()) < epochs:
        time.sleep(0.05)


def work(options: argparse.Namespace) -> Iterable[str]:
    """Three runs, and their transcript."""
    lines: list[str] = []
    started = time.time()

    def say(text: str) -> None:
        lines.append(f"{time.time() - started:6.1f} s  {text}")
        print(lines[-1], flush=True)

    def command(name: str) -> list[str]:
        epochs = ["--train.main.epochs", str(options.epochs), "--train.run", name]
        files = [word for file in options.config.split(",") for word in ("--config", file)]
        return [sys.executable, "-u", "jobs/train.py", *files, *epochs]

    def settings(name: str) -> Settings:
        return parse("train.py", "", ["train"], command(name)[3:])

    def follow(name: str) -> subprocess.Popen[str]:
        say(f"$ python {' '.join(command(name)[2:])}")
        return subprocess.Popen(
            command(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def finish(process: subprocess.Popen[str]) -> None:
        told = re.sub(r"\x1b\[\d+m", "", process.communicate()[0]).splitlines()  # without colours
        lines.extend(f"          {line}" for line in told if line.strip())
        say(f"exit code {process.returncode}")

    finish(follow("undisturbed"))
    folder = RunFolder.of(settings("killed"))
    process = follow("killed")
    wait_for(folder, 2)
    for worker in ours(b"ray::RayTrainWorker", started):
        say(f"kill -9 {worker} (the training worker), {len(folder.history())} epochs published")
        os.kill(worker, signal.SIGKILL)
    wait_for(folder, 4)
    say(f"kill -9 -{process.pid} (the driver and its Ray processes), {len(folder.history())} epochs published")
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    for title in (b"ray::", b"raylet"):
        for left in ours(title, started):
            os.kill(left, signal.SIGKILL)
    finish(follow("killed"))
    first, second = (read_record(RunFolder.of(settings(name)).uri) for name in ("undisturbed", "killed"))
    curves = [[report.loss for report in RunFolder.of(settings(name)).history()] for name in ("undisturbed", "killed")]
    same = first.weights_sha256 == second.weights_sha256
    for name in ("undisturbed", "killed"):
        storage.delete_folder(RunFolder.of(settings(name)).uri)
    return [
        f"{machine()}.",
        "",
        "```",
        *lines,
        "```",
        "",
        f"Weights: {'equal to the last bit' if same else 'different'} ({first.weights_sha256[:12]}, "
        f"{second.weights_sha256[:12]}); loss curves {'equal' if curves[0] == curves[1] else 'different'} over "
        f"{len(curves[0])} epochs; metrics {'equal' if first.metrics == second.metrics else 'different'}.",
    ]


if __name__ == "__main__":
    run(__doc__, work, config="configs/made_up/koniq10k.yaml,configs/made_up/spaq.yaml", epochs=8)
