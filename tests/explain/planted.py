"""Models with a known answer: what their scores hang on is put in."""

import torch
from torch import nn

from halfiqa_ray.models.base import Prediction, Preprocessing, QualityHead, QualityModel
from tests.models.small import KONIQ


class Cells(nn.Module):
    """A backbone whose deepest map is the mean of every 8 x 8 pixels and channel, 0 outside ``seen`` (H / 8, W / 8)."""

    def __init__(self, seen_HW):
        super().__init__()
        self.seen_HW = seen_HW

    def forward(self, images_NCHW):
        return [images_NCHW, nn.functional.avg_pool2d(images_NCHW, 8) * self.seen_HW]


class Planted(QualityModel):
    """score = 3 + sum over channels and places of ``weights`` (3, H / 8, W / 8) * the deepest map."""

    def __init__(self, weights_CHW, seen_HW=1):
        super().__init__()
        height, width = (8 * side for side in weights_CHW.shape[1:])
        self.preprocessing = Preprocessing(height, width, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        self.mos_scale, self.backbone, self.head = KONIQ, Cells(seen_HW), QualityHead(KONIQ, levels=False)
        self.weights = nn.Parameter(weights_CHW)

    @property
    def output_layer(self):
        return self.head

    def forward(self, images_NCHW):
        map_NCHW = self.backbone(images_NCHW)[-1]
        return Prediction(3 + (map_NCHW * self.weights).sum((1, 2, 3)), None)


def one_region(sees_elsewhere=True, weight=0.1):
    """A model whose score depends on the top right third by half of 96 x 128 pixels only.

    Its head looks at nothing else, or its backbone already ``sees`` nothing else.
    """
    region_HW = torch.zeros(12, 16)
    region_HW[:4, 8:] = 1
    weights_CHW = weight * region_HW.expand(3, -1, -1)
    return Planted(weights_CHW.clone(), 1 if sees_elsewhere else region_HW).eval()
