"""Factories for models that do not take images in [0, 1] as they are; what they need is the user's to install.

Shape suffixes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from halfiqa_ray.config.models import IMAGENET_MEAN
from halfiqa_ray.models.backbones import fill, read_weights
from halfiqa_ray.models.outside.making import named

IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalised(nn.Module):
    """Subtracts a mean and divides by a deviation before ``network``, as most networks of timm and torchvision need."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(tuple(mean))[:, None, None])
        self.register_buffer("std", torch.tensor(tuple(std))[:, None, None])

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """What the network says of images in [0, 1]."""
        return self.network((images_NCHW - self.get_buffer("mean")) / self.get_buffer("std"))


def normalised(
    factory: str,
    weights: str | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    **arguments: Any,
) -> Normalised:
    """A regressor with one output that ``factory`` makes of ``arguments``, such as ``timm:create_model``.

    ``weights`` is a file of its state dict (safetensors, or torch's own with tensors alone), on this machine or in
    object storage; without it, weights are what the factory gives. Raises ValueError for one that does not fit.
    """
    network = named(factory, "model.outside.arguments.factory", "normalised")(**arguments)
    if weights is not None:
        given = read_weights(weights, "model.outside.arguments.weights")
        fill(network, given, f"{weights} does not fit {factory}")
    return Normalised(network, mean, std)


def brisque() -> Callable[[Tensor], float]:
    """BRISQUE (Mittal et al., IEEE TIP 2012) of the package ``brisque``, which brings its own weights. Lower is better.

    Takes one image at a time; photos are rounded to 8 bits, as the package expects them. A flat photo has no score
    (ValueError, ZeroDivisionError or not a number).
    """
    from brisque import BRISQUE

    class Scalars(BRISQUE):
        def scale_features(self, features: Any) -> Any:
            # brisque 0.2.0 gives arrays of one number here, which NumPy 2.4 no longer takes for a number.
            return super().scale_features([np.ravel(feature)[0] for feature in features])

    measure = Scalars(url=False)

    def score(images_1CHW: Tensor) -> float:
        pixels_HW3 = (images_1CHW[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return float(measure.score(np.ascontiguousarray(pixels_HW3)))

    return score
