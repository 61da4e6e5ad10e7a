"""What happens when in a fit: stages, learning rate, order of the images, flips. All of it a function of the seed.

The recipe of the public TRIQ code (github.com/junyongyou/triq, src/train/train_triq.py and src/callbacks): Adam,
linear warm-up, hold, cosine to 0, set for every step; then a second stage from the best weights at a lower rate.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.config import StageSettings, TrainSettings


@dataclass(frozen=True)
class Stage:
    """A run of epochs with one optimiser, under one learning-rate schedule."""

    name: str
    settings: StageSettings


def stages(settings: TrainSettings) -> tuple[Stage, ...]:
    """The stages that have epochs: ``main``, then ``finetune``.

    Raises ValueError when a stage ends before its warm-up and hold do.
    """
    found = (Stage("main", settings.main), Stage("finetune", settings.finetune))
    for name, stage in ((stage.name, stage.settings) for stage in found):
        if 0 < stage.epochs < stage.warmup_epochs + (stage.hold_epochs if stage.decay != "none" else 0):
            raise ValueError(
                f"train.{name}.warmup_epochs {stage.warmup_epochs:g} and train.{name}.hold_epochs "
                f"{stage.hold_epochs:g} do not fit into train.{name}.epochs {stage.epochs}"
            )
    return tuple(stage for stage in found if stage.settings.epochs)


def learning_rate(stage: StageSettings, step: int, steps_per_epoch: int) -> float:
    """The rate of step ``step`` (from 0) of a stage.

    Linear from 0, which step -1 would have, to the full rate; hold; then, unless it does not decay, half a cosine that
    reaches 0 with the first step after the stage. So no step is lost to a rate of 0.
    """
    warmup = stage.warmup_epochs * steps_per_epoch
    if step + 1 < warmup:
        return stage.learning_rate * (step + 1) / warmup
    decay_from = (stage.warmup_epochs + stage.hold_epochs) * steps_per_epoch
    if step <= decay_from or stage.decay == "none":
        return stage.learning_rate
    done = (step - decay_from) / (stage.epochs * steps_per_epoch - decay_from)
    return stage.learning_rate * (1 + math.cos(math.pi * done)) / 2


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed from the parts, the same on every machine."""
    digest = hashlib.blake2b("/".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def batches(seed: int, epoch: int, images: int, batch_size: int, rank: int, world: int) -> NDArray[np.int64]:
    """Indices of the images of every step of one epoch for one of ``world`` workers: (steps, batch_size / world).

    Every step takes the next ``batch_size`` images of a permutation drawn from (seed, epoch), and worker ``rank``
    every ``world``-th of them, so the images of a step do not depend on the number of workers. What is left at the
    end waits for another epoch's permutation. With fewer images than ``batch_size``, one smaller step takes them.
    Raises ValueError when a step cannot be shared out evenly.
    """
    size = min(batch_size, images)
    if not size or size % world:
        raise ValueError(
            f"train.batch_size: a step of {size} images (of {images} training images) cannot be shared evenly "
            f"by {world} workers; set train.workers or train.batch_size otherwise"
        )
    order = np.random.default_rng(derived_seed("order", seed, epoch)).permutation(images)
    steps = images // size
    return order[: steps * size].reshape(steps, size)[:, rank::world]


def flipped(seed: int, epoch: int, image_ids: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the images are shown mirrored in this epoch, each with probability 1/2: bool (N,)."""
    return np.array([derived_seed("flip", seed, epoch, name) & 1 for name in image_ids], dtype=bool)
