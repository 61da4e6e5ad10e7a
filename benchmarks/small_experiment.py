"""A whole experiment that is small: photos, untrained models, the settings of every job, and its rows compared.

The photos are noise and the models know nothing: what is looked at is whether every row is there, once, and equal.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from halfiqa_ray import storage
from tests.data.photo_files import jpeg
from tests.stages.test_subsets import write_checkpoint
from tests.stages.test_zeroing import write_koncept

DATASET, RUN, SEARCH = "small", "default", "search"
# Columns that tell a row from the others of its folder.
KEYS = {
    "rank": ("image_id",),
    "measures": ("image_id", "measure"),
    "zeroed": ("image_id", "ranking", "zeroed_half", "zeroed_blocks", "fill"),
    "explain": ("image_id", "method"),
    "maps": ("image_id", "name", "model"),
    "manifest": ("image_id",),
    "tune": ("number",),
}
# Not the same twice: seconds of a search, and where photos lie.
BESIDE = ("seconds", "uri")
ALONE = ("--rank.measure", "false", "--rank.zero", "false", "--rank.tables", "false")
FITTED = ("--train.run", "fitted")  # beside the models that are there
# Jobs and flags, each after those whose rows it needs.
IN_TURN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("prepare", ()),
    ("train", FITTED),
    ("rank", ALONE),
    ("measure", ()),
    ("zero", ()),
    ("explain", ()),
    ("tables", ()),
    ("report", ()),
)


def write_photos(root: str, count: int, height: int = 120, width: int = 160) -> None:
    """A KonIQ-10k of so many photos in a folder or bucket; the more contrast, the higher the MOS."""
    draw = np.random.default_rng(0)
    lines = io.StringIO()
    for number in range(count):
        votes = draw.multinomial(100, draw.dirichlet(np.ones(5)))
        mos = float(votes @ np.arange(1, 6) / 100)
        csv.writer(lines).writerow((f"{number:03d}.jpg", *votes.tolist(), mos))
        storage.write_bytes(f"{root}/512x384/{number:03d}.jpg", jpeg(number, height, width, contrast=15 * mos))
    storage.write_text(f"{root}/koniq10k_images_scores.csv", lines.getvalue())


def write_models(output: str) -> None:
    """The untrained model that ranks, 3 x 4 tokens of 96 x 128 pixels, and one of another kind and input size."""
    write_checkpoint(storage.join(output, "checkpoints", DATASET, "triq", RUN), height=96, width=128)
    write_koncept(storage.join(output, "checkpoints", DATASET, "koncept", RUN))


def write_settings(file: Path, root: str, **sections: Any) -> Path:
    """A YAML file with the settings of every job; ``sections`` are added to those below."""
    fit = {"learning_rate": 0.001, "warmup_epochs": 1, "hold_epochs": 1}
    settings: dict[str, Any] = {
        "data": {"dataset": DATASET, "layout": "koniq10k", "root": root},
        "model": {
            "height": 64,
            "width": 96,
            "backbone": {"name": "test_resnet", "weights": "none"},
            "triq": {"width": 8, "heads": 2, "mlp": 16, "head": 8},
        },
        "train": {
            "main": fit | {"epochs": 8},
            "finetune": fit | {"epochs": 2, "warmup_epochs": 0},
            "batch_size": 4,
            "minimum_gain": 0,
            "threads": 1,
        },
        "tune": {
            "name": SEARCH,
            "space": {"train.main.learning_rate": {"log_uniform": [1e-4, 1e-2]}},
            "trials": 3,
            "concurrent": 1,
            "grace_epochs": 8,
        },
        "rank": {"rows_per_file": 4, "bootstrap": 50},
        "measure": {"frequency": {"sample": 12}},
        "zero": {"splits": ["train", "validation", "test"]},
        "explain": {"images": 16, "maps": 3, "splits": ["train", "validation", "test"], "lime": {"samples": 40}},
        "compute": {"device": "cpu", "threads": 1, "actors": 2, "progress_seconds": 0.1},
    }
    for name, changes in sections.items():
        settings[name] = settings.get(name, {}) | changes
    file.write_text(yaml.safe_dump(settings))
    return file


def command(job: str, settings: Path, output: str, *flags: str) -> list[str]:
    """How a user starts a job."""
    return [sys.executable, "-u", f"jobs/{job}.py", "--config", str(settings), "--output", output, *flags]


@dataclass(frozen=True)
class Compared:
    """Rows of an output that should be those of another."""

    rows: int  # of the other
    lost: int
    doubled: int
    changed: int  # with another value
    added: int

    @property
    def equal(self) -> bool:
        """Whether every row is there, once, bit for bit, and no other."""
        return not (self.lost or self.doubled or self.changed or self.added)

    def __str__(self) -> str:
        return (
            f"{self.rows} rows, {self.lost} lost, {self.doubled} doubled, {self.changed} with another value, "
            f"{self.added} that should not be"
        )


Rows = dict[tuple[str, ...], list[str]]


def compared(first: str, second: str, kinds: Sequence[str]) -> Compared:
    """The stored rows of these kinds (of ``KEYS``) below the output ``second``, against those below ``first``."""
    return compare(*({key: rows for k in kinds for key, rows in stored(o, k).items()} for o in (first, second)))


def compare(expected: Rows, found: Rows) -> Compared:
    """Rows by key against those that should be."""
    return Compared(
        rows=len(expected),
        lost=len(expected.keys() - found.keys()),
        doubled=sum(len(rows) - 1 for rows in found.values()),
        changed=sum(found[key][0] != rows[0] for key, rows in expected.items() if key in found),
        added=len(found.keys() - expected.keys()),
    )


def stored(output: str, kind: str) -> Rows:
    """The rows of a kind by folder and key, each to the last bit as text; more than one where they are doubled."""
    found: Rows = {}
    for file in storage.list_files(storage.join(output, kind), ".parquet", recursive=True):
        run = file.removeprefix(output).rsplit("/", 1)[0]
        for row in storage.read_table(file).to_pylist():
            kept = {name: value for name, value in row.items() if name not in BESIDE}
            found.setdefault((run, *(str(row[name]) for name in KEYS[kind])), []).append(repr(kept))
    return found
