"""All tables over 20,000 ranked images: seconds, and the peak memory of all processes.

The rows are planted (tests/tables/planted.py): two data sets of 10,000 images with all 4096 subset scores and level
correlations each, four measures of every image, and the zeroed scores of five models on a tenth. `jobs/tables.py` then
makes every table of both, in processes of their own.

    python -m benchmarks.tables_speed --output benchmarks/results/tables_speed.md
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.memory import PeakMemory
from benchmarks.printing import machine, run
from halfiqa_ray.tables import paper
from tests.tables import planted, planted_derived

SPLITS = ("train",) * 8 + ("validation", "test")
MAKE = """
import sys, time
from halfiqa_ray.config import Settings
from halfiqa_ray.pipelines.aggregate import make_tables
from halfiqa_ray.pipelines.session import ray_session
settings = Settings(output=sys.argv[1], data={"dataset": sys.argv[2]})
with ray_session(settings):
    start = time.perf_counter()
    make_tables(settings)
    print("seconds", time.perf_counter() - start)
"""


def plant(output: Path, dataset: str, key: str, images: int, files: int) -> None:
    """One data set's rank rows, measures and zeroed scores."""
    table, half = planted.rows(images, seed=len(dataset), splits=SPLITS)
    planted.write(output, table, files=files, key=key, dataset=dataset, layout=dataset)
    means = {
        name: planted_derived.means_of(half, agree=agree, seed=number)
        for number, (name, agree) in enumerate(
            {"saliency": 0.2, "frequency_csf_whitened": 0.4, "objectness_pixel": 0.6, "averaged_pixel": 0.5}.items()
        )
    }
    planted_derived.write_measures(
        output, planted_derived.measures(table, means), dataset=dataset, averaged="averaged_pixel"
    )
    where = np.array([split == "test" for split in table["split"].to_pylist()])
    for number, model in enumerate(paper.MODELS):
        rows = planted_derived.zeroed(table, half, share=0.6 + 0.05 * number, seed=number, where=where)
        planted_derived.write_zeroed(output, rows, model=model, key=f"{number}" * 8, rank_key=key, dataset=dataset)


def work(options: argparse.Namespace) -> Iterable[str]:
    """Plant, then time the tables of each data set."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        datasets = ("koniq10k", "spaq")
        for number, dataset in enumerate(datasets):
            plant(output, dataset, f"{number:08}", options.images // len(datasets), options.files)
        stored = sum(file.stat().st_size for file in output.glob("rank/**/*.parquet"))
        for dataset in datasets:
            with PeakMemory() as memory:
                started = time.perf_counter()
                told = subprocess.run([sys.executable, "-c", MAKE, folder, dataset], check=True, stdout=subprocess.PIPE)
                seconds = time.perf_counter() - started
            alone = float(told.stdout.split()[-1])
            lines.append((dataset, alone, seconds, memory.peak))
        tables = len(list(output.glob("tables/*.parquet")))
    total, whole, peak = sum(line[1] for line in lines), sum(line[2] for line in lines), max(line[3] for line in lines)
    return [
        f"{machine()}; {options.images:,} planted images in {len(datasets)} data sets, {stored / 2**20:,.0f} MiB of "
        f"rank rows, {tables} tables.",
        "",
        "| data set | seconds of the tables | with the start of Python and Ray | peak memory of all processes |",
        "|---|---|---|---|",
        *(f"| {name} | {alone:.1f} | {all_:.1f} | {memory / 2**20:,.0f} MiB |" for name, alone, all_, memory in lines),
        f"| together | {total:.1f} | {whole:.1f} | {peak / 2**20:,.0f} MiB |",
    ]


if __name__ == "__main__":
    run(__doc__, work, images=20_000, files=8)
