"""DBCNN: an ImageNet network and one for synthetic distortions, joined by bilinear pooling.

Architecture from W. Zhang et al., "Blind image quality assessment using a deep bilinear convolutional neural network"
(TCSVT 2020, arXiv 1907.02665) and its public code, github.com/zwx8981/DBCNN-PyTorch (MIT), DBCNN.py.

Shape suffixes: N images, C and D channels, H and W rows and columns, F = C x D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from halfiqa_ray.config import DbcnnSettings, ModelSettings
from halfiqa_ray.models.backbones import create_backbone
from halfiqa_ray.models.base import MosScale, Prediction, Preprocessing, QualityHead, QualityModel, at_least_float32
from halfiqa_ray.models.scnn import Scnn, load_scnn

ROOT_EPSILON = 1e-8  # the slope of a square root at 0 is infinite; here it stays below 5000


def bilinear_pool(first_NCHW: Tensor, second_NDHW: Tensor) -> Tensor:
    """The mean over places of all products of two maps' channels, its square root, scaled to length 1: (N, F).

    Feature c * D + d is of channels c and d. Both maps have the same rows and columns and no negative value. Computed
    in float32 or float64 whatever the maps are in and autocast says: float16 rounds the 1e-8 under the root to 0, so
    that the gradient of an empty product is infinite, and both half formats lose a mean over hundreds of places.
    """
    with torch.autocast(first_NCHW.device.type, enabled=False):
        first_NCP, second_NDP = at_least_float32(first_NCHW).flatten(2), at_least_float32(second_NDHW).flatten(2)
        product_NF = (first_NCP @ second_NDP.transpose(1, 2)).flatten(1) / first_NCP.shape[2]
        return functional.normalize((product_NF + ROOT_EPSILON).sqrt())


class Dbcnn(QualityModel):
    """DBCNN.

    ``backbone`` (VGG-16) maps normalised images to maps whose last, of stride 16, has ``channels`` channels.
    """

    stride = 16

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        settings: DbcnnSettings,
        preprocessing: Preprocessing,
        mos_scale: MosScale,
        levels: bool = False,
    ) -> None:
        super().__init__()
        self.preprocessing, self.mos_scale = preprocessing, mos_scale
        self.backbone = backbone
        self.scnn = Scnn(settings.scnn_widths)
        self.head = QualityHead(mos_scale, levels)
        self.output = nn.Linear(channels * self.scnn.channels, self.head.outputs)
        nn.init.kaiming_normal_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @property
    def output_layer(self) -> nn.Module:
        """The layer that gives the score, which the first stage of the published recipe fits alone."""
        return self.output

    def branches(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of both branches, of the backbone's rows and columns and without negative values."""
        images_NCHW = images_NCHW.contiguous(memory_format=torch.channels_last)
        # VGG's map has passed a ReLU already; other backbones' may be negative, and the root would be NaN.
        first_NCHW = self.backbone(images_NCHW)[-1].relu()
        second_NDHW = self.scnn(images_NCHW)
        size = first_NCHW.shape[2:]
        if second_NDHW.shape[2:] != size:  # VGG rounds sizes down, S-CNN up
            second_NDHW = functional.interpolate(second_NDHW, size, mode="bilinear", align_corners=True)
        return first_NCHW, second_NDHW

    def forward(self, images_NCHW: Tensor) -> Prediction:
        """Predict the quality of normalised images, of any size from 32 x 32."""
        return self.head(self.output(bilinear_pool(*self.branches(images_NCHW))))


def build(settings: ModelSettings, mos_scale: MosScale) -> Dbcnn:
    """DBCNN as ``settings`` describe it. Raises WeightsError when the S-CNN weights cannot be had or do not fit."""
    backbone = create_backbone(settings.backbone, (Dbcnn.stride,), settings.size)
    model = Dbcnn(
        backbone.module,
        backbone.channels[-1],
        settings.dbcnn,
        backbone.preprocessing(settings.size),
        mos_scale,
        levels=settings.levels,
    )
    if settings.dbcnn.scnn_weights != "none":
        load_scnn(model.scnn, settings.dbcnn.scnn_weights)
    return model
