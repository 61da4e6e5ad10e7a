"""The smallest real model and photos: timm's own test ResNet on 64 x 96 pixels (6 tokens)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from halfiqa_ray.config import BackboneSettings, ModelSettings, StageSettings, TrainSettings, TriqSettings
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.fitting.scored_photos import PhotoBatch, ScoredPhotos, photos_of
from halfiqa_ray.models.fitting.targets import soft_labels
from halfiqa_ray.models.triq import Triq

KONIQ = MosScale(1.0, 5.0)


def model_settings(**changes: object) -> ModelSettings:
    tiny = {
        "height": 64,
        "width": 96,
        "backbone": BackboneSettings(name="test_resnet", weights="none"),
        "triq": TriqSettings(width=8, heads=2, mlp=16, head=8),
    }
    return ModelSettings(**{**tiny, **changes})


def small_model(seed: int = 0, **changes: object) -> Triq:
    torch.manual_seed(seed)
    model = build_model(model_settings(**changes), KONIQ)
    assert isinstance(model, Triq)
    return model


def train_settings(
    main: dict[str, object] | None = None, finetune: dict[str, object] | None = None, **changes: object
) -> TrainSettings:
    short = {"epochs": 3, "learning_rate": 1e-3, "warmup_epochs": 1, "hold_epochs": 1}
    shorter = {"epochs": 2, "learning_rate": 1e-4, "warmup_epochs": 0, "hold_epochs": 1}
    return TrainSettings(
        main=StageSettings(**{**short, **(main or {})}),
        finetune=StageSettings(**{**shorter, **(finetune or {})}),
        **{"batch_size": 4, "minimum_gain": 0, **changes},
    )


class ArrayPixels:
    """Photos in memory; remembers what was asked for."""

    def __init__(self, pixels_NHWC: NDArray[np.uint8]) -> None:
        self.pixels_NHWC, self.asked, self.problems = pixels_NHWC, [], {}

    def batches(self, places: Sequence[NDArray[np.int64]]) -> Iterator[PhotoBatch]:
        for batch in places:
            self.asked.append(batch.tolist())
            yield self.pixels_NHWC[batch], np.array([place not in self.problems for place in batch])


def bright_photos(count: int = 14, seed: int = 0) -> tuple[ArrayPixels, ScoredPhotos, ScoredPhotos]:
    """Noise whose brightness is its quality: something that a small network can learn in a few steps."""
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1.2, 4.8, count)
    level = (mos - 1) / 4 * 200
    pixels = (level[:, None, None, None] + rng.uniform(0, 55, (count, 64, 96, 3))).astype(np.uint8)
    labels = soft_labels(mos, [None] * count, [None] * count, KONIQ)
    names = [f"{number}.jpg" for number in range(count)]
    cut = count * 2 // 3
    return (
        ArrayPixels(pixels),
        photos_of(names, mos.tolist(), labels, range(cut)),
        photos_of(names, mos.tolist(), labels, range(cut, count)),
    )
