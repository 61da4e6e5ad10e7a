"""Swin-IQA: a stand-in for the Swin transformer with multi-stage channel attention of the paper's Table I.

The original, J. You and Z. Zhang, "Visual mechanisms inspired efficient transformers for image and video quality
assessment" (arXiv 2203.14557), has no public code, and its abstract says only: a lightweight multi-stage channel
attention module in a Swin transformer. All else here is our choice: the four stages' maps are brought to one width,
weighted by one channel attention that they share (AIHIQnet's, by the same first author), averaged over places and then
over stages, and read by one dense layer. Its numbers are not those of Swin-IQA in the paper.

Shape suffixes: N images, C channels, H and W rows and columns, S stages.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.aihiqnet import STRIDES, ChannelAttention
from halfiqa_ray.models.backbones import create_backbone
from halfiqa_ray.models.base import MosScale, Prediction, Preprocessing, QualityHead, QualityModel
from halfiqa_ray.models.keras_rules import glorot_uniform_


class SwinIqa(QualityModel):
    """The stand-in for Swin-IQA.

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
        project = [nn.Conv2d(of_stage, width, 1) for of_stage in channels]
        self.project = nn.ModuleList(project)
        self.attention = ChannelAttention(width)
        self.head = QualityHead(mos_scale, levels)
        self.output = nn.Linear(width, self.head.outputs)
        for layer in project:
            glorot_uniform_(layer)
        glorot_uniform_(self.output)

    @property
    def output_layer(self) -> nn.Module:
        """The layer that gives the levels."""
        return self.output

    def forward(self, images_NCHW: Tensor) -> Prediction:
        """Predict the quality of normalised images, of the size that the backbone was built for."""
        maps_NCHW = self.feature_maps(images_NCHW)
        projected_SNCHW = [project(of_stage) for project, of_stage in zip(self.project, maps_NCHW, strict=True)]
        # The mean of a map weighted by channel is the weighted mean of the map.
        vectors_SNC = torch.stack([self.attention(x_NCHW) * x_NCHW.mean((2, 3)) for x_NCHW in projected_SNCHW])
        return self.head(self.output(vectors_SNC.mean(0)))


def build(settings: ModelSettings, mos_scale: MosScale) -> SwinIqa:
    """The stand-in for Swin-IQA as ``settings`` describe it."""
    backbone = create_backbone(settings.backbone, STRIDES, settings.size)
    return SwinIqa(
        backbone.module,
        backbone.channels,
        settings.swin_iqa.width,
        backbone.preprocessing(settings.size),
        mos_scale,
        levels=settings.levels,
    )
