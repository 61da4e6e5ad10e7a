"""What moves the weights: the optimiser of one stage, and the precision of its passes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from halfiqa_ray.config import StageSettings
from halfiqa_ray.models.base import QualityModel

# Keras' Adam, as in the public TRIQ code.
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-7


def create_optimiser(
    model: QualityModel, stage: StageSettings, backbone_rate: float, frozen: Sequence[str] = ()
) -> torch.optim.Optimizer:
    """The optimiser of a stage, over the weights that it trains; the others are frozen (``requires_grad``).

    Those of modules named in ``frozen`` are. Every group has a ``share``: its learning rate as a share of the stage's.
    Weights decay by L2 in the gradient (adam, sgd: what DBCNN's public code does) or apart from it (adamw). Raises
    ValueError for a name that the model has not, and when nothing is left to train.
    """
    chosen: nn.Module = model if stage.trains == "all" else model.output_layer
    trained = set(chosen.parameters()) - frozen_parameters(model, frozen)
    if not trained:
        raise ValueError(f"train.frozen: {', '.join(frozen)} leave no weight to train")
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in trained)
    backbone = [parameter for parameter in model.backbone.parameters() if parameter in trained]
    known = set(backbone)
    others = [parameter for parameter in chosen.parameters() if parameter in trained - known]
    shares = ((others, 1.0), (backbone, backbone_rate))
    groups: list[dict[str, Any]] = [{"params": found, "share": share} for found, share in shares if found]
    if stage.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=0, momentum=stage.momentum, weight_decay=stage.weight_decay)
    kind = torch.optim.AdamW if stage.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, betas=ADAM_BETAS, eps=ADAM_EPSILON, weight_decay=stage.weight_decay)


def frozen_parameters(model: nn.Module, names: Sequence[str]) -> set[nn.Parameter]:
    """The weights of the modules of these names (as ``named_modules`` has them). Raises ValueError for others."""
    modules = dict(model.named_modules())
    if unknown := [name for name in names if name not in modules]:
        near = difflib.get_close_matches(unknown[0], modules, n=3)
        raise ValueError(
            f"train.frozen: {type(model).__name__} has no part {unknown[0]!r}"
            + (f"; did you mean {', '.join(near)}?" if near else "")
        )
    return {parameter for name in names for parameter in modules[name].parameters()}


def precision_on(precision: str, device: torch.device) -> torch.dtype:
    """The type that training passes are computed in on ``device``; ``auto`` as TrainSettings.precision says."""
    if precision != "auto":
        found = getattr(torch, precision)
        assert isinstance(found, torch.dtype)  # noqa: S101  (the settings allow three names)
        return found
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
