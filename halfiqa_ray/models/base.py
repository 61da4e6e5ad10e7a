"""What every quality model offers: preprocessing, a score in native MOS units and, where it has them, levels.

Shape suffixes: N images, C channels, H and W pixels, O outputs of the head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

LEVELS = 5


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded RGB photo becomes model input: resized to ``height`` x ``width``, / 255, - mean, / std."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class MosScale:
    """The native range of a data set's mean opinion scores (KonIQ-10k 1 to 5, SPAQ 0 to 100)."""

    low: float
    high: float

    def from_levels(self, level_score: Tensor) -> Tensor:
        """Map a mean level (1 to 5) to this scale; for SPAQ the inverse of MOS / 25 + 1 (models of You et al.)."""
        return self.low + (level_score - 1) * ((self.high - self.low) / (LEVELS - 1))

    def to_levels(self, mos: Tensor) -> Tensor:
        """Map MOS on this scale to a mean level, 1 to 5."""
        return 1 + (mos - self.low) * ((LEVELS - 1) / (self.high - self.low))


@dataclass(frozen=True)
class Prediction:
    """A batch of predictions: ``score_N`` in native MOS units, ``levels_N5`` probabilities or None.

    ``raw_NO`` is what the head was given, (N, 5) level logits or (N, 1) standardised scores: losses use it, because
    the logarithm of a probability that underflowed is lost.
    """

    score_N: Tensor
    levels_N5: Tensor | None
    raw_NO: Tensor | None = None


class QualityModel(nn.Module, ABC):
    """A no-reference quality model.

    ``forward`` takes the output of ``normalise``, so that pixels can be zeroed in between (Section 4.1 of the paper).
    ``stride`` is the distance in input pixels of neighbours in the coarsest map of the ``backbone``.
    """

    stride: ClassVar[int] = 32
    preprocessing: Preprocessing
    mos_scale: MosScale
    backbone: nn.Module
    head: QualityHead

    def normalise(self, pixels_NHWC: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) to float32 model input (N, 3, H, W)."""
        return self.standardise(pixels_NHWC.float() / 255)

    def standardise(self, photos_NHWC: Tensor) -> Tensor:
        """float32 RGB in [0, 1] (N, H, W, 3) to float32 model input (N, 3, H, W)."""
        mean = torch.tensor(self.preprocessing.mean, device=photos_NHWC.device)
        std = torch.tensor(self.preprocessing.std, device=photos_NHWC.device)
        return ((photos_NHWC - mean) / std).permute(0, 3, 1, 2)

    @property
    def zeroed_colour(self) -> tuple[float, float, float]:
        """The RGB colour, 0 to 255, that a pixel set to zero after ``normalise`` stands for."""
        red, green, blue = (255 * value for value in self.preprocessing.mean)
        return red, green, blue

    def feature_maps(self, images_NCHW: Tensor) -> list[Tensor]:
        """The backbone's maps of normalised images, finest first."""
        # CPU and GPU convolutions are faster on this memory layout, which is also what `normalise` gives.
        return self.backbone(images_NCHW.contiguous(memory_format=torch.channels_last))

    @property
    def device(self) -> torch.device:
        """Where the model is, and its input is expected."""
        return self.head.level_values.device

    @property
    def map_layer(self) -> nn.Module | None:
        """What Grad-CAM hooks: it gives one map (N, C, H, W), or several of which the last is taken; None for none."""
        return self.backbone

    @property
    @abstractmethod
    def output_layer(self) -> nn.Module:
        """The last layer with weights, which a training stage may fit alone."""

    @abstractmethod
    def forward(self, images_NCHW: Tensor) -> Prediction:
        """Predict the quality of normalised images."""


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 where it has that: sums and roots need more digits than half precision has."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class QualityHead(nn.Module):
    """Turns one feature vector into five level probabilities or one score, in native MOS units.

    ``target_mean`` and ``target_std`` standardise a scalar target inside the model; they travel with its weights.
    """

    target_mean: Tensor
    target_std: Tensor
    level_values: Tensor

    def __init__(self, mos_scale: MosScale, levels: bool) -> None:
        super().__init__()
        self.mos_scale = mos_scale
        self.levels = levels
        middle, spread = (mos_scale.low + mos_scale.high) / 2, (mos_scale.high - mos_scale.low) / 4
        self.register_buffer("target_mean", torch.tensor(float(middle)))
        self.register_buffer("target_std", torch.tensor(float(spread)))
        self.register_buffer("level_values", torch.arange(1.0, LEVELS + 1), persistent=False)

    @property
    def outputs(self) -> int:
        """How many numbers the layer before this one must give."""
        return LEVELS if self.levels else 1

    def forward(self, raw: Tensor) -> Prediction:
        """Raw outputs (N, 5) or (N, 1) to a prediction, in the precision of ``raw`` (float32 at least)."""
        raw = at_least_float32(raw)
        if self.levels:
            levels_N5 = raw.softmax(-1)
            mean_level_N = (levels_N5 * self.level_values.to(raw.dtype)).sum(-1)
            return Prediction(self.mos_scale.from_levels(mean_level_N), levels_N5, raw)
        return Prediction(self.target_mean + self.target_std * raw[:, 0], None, raw)
