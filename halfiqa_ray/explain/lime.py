"""LIME of a predicted score (Ribeiro et al., arXiv 1602.04938): a linear model of the score on which superpixels show.

captum does the work. The paper names no numbers, so they are those of the method's own code for images (lime_image.py
of github.com/marcotcr/lime): the photo itself and then samples in which each superpixel shows with probability 1/2;
weights exp(-d^2 / (2 * 0.25^2)) by the cosine distance d of a sample's on-off vector to that of the photo; ridge
regression with penalty 1, whose coefficients scale with the score (captum's default, a lasso of 0.01, sets small
coefficients to 0, and what is small hangs on the MOS scale).

Two things differ. A hidden superpixel is by default 0 after normalisation, not its mean colour: it is what zeroing does
to blocks (Section 4.1 of the paper), so that an explanation says what that test asks; ``fill`` of the settings takes
another of `masking.fills`. And superpixels are SLIC's, which are about
equal in size, not quickshift's; in its parameter-free form, because noise breaks up those of the plain one, which then
merge into a few large ones.

Shape suffixes: H and W pixels, F superpixels.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halfiqa_ray.config import LimeSettings
from halfiqa_ray.masking.fills import background
from halfiqa_ray.models.base import QualityModel

KERNEL_WIDTH, RIDGE, SHOWN = 0.25, 1.0, 0.5
SMOOTHING = 1.0  # Gaussian before SLIC, pixels


class MissingPackageError(RuntimeError):
    """A package of the extra `explain` is not installed."""


def check_installed() -> None:
    """Raise MissingPackageError that says what to install, unless LIME can run here."""
    if missing := [name for name in ("captum", "skimage", "sklearn") if importlib.util.find_spec(name) is None]:
        raise MissingPackageError(
            f"explain.methods has lime, which needs {', '.join(missing)}; run: pip install 'halfiqa_ray[explain]' (on "
            f"every node of a cluster), or leave it out: --explain.methods '[grad_cam]'"
        )


def lime(
    model: QualityModel, pixels_HW3: NDArray[np.uint8], image_id: str, settings: LimeSettings, seed: int, batch: int = 1
) -> NDArray[np.float32]:
    """The signed map (H, W) of one RGB photo of the model's input size: in MOS units what showing a superpixel adds.

    Samples are drawn from ``seed`` and ``image_id``. Forward passes have ``batch`` samples, the last one padded. NaN
    everywhere when the model gives some sample a score that is not finite.
    """
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime

    device = model.device
    segments_HW = superpixels(pixels_HW3, settings.segments)
    pixels_1HW3 = torch.from_numpy(np.ascontiguousarray(pixels_HW3))[None].to(device)
    image_1CHW = model.normalise(pixels_1HW3)
    hidden: Tensor | int = 0
    if settings.fill != "zero":
        hidden = model.standardise(background(pixels_1HW3[0].float() / 255, settings.fill)[None])

    def score(images_NCHW: Tensor) -> Tensor:
        missing = batch - len(images_NCHW)
        padded_NCHW = torch.cat([images_NCHW, images_NCHW[:1].expand(missing, -1, -1, -1)]) if missing else images_NCHW
        score_N = model(padded_NCHW).score_N[: len(images_NCHW)]
        if not score_N.isfinite().all():
            raise FloatingPointError
        return score_N

    explainer = Lime(score, SkLearnRidge(alpha=RIDGE), similarity, samples_of(image_id, seed))
    try:
        coefficients_F = explainer.attribute(
            image_1CHW,
            baselines=hidden,
            feature_mask=torch.from_numpy(segments_HW).to(device)[None, None],
            n_samples=settings.samples,
            perturbations_per_eval=batch,
            return_input_shape=False,
        )
    except FloatingPointError:
        return np.full(segments_HW.shape, np.nan, np.float32)
    return coefficients_F.flatten().float().cpu().numpy()[segments_HW]


def superpixels(pixels_HW3: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """The superpixel of every pixel of an RGB photo (H, W): 0 .. F - 1, F about ``count``."""
    from skimage.segmentation import relabel_sequential, slic

    found = slic(pixels_HW3, count, slic_zero=True, sigma=SMOOTHING, start_label=1)
    return relabel_sequential(found)[0].astype(np.int64) - 1


def similarity(original: Tensor, perturbed: Tensor, shown_1F: Tensor, **kwargs: Any) -> Tensor:
    """The weight of a sample, by how many superpixels it shows (captum's ``similarity_func``)."""
    distance = 1 - shown_1F.double().mean().sqrt()  # the cosine of an on-off vector and one of ones
    return (-(distance**2) / (2 * KERNEL_WIDTH**2)).exp()


def samples_of(image_id: str, seed: int) -> Callable[..., Iterator[Tensor]]:
    """What shows in the samples of an image (captum's ``perturb_func``): first all, then each with probability 1/2."""

    def samples(original: Tensor, num_interp_features: int, **kwargs: Any) -> Iterator[Tensor]:
        text = f"{seed}\0lime\0{image_id}".encode("utf-8", "surrogatepass")
        draw = np.random.default_rng(list(hashlib.sha256(text).digest()))
        shown_F = np.ones(num_interp_features, np.bool_)
        while True:
            yield torch.from_numpy(shown_F.astype(np.int64))[None].to(original.device)
            shown_F = draw.random(num_interp_features) < SHOWN

    return samples
