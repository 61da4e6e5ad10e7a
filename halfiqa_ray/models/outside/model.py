"""Any callable from images to scores as a `QualityModel`, so that it can be zeroed and explained like the others.

Shape suffixes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.base import MosScale, Prediction, Preprocessing, QualityModel
from halfiqa_ray.models.outside.naming import OutsideError, said


class Outside(QualityModel):
    """A model that is not ours.

    What is called here "normalised" is the image in [0, 1] less the colour that means nothing: so zeroing sets pixels
    to that colour. The callable gets the image itself: float32, N x 3 x H x W, RGB in [0, 1], contiguous; on the
    model's device where it is an nn.Module, else on the CPU.
    """

    def __init__(self, settings: ModelSettings, network: Callable[..., Any]) -> None:
        super().__init__()
        outside = settings.outside
        self.settings, self.network = settings, network
        self.preprocessing = Preprocessing(settings.height, settings.width, outside.nothing, (1.0, 1.0, 1.0))
        self.mos_scale = MosScale(*outside.scale)
        self.register_buffer("nothing_C", torch.tensor(outside.nothing), persistent=False)
        self._layer = self._named_layer(outside.layer) if outside.layer is not None else None

    @property
    def device(self) -> torch.device:
        """Where its input is expected."""
        return self.get_buffer("nothing_C").device

    @property
    def map_layer(self) -> nn.Module | None:
        """The layer whose map Grad-CAM explains."""
        return self._layer

    @property
    def output_layer(self) -> nn.Module:
        """There is none: such a model is not trained here."""
        raise OutsideError(f"{said(self.settings)} is not trained here")

    def forward(self, images_NCHW: Tensor) -> Prediction:
        """Predict the quality of normalised images.

        Raises OutsideError for anything but a score an image.
        """
        nothing_C11 = self.get_buffer("nothing_C")[:, None, None]
        # What rounding leaves above 1 or below 0 would be out of range to those that check it.
        pixels_NCHW = (images_NCHW + nothing_C11).clamp(0, 1).contiguous()
        if not isinstance(self.network, nn.Module):
            pixels_NCHW = pixels_NCHW.cpu()
        if self.settings.outside.one_by_one:
            score_N = torch.cat([self._one(pixels_NCHW[i : i + 1]) for i in range(len(pixels_NCHW))])
        else:
            score_N = self._scores(self.network(pixels_NCHW), len(pixels_NCHW))
        score_N = score_N.to(images_NCHW.device)
        if self.settings.outside.better == "lower":
            score_N = self.mos_scale.low + self.mos_scale.high - score_N
        return Prediction(score_N, None)

    def _one(self, pixels_1CHW: Tensor) -> Tensor:
        try:
            return self._scores(self.network(pixels_1CHW), 1)
        except OutsideError:
            raise
        except (ValueError, ArithmeticError) as error:
            # Classical measures divide by what a flat photo has not. Not a number is that photo's error, told later.
            warnings.warn(f"{said(self.settings)}: no score of one image: {error}", RuntimeWarning, stacklevel=2)
            return torch.full((1,), torch.nan)

    def _scores(self, given: Any, images: int) -> Tensor:
        """What the callable gave as (N,) float32; gradients stay."""
        shapes = f"({images},) or ({images}, 1)" + (", or one number" if images == 1 else "")
        whose = said(self.settings)
        if isinstance(given, tuple | list) and any(isinstance(each, Tensor) and each.ndim for each in given):
            raise OutsideError(f"{whose} gave {len(given)} tensors for {images} images; one with shape {shapes} is due")
        try:
            score = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given, np.float64))
        except (TypeError, ValueError):
            raise OutsideError(
                f"{whose} gave a {type(given).__name__} for {images} images; a tensor, an array or a list of numbers "
                f"of shape {shapes} is due"
            ) from None
        shape = tuple(score.shape)
        if shape not in ((images,), (images, 1)) and not (images == 1 and score.numel() == 1):
            levels = "; make one score of the probabilities first" if len(shape) == 2 and shape[0] == images else ""
            raise OutsideError(
                f"{whose} gave shape {shape} for {images} images; one score an image is due, shape {shapes}{levels}. A "
                f"function that takes one image at a time needs model.outside.one_by_one: true"
            )
        return score.reshape(images).to(torch.float32)

    def _named_layer(self, name: str) -> nn.Module:
        if not isinstance(self.network, nn.Module):
            raise OutsideError(
                f"{said(self.settings)}: model.outside.layer is {name!r}, but it is no nn.Module; leave it out"
            )
        layers = dict(self.network.named_modules())
        if name not in layers or not name:
            some = ", ".join(each for each in layers if each and each.count(".") <= 1)
            raise OutsideError(
                f"{said(self.settings)}: model.outside.layer: it has no layer {name!r}; it has {some[:400]}"
            )
        return layers[name]
