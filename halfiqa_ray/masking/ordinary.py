"""Subset scores the ordinary way: one masked transformer pass for each subset (Section 2 of the paper, literally).

It defines what ``subset_scorer`` must give, in whatever precision the model has. Slow: use it to check and to compare.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.transformer import LevelPrediction, MaskedTransformer, layers_of


def masked_keys(grid: Grid, height: int, width: int, subsets: Sequence[int]) -> Tensor:
    """Key masks over quality token (never masked) and ``height`` x ``width`` map: bool (S, T), True = masked."""
    blocks_T = torch.from_numpy(grid.cells(height, width)).flatten()
    kept_ST = (torch.tensor(subsets)[:, None] >> blocks_T & 1).bool()
    return torch.cat([torch.zeros(len(kept_ST), 1, dtype=torch.bool), ~kept_ST], 1)


@torch.inference_mode()
def score_subsets(
    model: MaskedTransformer, features_CHW: Tensor, grid: Grid, subsets: Sequence[int], batch: int = 1
) -> tuple[Tensor, Tensor | None]:
    """Scores (S,) and levels (S, 5) or None of one image's feature matrix, ``batch`` subsets a pass."""
    token_map_NDHW = model.project_and_pool(features_CHW[None])
    tokens_NTD = model.tokens(token_map_NDHW)
    height, width = token_map_NDHW.shape[2:]
    masked_ST = masked_keys(grid, height, width, subsets).to(tokens_NTD.device)
    predictions: list[LevelPrediction] = []
    for masked in masked_ST.split(batch):
        x_STD = tokens_NTD.expand(len(masked), -1, -1)
        for layer in layers_of(model):
            x_STD = layer(x_STD, masked)
        predictions.append(model.read_out(x_STD[:, 0]))
    levels = [p.levels_N5 for p in predictions if p.levels_N5 is not None]
    return torch.cat([p.score_N for p in predictions]), torch.cat(levels) if levels else None
