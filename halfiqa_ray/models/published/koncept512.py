"""KonCept512 in PyTorch: weights of github.com/ZhengyuZhao/koniq-PyTorch (koncept512_train_test_pytorch.ipynb).

``base`` is the Inception-ResNet-v2 of the package ``pretrainedmodels`` as a Sequential of its parts, so that their
numbers stand where timm has their names; inside a part both name alike. ``fc`` is the head as a Sequential.

That code pools an 8 x 8 window. On a larger map, such as the 10 x 14 of its own 384 x 512 input, the window is the top
left corner alone: a score from the mean of the whole map, as here, is not what that code printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from halfiqa_ray.config import BackboneSettings, ModelSettings
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.keras_rules import NORM_EPSILON
from halfiqa_ray.models.published import torch_state
from halfiqa_ray.models.published.layout import Layout, PublishedError

# In the order of the package's children, those without weights included.
PARTS = (
    *("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a", "mixed_5b"),
    *("repeat", "mixed_6a", "repeat_1", "mixed_7a", "repeat_2", "block8", "conv2d_7b"),
)
# Four places of the Sequential a hidden layer: dense, ReLU, BatchNorm, dropout.
HEAD = {
    f"hidden.{layer}.{name}": f"fc.{4 * layer + place}"
    for layer in range(3)
    for name, place in (("linear", 0), ("norm", 2))
}
HEAD["output"] = "fc.12"
TORCH_NORM_EPSILON = 1e-5


def read(uri: str, maximum_bytes: int) -> dict[str, Tensor]:
    """The tensors of the file, its head's BatchNorm weights adapted to the epsilon that ours has, Keras' 1e-3.

    That head was trained with torch's 1e-5. A norm divides by sqrt(variance + epsilon), so its weight times
    sqrt((variance + 1e-3) / (variance + 1e-5)) gives the same result.
    """
    tensors = torch_state.read(uri, maximum_bytes)
    for ours, theirs in HEAD.items():
        variance, weight = tensors.get(f"{theirs}.running_var"), tensors.get(f"{theirs}.weight")
        if ours.endswith("norm") and variance is not None and weight is not None and variance.shape == weight.shape:
            ratio = (variance.double() + NORM_EPSILON) / (variance.double() + TORCH_NORM_EPSILON)
            tensors[f"{theirs}.weight"] = (weight * torch.sqrt(ratio)).float()
    return tensors


def settings(given: Mapping[str, Tensor]) -> ModelSettings:
    """The published architecture on 384 x 512 pixels. Raises PublishedError when it is not in the file."""
    if "base.0.conv.weight" not in given or "fc.12.weight" not in given:
        raise PublishedError("this is no KonCept512 of koniq-PyTorch: base.0.conv.weight or fc.12.weight is missing")
    return ModelSettings(
        name="koncept",
        height=384,
        width=512,
        output="score",
        backbone=BackboneSettings(name="inception_resnet_v2", weights="none"),
    )


def names(own: Sequence[str], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of KonCept's tensors, to those of the file."""
    modules = {f"backbone.{part}": f"base.{number}" for number, part in enumerate(PARTS)} | HEAD
    found = {}
    for name in own:
        module = next((ours for ours in modules if name.startswith(f"{ours}.")), None)
        if module:
            found[name] = modules[module] + name.removeprefix(module)
    return found


LAYOUT = Layout(
    repository="https://github.com/ZhengyuZhao/koniq-PyTorch",
    licence="MIT (the repository's LICENSE)",
    scale=MosScale(0.0, 100.0),
    scalar="score",
    read=read,
    settings=settings,
    names=names,
)
