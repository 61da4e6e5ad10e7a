"""A table of finished trainings, a row each: what was trained on what, for how long, and how well it agrees with MOS.

Read from the folders that `jobs/train.py` leaves (model.json, history.json), for a page of the docs to show.

    python -m benchmarks.trainings --results results/biq2021,results/sizes --table docs/biq2021/trainings.parquet
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from benchmarks.printing import run
from halfiqa_ray import storage
from halfiqa_ray.models.checkpoints import RECORD, CheckpointRecord, read_record
from halfiqa_ray.tables.writing import markdown_table, with_interval
from halfiqa_ray.training.run_folder import RunFolder

HEADER = [
    *("model", "backbone", "input", "seed", "epochs", "images a second"),
    *("PLCC, test", "SRCC, test", "n", "PLCC, validation", "n"),
]


def row(folder: str) -> dict[str, object]:
    """What one training's files say. Images a second are those of its fastest epoch: machines are shared."""
    record, history = read_record(folder), RunFolder(folder).history()
    assert record.train is not None
    found: dict[str, object] = {
        "dataset": record.dataset,
        "model": record.model.name,
        "run": record.run,
        "backbone": record.model.backbone.name,
        "pretrained": record.model.backbone.weights != "none",
        "height": record.preprocessing.height,
        "width": record.preprocessing.width,
        "seed": record.seed,
        "epochs": len(history),
        "seconds": round(sum(report.seconds for report in history), 1),
        "images_per_second": round(max(report.images_per_second for report in history), 2),
        "weights_sha256": record.weights_sha256,
    }
    for split in ("test", "validation"):
        found |= _agreement(record, split)
    return found


def _agreement(record: CheckpointRecord, split: str) -> dict[str, object]:
    found = record.metrics[split]
    cells: dict[str, object] = {f"n_{split}": found.n}
    for name, value, ends in (("plcc", found.plcc, found.plcc_interval), ("srcc", found.srcc, found.srcc_interval)):
        low, high = ends or (None, None)
        cells |= {f"{name}_{split}": value, f"{name}_{split}_low": low, f"{name}_{split}_high": high}
    return cells


def markdown(rows: Iterable[dict[str, object]]) -> str:
    """The rows as a page shows them."""
    cells = []
    for one in rows:
        found = {
            name: with_interval(*(one[f"{name}{end}"] for end in ("", "_low", "_high")))  # type: ignore[arg-type]
            for name in ("plcc_test", "srcc_test", "plcc_validation")
        }
        backbone = f"{one['backbone']}, {'ImageNet' if one['pretrained'] else 'random'}"
        size = f"{one['height']} x {one['width']}"
        counts = f"{one['n_test']:,}", f"{one['n_validation']:,}"
        cells.append(
            [
                *(str(one["model"]), backbone, size, str(one["seed"]), str(one["epochs"])),
                f"{one['images_per_second']:.1f}",
                *(found["plcc_test"], found["srcc_test"], counts[0], found["plcc_validation"], counts[1]),
            ]
        )
    return markdown_table(HEADER, cells)


def work(options: argparse.Namespace) -> Iterable[str]:
    """Read all finished trainings below the results, write them, and show them."""
    rows = [
        row(folder)
        for results in options.results.split(",")
        for folder, _, files in sorted(os.walk(Path(results) / "checkpoints"))
        if {RECORD, "history.json"} <= set(files)
    ]
    storage.write_table(options.table, pa.Table.from_pylist(rows))
    yield markdown(rows)


if __name__ == "__main__":
    run(__doc__, work, results="results/biq2021", table="docs/biq2021/trainings.parquet")
