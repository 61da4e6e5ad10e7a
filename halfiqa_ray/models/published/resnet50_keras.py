"""Names of Keras' ResNet-50 layers (github.com/junyongyou/triq, src/backbone/resnet50.py) for ours."""

from __future__ import annotations

import re
from collections.abc import Iterable

from halfiqa_ray.models.published.keras_h5 import norm, parameters

# Keras numbers a block's convolutions in this order; the shortcut is there in a stage's first block alone.
CONVOLUTIONS = ("shortcut", "reduce", "spatial", "expand")
MODULE = re.compile(r"(?P<pair>.*(?:stem|stages\.(?P<stage>\d)\.(?P<place>\d)\.(?P<name>\w+)))\.convolution\.weight")


def names(own: Iterable[str]) -> dict[str, str]:
    """Names of the tensors of a ``ResNet50V1``, wherever in a model it is, to those of Keras."""
    found: dict[str, str] = {}
    for hit in filter(None, map(MODULE.fullmatch, own)):
        layer = "conv1"
        if hit["name"]:
            layer = f"conv{int(hit['stage']) + 2}_block{int(hit['place']) + 1}_{CONVOLUTIONS.index(hit['name'])}"
        found |= parameters(f"{hit['pair']}.convolution", f"{layer}_conv")
        found |= norm(f"{hit['pair']}.norm", f"{layer}_bn", statistics=True)
    return found
