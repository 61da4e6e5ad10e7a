"""Small TRIQs whose backbone passes a given feature matrix through."""

import torch
from torch import Tensor, nn

from halfiqa_ray.config import TriqSettings
from halfiqa_ray.models.base import MosScale, Preprocessing
from halfiqa_ray.models.triq import Triq


class PassThrough(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


def random_triq(
    seed: int, *, channels: int = 24, positions: int = 769, levels: bool = True, sharpness: float = 1.0, **settings
) -> Triq:
    """A TRIQ with every weight and bias drawn; ``sharpness`` multiplies the queries, and so the attention logits."""
    torch.manual_seed(seed)
    model = Triq(
        PassThrough(),
        channels,
        TriqSettings(**settings),
        positions,
        Preprocessing(768, 1024, (0.5,) * 3, (0.5,) * 3),
        MosScale(1, 5),
        levels,
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
        for layer in model.encoder:
            layer.attention.query.weight.mul_(sharpness)
            layer.attention.query.bias.mul_(sharpness)
    return model.eval()
