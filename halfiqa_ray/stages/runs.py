"""Which run of the rank job settings mean: its checkpoint, and the key that its rows are stored under."""

from __future__ import annotations

from halfiqa_ray.config import RankSettings, Settings, fingerprint
from halfiqa_ray.models.checkpoints import CheckpointRecord, checkpoint_uri, read_record

# Scores of another version of the code that makes them are another run.
SCORES_VERSION = 1


def checkpoint_of(settings: Settings) -> str:
    """The checkpoint folder: the one that is named, or that of the training run below the output."""
    return settings.rank.checkpoint or checkpoint_uri(
        settings.output, settings.data.dataset, settings.model.name, settings.train.run
    )


def key_of_run(settings: Settings, checkpoint: str | None) -> str:
    """Key of the run of a checkpoint folder (None: the settings' own). Raises CheckpointError when there is none."""
    return run_key(read_record(checkpoint or checkpoint_of(settings)), settings.rank)


def run_key(record: CheckpointRecord, rank: RankSettings) -> str:
    """Full key of a run (hex): its weights, preprocessing, grid and how photos are brought to size."""
    return fingerprint(
        {
            "version": SCORES_VERSION,
            "weights": record.weights_sha256,
            "preprocessing": [
                record.preprocessing.height,
                record.preprocessing.width,
                list(record.preprocessing.mean),
                list(record.preprocessing.std),
            ],
            "grid": [rank.grid.rows, rank.grid.columns],
            "native": rank.native,
            "portrait": rank.portrait,
        }
    )
