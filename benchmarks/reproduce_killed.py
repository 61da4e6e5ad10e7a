"""A whole experiment killed at random moments and started again, against one that nobody disturbed.

`jobs/reproduce.py` runs once undisturbed, unless ``--undisturbed`` names the output of such a run. Then it runs into
another output and is killed with SIGKILL, driver and all of its Ray processes, at moments drawn over the time that the
experiment takes; the same command is given again each time, and in the end left alone. Then weights, stored rows and
tables of both are compared.

    make reproduce-demo                              # the undisturbed run, and its data
    python -m benchmarks.reproduce_killed --undisturbed results/made_up --output benchmarks/results/reproduce_killed.md

or, in a quarter of the time, of one data set with short trainings:

    python -m benchmarks.reproduce_killed --config benchmarks/reproduce_killed.yaml --output FILE \
      --flags "--train.main.epochs 1 --train.main.warmup_epochs 0 --train.main.hold_epochs 0 --explain.images 4"
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks.printing import machine, run
from halfiqa_ray import storage
from halfiqa_ray.runtime.progress import duration

# Columns that tell a row of each kind of stored rows from the others.
STORED = {
    "rank": ("image_id",),
    "measures": ("image_id", "measure"),
    "explain": ("image_id", "method"),
    "zeroed": ("image_id", "ranking", "zeroed_half", "zeroed_blocks", "fill"),
}


def experiment(options: argparse.Namespace, output: Path, log: Path, seconds: float | None) -> int | None:
    """Run the experiment; after ``seconds`` kill it with every process it started. Its exit code, None when killed."""
    command = [sys.executable, "-u", "jobs/reproduce.py", "--config", options.config, "--output", str(output)]
    command += shlex.split(options.flags)
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def last_lines(log: Path) -> tuple[str, str]:
    """The stage that a run is in, and the last line it printed."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    stages = [line for line in lines if line.startswith("== ")]
    return (stages[-1].removeprefix("== ") if stages else "start"), lines[-1] if lines else ""


def differences(first: Path, second: Path) -> Iterator[str]:
    """What differs between two outputs, a line each; and what was compared when nothing does."""
    weights = both(first, second, "checkpoints/**/model.safetensors")
    for path in weights:
        if not same_bytes(first / path, second / path):
            yield f"weights {path} differ"
    rows = 0
    for kind, key in STORED.items():
        for path in sorted({file.parent for file in both(first, second, f"{kind}/**/*.parquet")}):
            ours, theirs = (sorted_rows(root / path, key) for root in (first, second))
            rows += ours.num_rows
            if theirs.num_rows != theirs.group_by(list(key)).aggregate([]).num_rows:
                yield f"{path} holds rows twice"
            if not ours.equals(theirs):
                yield f"{path} differs: {ours.num_rows} rows and {theirs.num_rows}"
    tables = both(first, second, "tables/*")
    for path in tables:
        if not ((first / path).exists() and (second / path).exists()):
            yield f"{path} is in one of both only"
        elif path.suffix == ".parquet":
            if not storage.read_table(str(first / path)).equals(storage.read_table(str(second / path))):
                yield f"{path} differs"
        elif not same_bytes(first / path, second / path):
            yield f"{path} differs"
    if not (weights and rows and tables):
        yield "NOTHING to compare: an output has no models, rows or tables"
    yield f"compared: {len(weights)} models' weights, {rows:,} stored rows, {len(tables)} files of tables"


def both(first: Path, second: Path, pattern: str) -> list[Path]:
    """The paths of a pattern below either output."""
    return sorted({path.relative_to(root) for root in (first, second) for path in root.glob(pattern)})


def same_bytes(first: Path, second: Path) -> bool:
    """Whether both files are there and equal."""
    return first.exists() and second.exists() and first.read_bytes() == second.read_bytes()


def sorted_rows(folder: Path, key: tuple[str, ...]) -> pa.Table:
    """The rows of a folder in order of their key, without metadata (which holds times)."""
    tables = [storage.read_table(file) for file in storage.list_files(str(folder), ".parquet")]
    if not tables:
        return pa.table({name: [] for name in key})
    return pa.concat_tables(tables).replace_schema_metadata(None).sort_by([(name, "ascending") for name in key])


def work(options: argparse.Namespace) -> Iterable[str]:
    """The runs, and what they left."""
    lines: list[str] = []

    def say(text: str) -> None:
        lines.append(text)
        print(text, flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        undisturbed = Path(options.undisturbed or f"{scratch}/undisturbed")
        killed, log = Path(scratch) / "killed", Path(options.log or f"{scratch}/log.txt")
        if not options.undisturbed:
            started = time.monotonic()
            code = experiment(options, undisturbed, Path(scratch) / "undisturbed.txt", None)
            options.minutes = (time.monotonic() - started) / 60
            say(f"undisturbed: exit code {code} after {duration(60 * options.minutes)}")
            if code:
                sys.exit((Path(scratch) / "undisturbed.txt").read_text()[-2000:])
        draw = random.Random(options.seed)
        moments = sorted(draw.uniform(0.03, 0.97) * 60 * options.minutes for _ in range(options.kills))
        for number, (before, moment) in enumerate(zip([0.0, *moments], moments, strict=False), 1):
            code = experiment(options, killed, log, moment - before)
            stage, line = last_lines(log)
            if code is None:
                say(f'kill {number} after {duration(moment - before)}, in "{stage}"; last line: {line.strip()}')
            else:
                say(f"kill {number} came too late: the run had ended with exit code {code}")
        started = time.monotonic()
        code = experiment(options, killed, log, None)
        say(f"the same command again: exit code {code} after {duration(time.monotonic() - started)}")
        found = list(differences(undisturbed, killed))
    same = "Everything is equal, to the last bit." if len(found) == 1 and code == 0 else "NOT EQUAL."
    return [
        f"{machine()}; `{options.config}` {options.flags}; seed {options.seed}.",
        "",
        *(f"- {line}" for line in [*lines, *found]),
        "",
        same,
    ]


if __name__ == "__main__":
    run(
        __doc__,
        work,
        config="configs/experiments/made_up.yaml",
        undisturbed="",
        minutes=12.5,
        kills=3,
        seed=1,
        log="",
        flags="",
    )
