"""What each stage of an experiment costs, in seconds per 1,000 images, one by one and all in one stream.

Takes the manifest and the checkpoints of a finished run of the demo experiment and runs the jobs, as a user does, into
an output of their own. Seconds are those of the run records: of the stage's own work, starting its actors included,
starting Ray not.

    make reproduce-demo
    python -m benchmarks.stage_costs --output benchmarks/results/stage_costs.md

The smaller demo data set is the default: 212 photos, at the same input size.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.printing import machine, run

ALONE = ["--rank.measure", "false", "--rank.zero", "false", "--rank.tables", "false"]


def job(name: str, options: argparse.Namespace, output: Path, *flags: str) -> dict[str, Any]:
    """Run a job into ``output``; its run record."""
    configs = [word for file in options.config.split(",") for word in ("--config", file)]
    command = [sys.executable, f"jobs/{name}.py", *configs, "--output", str(output), *flags]
    subprocess.run(command, check=True)
    records = sorted(output.glob(f"runs/{name}-*.json"))
    found: dict[str, Any] = json.loads(records[-1].read_text()) if records else {}
    return found


def fresh(options: argparse.Namespace, folder: Path) -> Path:
    """An output with manifest and checkpoints alone."""
    for name in ("manifest", "checkpoints"):
        shutil.copytree(Path(options.experiment) / name, folder / name)
    return folder


def line(what: str, record: dict[str, Any], stages: tuple[str, ...], note: str = "") -> str:
    """A row of the table: the seconds of some stages over the images that were worked on."""
    planned = record["planned"]
    images = planned["zeroed_photos"] if what.startswith("zero") else planned["photos"]
    passes = planned["forward_passes"] + planned.get("second_pass_forward_passes", 0)
    seconds = sum(record["seconds"].get(stage, 0) for stage in stages)
    said = "" if what == "tables" else f"{passes:,}"
    return f"| {what} | {images:,} | {said} | {seconds:.1f} | {1000 * seconds / images:.0f} | {note} |"


def work(options: argparse.Namespace) -> Iterable[str]:
    """The jobs one by one, then the one stream."""
    stream = ("band means", "score", "compact", "second pass", "second compact")
    with tempfile.TemporaryDirectory() as scratch:
        apart, together = (fresh(options, Path(scratch) / name) for name in ("apart", "together"))
        ranked = job("rank", options, apart, *ALONE)
        measured = job("measure", options, apart)
        zeroed = job("zero", options, apart)
        whole = job("rank", options, together)
    said = len(zeroed["models"])
    return [
        f"{machine()}; `{options.config}`. Forward passes are those planned: equal masks of an image are run once.",
        "",
        "| stage | images | forward passes at most | seconds | seconds per 1,000 images | |",
        "|---|---|---|---|---|---|",
        line("rank: decode, feature matrix, all block subsets", ranked, stream),
        line("measure: decode, five measures and their average", measured, stream),
        line("zero: decode, halves zeroed", zeroed, stream, f"{said} models, {len(zeroed['rankings'])} rankings"),
        line("all three in one stream", whole, stream, "zeroing of the test splits only"),
        line("tables", whole, ("tables",)),
    ]


if __name__ == "__main__":
    run(__doc__, work, config="configs/made_up/koniq10k.yaml,configs/made_up/spaq.yaml", experiment="results/made_up")
