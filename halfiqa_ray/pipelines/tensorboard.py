"""A run's history for TensorBoard: `tensorboard --logdir OUTPUT/checkpoints` shows all runs below it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tensorboardX import SummaryWriter

from halfiqa_ray import storage
from halfiqa_ray.models.training import EpochReport

CURVES = ("loss", "learning_rate", "plcc", "srcc", "rmse", "images_per_second")
FILE_NAME = "events.out.tfevents.0.halfiqa_ray"


def write_events(uri: str, history: Sequence[EpochReport]) -> None:
    """Write all epochs to the run's one event file in the folder ``uri``, local or remote.

    Always the whole history under one name: a resumed run leaves no epoch out and none twice.
    """
    with tempfile.TemporaryDirectory() as where:
        with SummaryWriter(where) as writer:
            for number, report in enumerate(history, 1):
                for name in CURVES:
                    value = getattr(report, name)
                    if value is not None:
                        group = "validation" if name in ("plcc", "srcc", "rmse") else "training"
                        writer.add_scalar(f"{group}/{name}", value, number, walltime=report.finished)
        (file,) = Path(where).glob("events.*")
        storage.write_bytes(storage.join(uri, FILE_NAME), file.read_bytes())
