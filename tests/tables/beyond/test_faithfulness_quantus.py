"""Deletion and insertion of blocks against Quantus (Hedstrom et al., JMLR 24, 2023), where its definition is ours.

Its PixelFlipping sets the pixels with the highest attribution to a baseline, a step at a time. With attributions that
are constant in a block, steps of a block and the baseline 0 of normalised images, that is our deletion by the fill
``zero``; with attributions turned round it walks along our insertion from the whole photo's end.
"""

import numpy as np
import pyarrow as pa
import pytest
import torch

from halfiqa_ray.config import GridSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.checkpoints import load_checkpoint
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.zeroing import ORDERS, ScoreZeroed
from halfiqa_ray.tables.beyond.faithfulness import area
from tests.stages.test_subsets import write_checkpoint, write_photos
from tests.stages.test_zeroing import asked

quantus = pytest.importorskip("quantus", reason="pip install --no-deps quantus==0.6.0 cachetools")

SIZE, BLOCKS = (64, 96), 6  # blocks of 32 x 32 pixels: Quantus takes steps of one size


class Scores(torch.nn.Module):
    """The model as a classifier of one class, which Quantus expects."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images_NCHW):
        return self.model(images_NCHW).score_N[:, None]


def flip(model, images_NCHW, importance_NK):
    """Scores with the 1 .. B most important blocks at 0: (N, B)."""
    cells = Grid(2, 3).cells(*SIZE)
    metric = quantus.PixelFlipping(
        features_in_step=3 * 32 * 32, perturb_baseline=0.0, normalise=False, abs=False, disable_warnings=True
    )
    return np.array(
        metric(
            model=Scores(model).eval(),
            x_batch=images_NCHW.numpy(),
            y_batch=np.zeros(len(images_NCHW), int),
            a_batch=np.broadcast_to(importance_NK[:, cells][:, None], images_NCHW.shape).copy(),
            softmax=False,
        )
    )


def test_curves_and_areas_are_those_of_quantus(tmp_path, monkeypatch):
    monkeypatch.setattr(
        np, "trapz", np.trapezoid, raising=False
    )  # Quantus 0.6.0 calls it by the name that NumPy gave up
    checkpoint = write_checkpoint(tmp_path / "triq")
    importance_NK = np.random.default_rng(3).permuted(np.tile(np.arange(1.0, BLOCKS + 1), (4, 1)), axis=1)
    order_NK = np.argsort(-importance_NK, axis=1)
    first_NK = np.cumsum(1 << order_NK, axis=1)
    rows = asked(write_photos(tmp_path, 4), [None, "order_a"], models=[0])
    given = [[{"ranking": "order_a", "first": first.tolist()}] for first in first_NK]
    rows = Decode(*SIZE)(rows.append_column("orders", pa.array(given, ORDERS)))
    found = ScoreZeroed([checkpoint], GridSettings(rows=2, columns=3), threads=1)(rows, [{}] * 4)
    score = [{(row["zeroed_half"], row["zeroed_blocks"]): row["score"] for row in each.rows} for each in found]
    whole_N = np.array([each["none", 0] for each in score])
    along = list(zip(score, first_NK.tolist(), strict=True))
    ours_NK = np.array([[each["deletion", mask] for mask in first] for each, first in along])
    left_NK = np.array([[each["insertion", 63 ^ mask] for mask in first[:-1]] for each, first in along])
    model, _ = load_checkpoint(checkpoint)
    images = model.normalise(torch.from_numpy(np.stack([pixels for _, pixels in pixels_of(rows, SIZE)])))
    deleted_NK, turned_NK = flip(model, images, importance_NK), flip(model, images, BLOCKS + 1 - importance_NK)
    assert np.abs(deleted_NK - whole_N[:, None]).min() > 1e-5
    np.testing.assert_allclose(ours_NK, deleted_NK, rtol=0, atol=1e-6)
    # The least important go first: after k of them the B - k most important are left.
    np.testing.assert_allclose(left_NK[:, ::-1], turned_NK[:, :-1], rtol=0, atol=1e-6)
    change_NR = np.abs(np.concatenate([whole_N[:, None], deleted_NK], axis=1) - whole_N[:, None])
    theirs_N = quantus.helpers.utils.calculate_auc(change_NR, batched=True) / BLOCKS
    ours_NR = np.abs(np.concatenate([whole_N[:, None], ours_NK], axis=1) - whole_N[:, None])
    np.testing.assert_allclose(area(ours_NR), theirs_N, rtol=0, atol=1e-6)
