"""A training run's folder: what it was started with, how far it is, and why it stopped. No Ray.

``checkpoints/DATASET/MODEL/RUN/`` holds ``settings.json`` from the first minute, ``history.json`` (one entry an
epoch) and ``tensorboard/`` as it grows; ``model.safetensors``, ``predictions.parquet``, ``scatter.png`` and
``model.json`` when the run is finished; and until then the resumable state in ``_train/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.models.checkpoints import checkpoint_uri
from halfiqa_ray.models.fitting.training import EpochProgress, EpochReport

# Settings of the machine: a run may go on with other ones.
MACHINE = frozenset(
    ("workers", "cpus_per_worker", "gpu", "threads", "feed", "decode_cpus", "cache_bytes", "maximum_failures")
)


class RunNameTaken(ValueError):
    """The run's name belongs to a run with other settings."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one training run below ``uri``."""

    uri: str

    @classmethod
    def of(cls, settings: Settings) -> RunFolder:
        """The folder of the run that ``settings`` name."""
        return cls(checkpoint_uri(settings.output, settings.data.dataset, settings.model.name, settings.train.run))

    @property
    def state(self) -> str:
        """Where Ray Train keeps what a resumed run needs; gone when the run is finished."""
        return storage.join(self.uri, "_train")

    @property
    def tensorboard(self) -> str:
        """The folder of TensorBoard's event file."""
        return storage.join(self.uri, "tensorboard")

    def claim(self, settings: Settings, split_hash: str) -> None:
        """Write down what this run is, or check that it is the same as before. Raises as `claim` does."""
        now = {
            "seed": settings.seed,
            "split_hash": split_hash,
            "model": settings.model.model_dump(mode="json"),
            "train": settings.train.model_dump(mode="json", exclude=set(MACHINE)),
        }
        claim(self.uri, "train.run", settings.train.run, now)

    def write_history(self, history: list[EpochReport]) -> None:
        """Publish all epochs so far."""
        storage.write_json(storage.join(self.uri, "history.json"), [asdict(report) for report in history])

    def history(self) -> list[EpochReport]:
        """All published epochs; [] before the first."""
        file = storage.join(self.uri, "history.json")
        return [EpochReport(**report) for report in storage.read_json(file)] if storage.exists(file) else []

    def write_progress(self, progress: EpochProgress) -> None:
        """Publish how far the epoch under way is."""
        storage.write_json(self._progress, asdict(progress))

    def progress(self) -> EpochProgress | None:
        """How far the epoch under way was when that was last published."""
        return EpochProgress(**storage.read_json(self._progress)) if storage.exists(self._progress) else None

    def write_failure(self, message: str) -> None:
        """Say that the run cannot go on, so that restarted workers do not try again."""
        storage.write_text(self._failure, message)

    def failure(self) -> str | None:
        """Why the run cannot go on, if it cannot."""
        return storage.read_bytes(self._failure).decode() if storage.exists(self._failure) else None

    def clear_failure(self) -> None:
        """Forget an earlier failure: a person has started the run again."""
        storage.delete(self._failure)

    @property
    def _progress(self) -> str:
        return storage.join(self.state, "progress.json")

    @property
    def _failure(self) -> str:
        return storage.join(self.state, "failure.txt")


def claim(uri: str, setting: str, name: str, now: dict[str, Any]) -> None:
    """Write down in the folder ``uri`` what was started there, or check that it is the same as before.

    Raises RunNameTaken with every difference when ``name``, the value of ``setting``, was used with other settings.
    """
    file = storage.join(uri, "settings.json")
    if not storage.exists(file):
        storage.write_json(file, now)
        return
    different = list(differences(storage.read_json(file), json.loads(json.dumps(now))))
    if different:
        raise RunNameTaken(
            f"{setting} {name!r} was started with other settings ({file}):\n  "
            + "\n  ".join(different)
            + f"\nuse those settings to go on, or choose another {setting}"
        )


def differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """One line for every setting that differs: ``train.learning_rate: 0.001 then, 0.002 now``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name}: {before} then, {now} now"
