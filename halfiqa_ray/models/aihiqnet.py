"""AIHIQnet: a feature pyramid whose five levels each pass an attention module and predict the quality.

Architecture from J. You and J. Korhonen, "Attention integrated hierarchical networks for no-reference image quality
assessment" (JVCI 2022), and its public code, github.com/junyongyou/aihiqnet (MIT): layers/fusion.py,
models/prediction_model_contrast_sensitivity.py and models/image_quality_model.py under src/image_quality.

Shape suffixes: N images, C channels, H and W rows and columns, P pyramid levels, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.backbones import create_backbone
from halfiqa_ray.models.base import MosScale, Prediction, Preprocessing, QualityHead, QualityModel, at_least_float32
from halfiqa_ray.models.keras_rules import glorot_uniform_, he_normal_, pad_same

STRIDES = (4, 8, 16, 32)


class Pyramid(nn.Module):
    """The feature pyramid: maps of four strides to five maps of one width, finest first (P2 to P6).

    ``channels`` are those of the four maps C2 to C5, finest first. No activation and no normalisation.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        lateral = [nn.Conv2d(of_map, width, 1) for of_map in channels]
        smooth = [nn.Conv2d(width, width, 3, padding=1) for _ in channels]
        self.lateral, self.smooth = nn.ModuleList(lateral), nn.ModuleList(smooth)
        self.coarsest = nn.Conv2d(channels[-1], width, 3, stride=2)  # padded by pad_same
        for layer in (*lateral, *smooth, self.coarsest):
            glorot_uniform_(layer)

    def forward(self, maps_NCHW: Sequence[Tensor]) -> list[Tensor]:
        """P2 to P6 of C2 to C5; P6 has half the rows and columns of C5, rounded up."""
        merged: list[Tensor] = []  # coarsest first
        for map_NCHW, lateral in zip(reversed(maps_NCHW), reversed(self.lateral), strict=True):
            level = lateral(map_NCHW)
            if merged:
                # TensorFlow 2 compares the centres of pixels, as torch's "nearest-exact" does and "nearest" does not.
                level = level + functional.interpolate(merged[-1], level.shape[2:], mode="nearest-exact")
            merged.append(level)
        smoothed = [smooth(level) for smooth, level in zip(self.smooth, reversed(merged), strict=True)]
        return [*smoothed, self.coarsest(pad_same(maps_NCHW[-1], kernel=3, stride=2))]


class ChannelAttention(nn.Module):
    """Weights of channels, 0 to 1: one dense layer reads their means and their maxima, and the two are averaged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        he_normal_(self.linear)

    def forward(self, map_NCHW: Tensor) -> Tensor:
        """The weights (N, C) of a map."""
        means_NC, maxima_NC = map_NCHW.mean((2, 3)), map_NCHW.amax((2, 3))
        return (self.linear(means_NC).sigmoid() + self.linear(maxima_NC).sigmoid()) / 2


class AttentionHead(nn.Module):
    """One pyramid level's prediction: its map weighted by channel and by place, averaged, and one dense layer.

    Both attentions read the level's own map; neither reads the other's result.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(width)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.output = nn.Linear(width, outputs)
        he_normal_(self.spatial)
        glorot_uniform_(self.output)

    def forward(self, map_NCHW: Tensor) -> Tensor:
        """The raw outputs (N, O) of a map."""
        weights_NC11 = self.channel(map_NCHW)[:, :, None, None]
        places_N2HW = torch.cat([map_NCHW.mean(1, keepdim=True), map_NCHW.amax(1, keepdim=True)], 1)
        attended_NCHW = map_NCHW * weights_NC11 * self.spatial(places_N2HW).sigmoid()
        return self.output(attended_NCHW.mean((2, 3)))


def log_mean_softmax(logits_PNO: Tensor) -> Tensor:
    """The logarithm (N, O) of the mean over P of the softmaxes over O, exact where a probability underflows.

    log(1/P sum_p softmax(x_p)) = logsumexp_p(log_softmax(x_p)) - log P. The result are logits too: they sum to 1 when
    exponentiated, so their softmax is the mean of the softmaxes.
    """
    return logits_PNO.log_softmax(-1).logsumexp(0) - math.log(len(logits_PNO))


class Aihiqnet(QualityModel):
    """AIHIQnet (PHIQnet in its code): the mean of five levels' distributions, or of five levels' scores.

    ``backbone`` maps normalised images to maps of strides 4, 8, 16 and 32 with ``channels`` channels.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: Sequence[int],
        width: int,
        preprocessing: Preprocessing,
        mos_scale: MosScale,
        levels: bool = True,
    ) -> None:
        super().__init__()
        self.preprocessing, self.mos_scale = preprocessing, mos_scale
        self.backbone = backbone
        self.pyramid = Pyramid(channels, width)
        self.head = QualityHead(mos_scale, levels)
        self.heads = nn.ModuleList(AttentionHead(width, self.head.outputs) for _ in range(len(channels) + 1))

    @property
    def output_layer(self) -> nn.Module:
        """The output layers of the five heads."""
        return nn.ModuleList(head.get_submodule("output") for head in self.heads)

    def forward(self, images_NCHW: Tensor) -> Prediction:
        """Predict the quality of normalised images, of any size from 32 x 32."""
        maps_NCHW = self.feature_maps(images_NCHW)
        levels = self.pyramid(maps_NCHW)
        raw_PNO = at_least_float32(torch.stack([head(level) for head, level in zip(self.heads, levels, strict=True)]))
        # The heads' probabilities are averaged, not their logits; the loss wants the logarithm of that average.
        return self.head(log_mean_softmax(raw_PNO) if self.head.levels else raw_PNO.mean(0))


def build(settings: ModelSettings, mos_scale: MosScale) -> Aihiqnet:
    """AIHIQnet as ``settings`` describe it."""
    backbone = create_backbone(settings.backbone, STRIDES, settings.size)
    return Aihiqnet(
        backbone.module,
        backbone.channels,
        settings.aihiqnet.width,
        backbone.preprocessing(settings.size),
        mos_scale,
        levels=settings.levels,
    )
