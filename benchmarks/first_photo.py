"""From the command to the first scored photo and to the end, on a few photos of one's own: what the seconds are.

The command is the README's for own photos, on 10 made-up photos of 1024 x 768, in a process of its own and an empty
output. Its lines are read as they come: the one that announces the work ends imports, Ray's start and planning; the
first progress line that has counted a photo is the first scored photo. Imports alone are timed in another process.

    python -m benchmarks.first_photo --output benchmarks/results/first_photo.md
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from skimage import data

from benchmarks.printing import machine, run

IMPORTS = "import halfiqa_ray.pipelines.rank, halfiqa_ray.pipelines.aggregate, ray, torch"
RAY = "import ray; ray.init(include_dashboard=False, log_to_driver=False, logging_level=40); ray.shutdown()"


def write_photos(folder: Path, count: int) -> list[str]:
    """Make a folder of JPEGs of 1024 x 768; returns their paths."""
    folder.mkdir()
    names = [str(folder / f"{number}.jpg") for number in range(count)]
    whole = Image.fromarray(data.astronaut()).resize((1024, 1024), Image.Resampling.LANCZOS)
    for number, name in enumerate(names):
        whole.crop((0, 8 * number, 1024, 768 + 8 * number)).save(name, quality=90)
    return names


def taken(code: str) -> float:
    """Seconds of a Python process that runs ``code``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def once(photos: Path, output: Path) -> dict[str, float]:
    """Seconds from the start of one job to each of its marks, and those of its record's stages."""
    command = [sys.executable, "-u", "jobs/rank.py", "--config", "configs/data/photos.yaml", "--data.root", str(photos)]
    command += ["--rank.checkpoint", "biq2021/triq", "--output", str(output), "--compute.progress_seconds", "0.2"]
    start, found = time.perf_counter(), {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            now = time.perf_counter() - start
            if re.match(r"rank \w+, run", line):
                found["announced"] = now
            if (match := re.search(r"photos scored: (\d+) of", line)) and int(match[1]):
                found.setdefault("first photo", now)
                found["last photo"] = now
    found["end"] = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    [record] = output.glob("runs/rank-*.json")
    stages: dict[str, float] = json.loads(record.read_text())["seconds"]
    return found | {f"record: {name}": seconds for name, seconds in stages.items()}


def table(options: argparse.Namespace) -> Iterable[str]:
    """A row a mark, medians over the repeats."""
    with tempfile.TemporaryDirectory() as scratch:
        write_photos(Path(scratch) / "photos", options.photos)
        runs = [once(Path(scratch) / "photos", Path(scratch) / f"out{n}") for n in range(options.repeats)]
    yield f"{machine()}; {options.photos} photos of 1024 x 768, medians of {options.repeats}; no other work."
    yield ""
    yield "| from the command to | seconds |"
    yield "|---|---|"
    for name in ("announced", "first photo", "last photo", "end"):
        yield f"| {name} | {statistics.median(each[name] for each in runs):.1f} |"
    yield ""
    yield "| of which | seconds |"
    yield "|---|---|"
    yield f"| imports (Ray, torch, this package), in a process of their own | {taken(IMPORTS):.1f} |"
    yield f"| Ray's import, start and end, in a process of their own | {taken(RAY):.1f} |"
    for name in (each for each in runs[0] if each.startswith("record: ")):
        yield f"| {name.removeprefix('record: ')} | {statistics.median(each[name] for each in runs):.1f} |"


if __name__ == "__main__":
    run(__doc__, table, photos=10, repeats=3)
