"""The five models, small, on the demo data: what they reach after minutes, over three seeds.

The seed decides the random weights, the order of the photos and the flips; data and splits stay the same.

    python jobs/demo_data.py --config configs/made_up/koniq10k.yaml
    python jobs/prepare.py --config configs/made_up/koniq10k.yaml
    python -m benchmarks.demo_models --output benchmarks/results/demo_models.md
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable

from benchmarks.printing import machine, run
from halfiqa_ray import storage
from halfiqa_ray.config import Settings, parse
from halfiqa_ray.models.checkpoints import CheckpointRecord, load_checkpoint
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.training import train
from halfiqa_ray.training.run_folder import RunFolder

MODELS = ("triq", "aihiqnet", "koncept", "dbcnn", "swin_iqa")
SPLITS = {
    "validation": "new crops of training areas",
    "test_same_photo": "other areas of the same photos",
    "test": "unseen photos",
}


def settings_of(model: str, seed: int) -> Settings:
    """The demo settings of one model and seed."""
    files = ["--config", "configs/made_up/koniq10k.yaml"]
    if model != "triq":
        files += ["--config", f"configs/made_up/{model}.yaml"]
    return parse("train.py", "", ["train"], [*files, "--seed", str(seed), "--train.run", f"seed{seed}"])


def row(model: str, records: list[CheckpointRecord], seconds: list[float], epochs: list[int], parameters: int) -> str:
    """One line of the table: means over the seeds, and the range in brackets."""
    backbone = records[0].model.backbone
    kind = "random" if backbone.weights == "none" else "pretrained"
    cells = []
    for split in SPLITS:
        for name in ("plcc", "srcc"):
            values = [getattr(record.metrics[split], name) for record in records]
            if None in values:
                cells.append("none")
            else:
                cells.append(f"{statistics.mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]")
    return (
        f"| {model} | {backbone.name}, {kind} | {parameters / 1e6:.2f} M | {epochs[0]} | "
        f"{statistics.mean(seconds):.0f} | {' | '.join(cells)} |"
    )


def work(options: argparse.Namespace) -> Iterable[str]:
    """Train all, and the table."""
    lines = []
    for model in options.models.split(","):
        records, seconds, epochs = [], [], []
        for seed in range(1, options.seeds + 1):
            settings = settings_of(model, seed)
            with ray_session(settings):
                records.append(train.run(settings))
            history = RunFolder.of(settings).history()
            seconds.append(sum(report.seconds for report in history))
            epochs.append(len(history))
        fitted, _ = load_checkpoint(storage.join(RunFolder.of(settings).uri))
        lines.append(row(model, records, seconds, epochs, sum(p.numel() for p in fitted.parameters())))
    counts = ", ".join(f"{SPLITS[split]} {records[0].metrics[split].n}" for split in SPLITS)
    head = " | ".join(f"{words}: PLCC | SRCC" for words in SPLITS.values())
    return [
        f"{machine(threads=train.torch_threads(settings.train))}; synthetic scores, 600 training pictures of "
        f"{settings.model.height} x {settings.model.width}; means over {options.seeds} seeds [lowest, highest]; "
        f"images: {counts}. Best epoch by PLCC on the first of them.",
        "",
        f"| model | backbone | parameters | epochs | seconds of training | {head} |",
        "|---" * (5 + 2 * len(SPLITS)) + "|",
        *lines,
    ]


if __name__ == "__main__":
    run(__doc__, work, seeds=3, models=",".join(MODELS))
