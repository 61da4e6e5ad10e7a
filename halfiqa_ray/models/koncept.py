"""KonCept: Inception-ResNet-v2, global average pooling, and four dense layers to one score.

Architecture from V. Hosu et al., "KonIQ-10k: an ecologically valid database for deep learning of blind image quality
assessment" (TIP 2020) and its public code: github.com/subpic/koniq (MIT; the koncept512 notebooks) and
github.com/subpic/kutils (applications.py).

Shape suffixes: N images, C channels or features, H and W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halfiqa_ray.config import KonceptSettings, ModelSettings
from halfiqa_ray.models.backbones import create_backbone
from halfiqa_ray.models.base import MosScale, Prediction, Preprocessing, QualityHead, QualityModel
from halfiqa_ray.models.keras_rules import NORM_EPSILON, he_normal_


class HiddenLayer(nn.Module):
    """Dense, ReLU, BatchNorm, dropout: in this order."""

    def __init__(self, inputs: int, outputs: int, dropout: float, norm_momentum: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs, eps=NORM_EPSILON, momentum=norm_momentum)
        self.dropout = nn.Dropout(dropout)
        he_normal_(self.linear)

    def forward(self, x_NC: Tensor) -> Tensor:
        """One layer. Raises ValueError for a single image in training, which has no variance to divide by."""
        if self.norm.training and len(x_NC) < 2:
            raise ValueError(
                "KonCept's BatchNorm layers need 2 or more images a worker and step to train; raise train.batch_size "
                "or lower train.workers"
            )
        return self.dropout(self.norm(self.linear(x_NC).relu()))


class Koncept(QualityModel):
    """KonCept: one score from the mean of the feature map over the whole photo.

    ``backbone`` maps normalised images to maps whose last has ``channels`` channels. Raises ValueError when
    ``settings`` do not give every hidden layer its dropout rate.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        settings: KonceptSettings,
        preprocessing: Preprocessing,
        mos_scale: MosScale,
        levels: bool = False,
    ) -> None:
        super().__init__()
        if len(settings.hidden) != len(settings.dropout):
            raise ValueError(
                f"model.koncept: {len(settings.hidden)} hidden layers but {len(settings.dropout)} dropout rates; "
                f"give hidden and dropout the same length"
            )
        self.preprocessing, self.mos_scale = preprocessing, mos_scale
        self.backbone = backbone
        self.hidden = nn.ModuleList()
        for width, dropout in zip(settings.hidden, settings.dropout, strict=True):
            self.hidden.append(HiddenLayer(channels, width, dropout, settings.norm_momentum))
            channels = width
        self.head = QualityHead(mos_scale, levels)
        self.output = nn.Linear(channels, self.head.outputs)
        he_normal_(self.output)
        with torch.no_grad():
            self.output.weight *= settings.output_start

    @property
    def output_layer(self) -> nn.Module:
        """The layer that gives the score."""
        return self.output

    def forward(self, images_NCHW: Tensor) -> Prediction:
        """Predict the quality of normalised images, of any size that the backbone takes."""
        map_NCHW = self.feature_maps(images_NCHW)[-1]
        # The mean of the whole map: a fixed 8 x 8 window, as in a port to torch, would see the top left alone.
        x_NC = map_NCHW.mean((2, 3))
        for layer in self.hidden:
            x_NC = layer(x_NC)
        return self.head(self.output(x_NC))


def build(settings: ModelSettings, mos_scale: MosScale) -> Koncept:
    """KonCept as ``settings`` describe it."""
    backbone = create_backbone(settings.backbone, size=settings.size)
    return Koncept(
        backbone.module,
        backbone.channels[-1],
        settings.koncept,
        backbone.preprocessing(settings.size),
        mos_scale,
        levels=settings.levels,
    )
