"""TRIQ: a CNN's feature matrix read by a small transformer encoder, with the positional mask of the paper.

Architecture from J. You and J. Korhonen, "Transformer for image quality assessment" (ICIP 2021) and its public
code (github.com/junyongyou/triq, src/models/transformer_iqa.py); the mask from Section 2 of "Half of an image is
enough for quality assessment" (arXiv 2301.12891).

Shape suffixes: N images, C channels, H and W rows and columns, T tokens (quality token first), D width.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from halfiqa_ray.config import ModelSettings, TriqSettings
from halfiqa_ray.masking.transformer import EncoderLayer
from halfiqa_ray.models.backbones import create_backbone
from halfiqa_ray.models.base import MosScale, Prediction, Preprocessing, QualityHead, QualityModel

POOL_FROM_ROWS = 16


class Triq(QualityModel):
    """Positional masked TRIQ.

    ``backbone`` maps normalised images to a list of feature maps whose last one, of ``channels`` channels, is the
    feature matrix. ``positions`` is the size of the learned position table: the tokens it can hold, plus one.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        settings: TriqSettings,
        positions: int,
        preprocessing: Preprocessing,
        mos_scale: MosScale,
        levels: bool = True,
    ) -> None:
        super().__init__()
        self.preprocessing, self.mos_scale, self.settings = preprocessing, mos_scale, settings
        width = settings.width
        self.backbone = backbone
        self.project = nn.Conv2d(channels, width, 1)
        self.quality_token = nn.Parameter(torch.empty(1, 1, width))
        self.position_table = nn.Parameter(torch.empty(1, positions, width))
        self.dropout = nn.Dropout(settings.dropout)
        self.encoder = nn.ModuleList(
            EncoderLayer(width, settings.heads, settings.mlp, settings.dropout) for _ in range(settings.layers)
        )
        self.head = QualityHead(mos_scale, levels)
        self.head_hidden = nn.Linear(width, settings.head)
        self.head_output = nn.Linear(settings.head, self.head.outputs)
        self._initialise()

    def _initialise(self) -> None:
        """Keras defaults, as in the public code: Glorot-uniform weights, zero biases; the backbone is left alone."""
        for name, parameter in self.named_parameters():
            if name.startswith("backbone.") or "norm" in name:
                continue
            if parameter.dim() == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_uniform_(parameter)

    @property
    def output_layer(self) -> nn.Module:
        """The layer that gives the levels."""
        return self.head_output

    def feature_matrix(self, images_NCHW: Tensor) -> Tensor:
        """The backbone's last feature map (N, C, H/32, W/32), computed once an image."""
        return self.feature_maps(images_NCHW)[-1]

    def after_backbone(self, dtype: torch.dtype) -> Triq:
        """A copy without the backbone, in another precision."""
        backbone, self.backbone = self.backbone, nn.Identity()
        try:
            return copy.deepcopy(self).to(dtype)
        finally:
            self.backbone = backbone

    def project_and_pool(self, features_NCHW: Tensor) -> Tensor:
        """The token map (N, D, H, W) that the transformer sees: projected and, if set, pooled 2 x 2."""
        projected_NDHW = self.project(features_NCHW)
        if self.settings.pooled and projected_NDHW.shape[2] >= POOL_FROM_ROWS:
            return functional.max_pool2d(projected_NDHW, 2)
        return projected_NDHW

    def tokens(self, token_map_NDHW: Tensor) -> Tensor:
        """Quality token and map tokens (row by row) with their positions added: (N, T, D).

        Raises ValueError when the map has more tokens than the position table holds.
        """
        count = token_map_NDHW.shape[2] * token_map_NDHW.shape[3] + 1
        held = self.position_table.shape[1]
        if count > held:
            raise ValueError(
                f"this image gives {count} tokens (a {token_map_NDHW.shape[2]} x {token_map_NDHW.shape[3]} map and "
                f"the quality token) but the position table holds {held}; use a smaller input size, or train with "
                f"triq.positions of {count} or more"
            )
        flat_NTD = token_map_NDHW.flatten(2).transpose(1, 2)
        quality = self.quality_token.expand(len(flat_NTD), -1, -1)
        return torch.cat([quality, flat_NTD], 1) + self.position_table[:, :count]

    def encode(self, tokens_NTD: Tensor, masked_NT: Tensor | None = None) -> Tensor:
        """The quality token after all layers (N, D). ``masked_NT``: bool, True = masked; the quality token never is."""
        x_NTD = self.dropout(tokens_NTD)
        for layer in self.encoder:
            x_NTD = layer(x_NTD, masked_NT)
        return x_NTD[:, 0]

    def read_out(self, quality_ND: Tensor) -> Prediction:
        """The prediction from the encoded quality token."""
        hidden = functional.gelu(self.head_hidden(quality_ND), approximate="tanh")
        return self.head(self.head_output(self.dropout(hidden)))

    def forward(self, images_NCHW: Tensor, masked_NT: Tensor | None = None) -> Prediction:
        """Predict the quality of normalised images, optionally with some tokens masked."""
        token_map_NDHW = self.project_and_pool(self.feature_matrix(images_NCHW))
        return self.read_out(self.encode(self.tokens(token_map_NDHW), masked_NT))


def token_map_size(settings: ModelSettings) -> tuple[int, int]:
    """Rows and columns of the token map at the input size: 24 x 32 at 768 x 1024, halved where pooled."""
    rows, columns = math.ceil(settings.height / Triq.stride), math.ceil(settings.width / Triq.stride)
    if settings.triq.pooled and rows >= POOL_FROM_ROWS:
        return rows // 2, columns // 2
    return rows, columns


def build(settings: ModelSettings, mos_scale: MosScale) -> Triq:
    """TRIQ as ``settings`` describe it. Raises ValueError when its position table is too small for the input size."""
    rows, columns = token_map_size(settings)
    if 0 < settings.triq.positions < rows * columns + 1:
        raise ValueError(
            f"model.triq.positions is {settings.triq.positions}, but {settings.height} x {settings.width} pixels "
            f"give {rows * columns + 1} tokens; raise it, or set it to 0"
        )
    backbone = create_backbone(settings.backbone)
    return Triq(
        backbone.module,
        backbone.channels[-1],
        settings.triq,
        positions=settings.triq.positions or rows * columns + 1,
        preprocessing=backbone.preprocessing(settings.size),
        mos_scale=mos_scale,
        levels=settings.levels,
    )
