"""BatchNorm folded into the convolution before it: the same scores from fewer passes over the maps, for inference only.

In evaluation BatchNorm is a fixed scale and shift of each channel, and a convolution followed by them is a convolution
with other weights. Which normalisation follows which convolution is seen in one pass, so that it holds for every
network, of timm or of ours; what comes between them (a padding, an activation) keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Output = Tensor | list[Tensor] | tuple[Tensor, ...]
TOLERANCE = 1e-4  # of the largest value of a folded network's output: float32 rounding, some fifty layers deep


@torch.no_grad()  # not inference mode: Grad-CAM needs gradients through the new weights
def fold_batchnorm(network: nn.Module, example: Tensor) -> int:
    """Fold every BatchNorm of ``network`` that directly follows a convolution; returns how many.

    ``network`` is changed in place and must be in evaluation mode; it can no longer be trained or stored. ``example``
    is one input of it. Raises ValueError for a network in training, and RuntimeError when the folded network's
    output on the example is another one.
    """
    if network.training:
        raise ValueError("BatchNorm can be folded in evaluation mode only: in training its statistics change")
    pairs, before = _pairs(network, example)
    for convolution, norm in pairs:
        _fold(convolution, norm)
    after = network(example)
    for ours, theirs in zip(_tensors(after), _tensors(before), strict=True):
        if not torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE * float(theirs.abs().max())):
            raise RuntimeError(f"folding {len(pairs)} BatchNorms changed the network's output")
    return len(pairs)


def _pairs(network: nn.Module, example: Tensor) -> tuple[list[tuple[nn.Conv2d, nn.BatchNorm2d]], Output]:
    """Each convolution that runs once, with the BatchNorm that takes its output; and the network's own output."""
    made: dict[int, nn.Conv2d] = {}
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    runs: dict[nn.Module, int] = {}
    kept: list[Tensor] = []  # so that no other tensor gets the address of one that is gone

    def after_convolution(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)  # noqa: S101
        made[id(output)] = module
        runs[module] = runs.get(module, 0) + 1
        kept.append(output)

    def before_norm(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)  # noqa: S101
        runs[module] = runs.get(module, 0) + 1
        if id(inputs[0]) in made and module.track_running_stats:
            found.append((made[id(inputs[0])], module))

    handles = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(before_norm))
    try:
        output: Output = network(example)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in found if runs[pair[0]] == runs[pair[1]] == 1], output


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Put the normalisation's scale and shift into the convolution, in float64, and leave the normalisation neutral."""
    assert norm.running_mean is not None  # noqa: S101
    assert norm.running_var is not None  # noqa: S101
    scale_C = torch.rsqrt(norm.running_var.double() + norm.eps)
    shift_C = -norm.running_mean.double() * scale_C
    if norm.affine:
        scale_C = scale_C * norm.weight.double()
        shift_C = shift_C * norm.weight.double() + norm.bias.double()
    weight, bias = convolution.weight.double(), convolution.bias
    if bias is not None:
        shift_C = shift_C + bias.double() * scale_C
    folded = (weight * scale_C[:, None, None, None]).float()
    convolution.weight = nn.Parameter(folded.to(memory_format=_layout(convolution.weight)), requires_grad=False)
    convolution.bias = nn.Parameter(shift_C.float(), requires_grad=False)
    norm.forward = _rest_of(norm)  # type: ignore[method-assign, assignment]


def _layout(weight: Tensor) -> torch.memory_format:
    is_last = weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def _rest_of(norm: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
    """What is left of a folded BatchNorm: timm's also hold a dropout and the activation."""
    drop, activation = getattr(norm, "drop", None), getattr(norm, "act", None)

    def forward(maps_NCHW: Tensor) -> Tensor:
        maps_NCHW = maps_NCHW if drop is None else drop(maps_NCHW)
        rest: Tensor = maps_NCHW if activation is None else activation(maps_NCHW)
        return rest

    return forward


def _tensors(output: Output) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else list(output)
