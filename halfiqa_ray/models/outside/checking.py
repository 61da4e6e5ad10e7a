"""Whether an outside model keeps the contract (docs/outside.md), tried on two made images before any photo.

Shape suffixes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halfiqa_ray.models.outside.model import Outside
from halfiqa_ray.models.outside.naming import OutsideError, said

# Two runs of one network may add in another order; dropout and BatchNorm in training mode change far more than this.
RELATIVE, ABSOLUTE = 1e-3, 1e-6


def check(model: Outside) -> None:
    """Raise OutsideError that says what is wrong: shape, a score that is not finite, other scores the second time or
    in other company, and a layer without a map or gradient.
    """
    whose = said(model.settings)
    images_2CHW = made_images(*model.settings.size).to(model.device) - model.get_buffer("nothing_C")[:, None, None]
    images_2CHW[1, :, :, : model.settings.width // 2] = 0  # as photos will be
    try:
        with torch.inference_mode():
            first_2 = model(images_2CHW).score_N.cpu()
            again_2 = model(images_2CHW).score_N.cpu()
            alone_2 = torch.cat([model(images_2CHW[i : i + 1]).score_N.cpu() for i in (1, 0)]).flip(0)
    except OutsideError:
        raise
    except Exception as error:
        raise OutsideError(
            f"{whose} failed on two test images (float32, {tuple(images_2CHW.shape)}, RGB in [0, 1]): "
            f"{type(error).__name__}: {error}"
        ) from error
    if not first_2.isfinite().all():
        raise OutsideError(
            f"{whose} gave {_numbers(first_2)} for two test images, the second with its left half set to "
            f"{list(model.settings.outside.nothing)} (model.outside.nothing): every score must be a finite number"
        )
    if not _same(first_2, again_2):
        raise OutsideError(
            f"{whose} is not deterministic: it gave {_numbers(first_2)} for two test images and {_numbers(again_2)} "
            f"the second time; switch off dropout, random crops and the like, or seed them at every call"
        )
    if not _same(first_2, alone_2):
        raise OutsideError(
            f"{whose}: scores depend on what else is in the batch: together two test images got {_numbers(first_2)}, "
            f"one by one {_numbers(alone_2)}; set model.outside.one_by_one: true, or make it score each by itself"
        )
    if model.map_layer is not None:
        _check_layer(model, images_2CHW)


def made_images(height: int, width: int) -> Tensor:
    """Two RGB images in [0, 1] (2, 3, H, W): waves over a slope, and noise; the same everywhere."""
    y_H1, x_1W = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    waves_CHW = torch.stack([0.5 + 0.2 * torch.sin(40 * (k + 1) * x_1W * y_H1) + 0.3 * (x_1W - y_H1) for k in range(3)])
    noise_CHW = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    return torch.stack([waves_CHW, noise_CHW]).clamp(0, 1)


def _check_layer(model: Outside, images_2CHW: Tensor) -> None:
    whose, name = f"{said(model.settings)}: model.outside.layer {model.settings.outside.layer}", "Grad-CAM"
    given: list[Any] = []

    def cut(module: Any, inputs: Any, output: Any) -> Any:
        given.append(output.detach().requires_grad_() if isinstance(output, Tensor) else output)
        return given[-1]

    assert model.map_layer is not None  # noqa: S101  # the caller has looked
    hook = model.map_layer.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            score_2 = model(images_2CHW.clone()).score_N
    finally:
        hook.remove()
    if len(given) != 1:
        raise OutsideError(f"{whose} ran {len(given)} times in one pass; {name} needs one that runs once: name another")
    [map_NCHW] = given
    if not isinstance(map_NCHW, Tensor) or map_NCHW.ndim != 4 or len(map_NCHW) != len(images_2CHW):
        shape = tuple(map_NCHW.shape) if isinstance(map_NCHW, Tensor) else f"a {type(map_NCHW).__name__}"
        raise OutsideError(f"{whose} gives {shape}; {name} needs images x channels x rows x columns: name another")
    gradient = torch.autograd.grad(score_2.sum(), map_NCHW, allow_unused=True)[0] if score_2.requires_grad else None
    if gradient is None:
        raise OutsideError(
            f"{whose}: no gradient comes from the score back to it, which {name} needs: does the model switch "
            f"gradients off (pyiqa: as_loss: true and loss_reduction: none let them through)? Or leave the layer out"
        )


def _same(one_N: Tensor, other_N: Tensor) -> bool:
    return torch.allclose(one_N, other_N, rtol=RELATIVE, atol=ABSOLUTE)


def _numbers(score_N: Tensor) -> str:
    return " and ".join(f"{value:.6g}" for value in score_N.tolist())
