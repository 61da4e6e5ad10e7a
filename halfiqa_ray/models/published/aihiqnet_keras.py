"""AIHIQnet as its authors publish it: weights of github.com/junyongyou/aihiqnet (src/image_quality).

The pyramid's convolutions have names (layers/fusion.py), and so have the heads' last layers
(models/prediction_model_contrast_sensitivity.py). The attentions' layers have none: Keras counts them, head by head
from the finest level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from halfiqa_ray.config import BackboneSettings, ModelSettings
from halfiqa_ray.models.base import LEVELS, MosScale
from halfiqa_ray.models.published import resnet50_keras
from halfiqa_ray.models.published.keras_h5 import in_order, parameters, read
from halfiqa_ray.models.published.layout import Layout, PublishedError
from halfiqa_ray.models.resnet50_v1 import NAME

HEADS = range(5)
# An earlier state of the code leaves the underscore out where there is one output.
OUTPUTS = ("P{}_fc_prediction", "P{}fc_prediction")


def settings(given: Mapping[str, Tensor]) -> ModelSettings:
    """The published architecture (a pyramid of width 256 on ResNet-50), with as many outputs as the file's."""
    bias = next((given[f"{name.format(0)}/bias"] for name in OUTPUTS if f"{name.format(0)}/bias" in given), None)
    if bias is None:
        raise PublishedError("this is no AIHIQnet: there is no layer P0_fc_prediction in the file")
    return ModelSettings(
        name="aihiqnet",
        output="levels" if len(bias) == LEVELS else "score",
        backbone=BackboneSettings(name=NAME, weights="none"),
    )


def names(own: Sequence[str], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of AIHIQnet's tensors, to those of the file."""
    found = resnet50_keras.names(own) | parameters("pyramid.coarsest", "fpn_P6")
    for place in range(4):
        found |= parameters(f"pyramid.lateral.{place}", f"fpn_C{place + 2}_reduced")
        found |= parameters(f"pyramid.smooth.{place}", f"fpn_P{place + 2}")
    found |= in_order([f"heads.{head}.channel.linear" for head in HEADS], given, "dense", parameters)
    found |= in_order([f"heads.{head}.spatial" for head in HEADS], given, "conv2d", parameters)
    for head in HEADS:
        layer = next((name for name in OUTPUTS if f"{name.format(head)}/kernel" in given), OUTPUTS[0]).format(head)
        found |= parameters(f"heads.{head}.output", layer)
    return {ours: theirs for ours, theirs in found.items() if ours in own}  # the spatial attentions have no bias


LAYOUT = Layout(
    repository="https://github.com/junyongyou/aihiqnet",
    licence="MIT (the repository's LICENSE)",
    scale=MosScale(1.0, 5.0),
    scalar="level",
    read=read,
    settings=settings,
    names=names,
)
