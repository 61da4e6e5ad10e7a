"""A model's scores of photos with blocks masked or set to zero, one photo at a time, so that none hangs on another.

Shape suffixes: N images, S = 2^B subsets, M masks, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halfiqa_ray.config import GridSettings
from halfiqa_ray.data.photos.decoding import resize
from halfiqa_ray.looking.model import LoadedModel, load
from halfiqa_ray.looking.photos import Picture, read_picture
from halfiqa_ray.looking.result import Look, make_look
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.subset_scorer import SubsetScorer, SubsetScores
from halfiqa_ray.masking.zeroing import zero_blocks
from halfiqa_ray.models.triq import Triq, token_map_size


def look(model: LoadedModel | str, photo: Any, *, rows: int = 3, columns: int = 4, rule: str | None = None) -> Look:
    """Score every subset of a photo's ``rows`` x ``columns`` blocks, and say which half its quality hangs on.

    ``model`` is a loaded one or its name; ``photo`` a path, a URL, a Pillow image or a uint8 array. ``rule`` picks the
    halves: ``level_plcc``, ``score_change``, ``shapley`` or ``banzhaf``; by default the first of them that gives the
    photo a half (``level_plcc`` needs a model that predicts votes), which the result names.

    Raises ImageError when the photo cannot be read, and ValueError when the model cannot be asked for subsets (all
    that are not TRIQ) or the rule gives no half.
    """
    model = load(model) if isinstance(model, str) else model
    picture, grid = read_picture(photo), block_grid(rows, columns)
    return make_look(picture, model, grid, _score(subset_scorer(model, grid), model, picture), rule)


def subset_scores(
    model: LoadedModel | str, images: Iterable[Any], *, rows: int = 3, columns: int = 4
) -> NDArray[np.float32]:
    """The score of every image with every subset of its blocks kept: float32 (N, 2^B), in MOS units.

    Index = bit mask of the kept blocks; the last one is the whole photo. Images and errors are those of `look`.
    """
    model, grid = load(model) if isinstance(model, str) else model, block_grid(rows, columns)
    scorer = subset_scorer(model, grid)
    found = [_score(scorer, model, read_picture(image)).scores_NS.cpu().numpy() for image in images]
    return np.concatenate(found) if found else np.empty((0, grid.subsets), np.float32)


@torch.inference_mode()
def zeroed_scores(
    model: LoadedModel | str, images: Iterable[Any], zeroed: Sequence[int], *, rows: int = 3, columns: int = 4
) -> NDArray[np.float32]:
    """The score of every image with the pixels of some blocks set to zero, by any model: float32 (N, M), MOS units.

    ``zeroed`` are M bit masks of the blocks to set to zero; 0 is the photo as it is. Images are those of `look`.
    Raises ImageError when one cannot be read, and ValueError for a mask with a block that the grid has not.
    """
    model, grid = load(model) if isinstance(model, str) else model, block_grid(rows, columns)
    found = []
    for image in images:
        image_NCHW = _input(model, read_picture(image))
        # One mask a pass: a score is then the same whatever else is asked for.
        found.append([float(model.network(zero_blocks(image_NCHW, [mask], grid)).score_N) for mask in zeroed])
    return np.array(found, np.float32).reshape(len(found), len(zeroed))


def block_grid(rows: int, columns: int) -> Grid:
    """The grid of blocks. Raises ValueError for one that has no halves, or too many subsets."""
    settings = GridSettings(rows=rows, columns=columns)  # which holds the bounds
    return Grid(settings.rows, settings.columns)


def subset_scorer(model: LoadedModel, grid: Grid) -> SubsetScorer:
    """What scores all subsets. Raises ValueError for a model that cannot be asked for them, of this grid."""
    if not isinstance(model.network, Triq):
        raise ValueError(
            f"{model.name} is a {model.record.model.name}: block subsets are scored with a triq, whose transformer can "
            f"be masked. zeroed_scores takes every model"
        )
    rows, columns = token_map_size(model.record.model)
    if rows < grid.rows or columns < grid.columns:
        raise ValueError(
            f"{model.name} has a map of {rows} x {columns} tokens, too few for {grid.rows} x {grid.columns} blocks"
        )
    return SubsetScorer(model.network, grid)


@torch.inference_mode()
def _score(scorer: SubsetScorer, model: LoadedModel, picture: Picture) -> SubsetScores:
    assert isinstance(model.network, Triq)  # noqa: S101
    scored = scorer(model.network.feature_matrix(_input(model, picture)))
    if not bool(scored.scores_NS.isfinite().all()):
        raise ValueError(f"{picture.name}: {model.name} gave a score that is not a number")
    return scored


def _input(model: LoadedModel, picture: Picture) -> Tensor:
    pixels_NHWC = torch.tensor(resize(picture.pixels, *model.size))[None]
    return model.network.normalise(pixels_NHWC.to(model.device))
