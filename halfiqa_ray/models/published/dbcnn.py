"""DBCNN in PyTorch: weights of github.com/zwx8981/DBCNN-PyTorch (DBCNN.py).

``features1`` is torchvision's VGG-16 without its last pooling, ``features2`` S-CNN, ``fc`` the output layer. Its
training script saves from torch's DataParallel, which puts ``module.`` before every name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from halfiqa_ray.config import BackboneSettings, ModelSettings
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.published import torch_state
from halfiqa_ray.models.published.layout import Layout, PublishedError

# timm's feature extractor has features_0 where torchvision has features.0.
PREFIXES = {"backbone.features_": "features1.", "scnn.features.": "features2.", "output.": "fc."}


def settings(given: Mapping[str, Tensor]) -> ModelSettings:
    """The published architecture; the input size is KonIQ-10k's smaller one. Raises PublishedError for another file."""
    if "features1.0.weight" not in given or "features2.0.weight" not in given:
        raise PublishedError(
            "this is no DBCNN: it needs features1 (VGG-16) and features2 (S-CNN). Weights of S-CNN alone are a start "
            "for training: name the file in model.dbcnn.scnn_weights"
        )
    return ModelSettings(
        name="dbcnn",
        height=384,
        width=512,
        output="score",
        backbone=BackboneSettings(name="vgg16", weights="none"),
    )


def names(own: Sequence[str], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of DBCNN's tensors, to those of the file."""
    return {
        name: theirs + name.removeprefix(ours)
        for name in own
        for ours, theirs in PREFIXES.items()
        if name.startswith(ours)
    }


LAYOUT = Layout(
    repository="https://github.com/zwx8981/DBCNN-PyTorch",
    licence="MIT (the repository's LICENSE)",
    scale=MosScale(0.0, 100.0),
    scalar="score",
    read=torch_state.read,
    settings=settings,
    names=names,
)
