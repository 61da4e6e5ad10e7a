"""A run's history for TensorBoard: `tensorboard --logdir OUTPUT/checkpoints` shows all runs below it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from halfiqa_ray import storage
from halfiqa_ray.models.fitting.training import EpochReport

CURVES = ("loss", "learning_rate", "plcc", "srcc", "rmse", "images_per_second")
BEST = "validation/best_plcc"
FILE_NAME = "events.out.tfevents.0.halfiqa_ray"


def write_events(
    uri: str, history: Sequence[EpochReport], values: Mapping[str, Any] | None = None, best: float | None = None
) -> None:
    """Write all epochs to the run's one event file in the folder ``uri``, local or remote.

    Always the whole history under one name: a resumed run leaves no epoch out and none twice. A trial of a search also
    gives its ``values`` by setting name and its ``best`` validation PLCC, for the tab HPARAMS.
    """
    with tempfile.TemporaryDirectory() as where:
        with SummaryWriter(where) as writer:
            for number, report in enumerate(history, 1):
                for name in CURVES:
                    value = getattr(report, name)
                    if value is not None:
                        group = "validation" if name in ("plcc", "srcc", "rmse") else "training"
                        writer.add_scalar(f"{group}/{name}", value, number, walltime=report.finished)
            if values is not None and best is not None:
                kinds = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in values.items()}
                for part in hparams(kinds, {BEST: best}):
                    writer.file_writer.add_summary(part)
                writer.add_scalar(BEST, best, len(history))
        (file,) = Path(where).glob("events.*")
        storage.write_bytes(storage.join(uri, FILE_NAME), file.read_bytes())
