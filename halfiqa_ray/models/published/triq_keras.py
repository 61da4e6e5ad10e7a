"""TRIQ as its authors publish it: weights of github.com/junyongyou/triq (src/models/transformer_iqa.py).

Attention's dense layers, the feed-forward network's and the head's have no names of their own in that code. Keras
counts them in the order in which they are made: query, key, value, output, expand, contract for every encoder layer,
then the head's two. Layer norms are counted likewise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from halfiqa_ray.config import BackboneSettings, ModelSettings, TriqSettings
from halfiqa_ray.models.base import LEVELS, MosScale
from halfiqa_ray.models.published import resnet50_keras
from halfiqa_ray.models.published.keras_h5 import in_order, norm, numbered, parameters, read
from halfiqa_ray.models.published.layout import Layout, PublishedError
from halfiqa_ray.models.resnet50_v1 import NAME

DENSE = ("attention.query", "attention.key", "attention.value", "attention.output", "expand", "contract")
NORMS = ("attention_norm", "mlp_norm")


def settings(given: Mapping[str, Tensor]) -> ModelSettings:
    """The published architecture (2 layers, width 32, 8 heads, 64); positions and outputs are the file's."""
    positions = next((tensor for name, tensor in given.items() if name.endswith("/pos_emb")), None)
    dense = numbered(given, "dense")
    bias = given.get(f"{dense[-1]}/bias") if dense else None
    if positions is None or positions.dim() != 3 or bias is None:
        raise PublishedError("this is no TRIQ: it needs a position table (pos_emb) and dense layers with biases")
    return ModelSettings(
        name="triq",
        output="levels" if len(bias) == LEVELS else "score",
        backbone=BackboneSettings(name=NAME, weights="none"),
        triq=TriqSettings(positions=positions.shape[1], pooled=True),
    )


def names(own: Sequence[str], given: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of TRIQ's tensors, to those of the file."""
    layers = [f"encoder.{layer}" for layer in range(TriqSettings().layers)]
    dense = [f"{layer}.{name}" for layer in layers for name in DENSE]
    norms = [f"{layer}.{name}" for layer in layers for name in NORMS]
    found = resnet50_keras.names(own)
    found |= in_order([*dense, "head_hidden", "head_output"], given, "dense", parameters)
    found |= in_order(norms, given, "layer_normalization", norm)
    found |= in_order(["project"], given, "conv2d", parameters)
    for name in given:
        if name.endswith(("/quality_emb", "/pos_emb")):
            found["quality_token" if name.endswith("/quality_emb") else "position_table"] = name
    return found


LAYOUT = Layout(
    repository="https://github.com/junyongyou/triq",
    licence="MIT (the repository's LICENSE)",
    scale=MosScale(1.0, 5.0),
    scalar="level",
    read=read,
    settings=settings,
    names=names,
)
