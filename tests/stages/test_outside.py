"""Models that are not ours in the stages that zero and explain, without Ray."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from halfiqa_ray.config import GridSettings, LimeSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.outside import load_outside
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.explain import EXPLAIN_WORK, ExplainPhotos
from halfiqa_ray.stages.zeroing import ScoreZeroed
from tests.models.outside.factories import outside
from tests.stages.test_subsets import write_checkpoint, write_photos
from tests.stages.test_zeroing import HALVES, asked

GRID = GridSettings(rows=2, columns=3)
DECODE = Decode(64, 96, more=((64, 96),))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_plain_function_is_zeroed_beside_a_checkpoint(tmp_path, batch_size):
    """Its scores are those of photos painted by hand; padding of a batch and the other model do not touch them."""
    settings = outside("brightness", nothing=(0.2, 0.4, 0.6))
    rows = DECODE(asked(write_photos(tmp_path, 3), [None, "a", "b"]))
    stage = ScoreZeroed([write_checkpoint(tmp_path / "triq"), settings], GRID, batch_size=batch_size, threads=1)
    assert stage.names == ["triq", "mine"]
    found = stage(rows, [HALVES] * 3)
    cells = Grid(2, 3).cells(64, 96)
    for i, pixels in pixels_of(rows, (64, 96)):
        mine = [row for row in found[i].rows if row["model"] == 1]
        assert len(mine) == 5
        for row in mine:
            painted = pixels / 255
            painted[np.isin(cells, [b for b in range(6) if row["zeroed_blocks"] >> b & 1])] = (0.2, 0.4, 0.6)
            assert row["score"] == pytest.approx(painted.mean(), rel=1e-5)


def test_a_photo_without_a_score_is_an_error_of_its_own(tmp_path):
    rows = DECODE(asked(write_photos(tmp_path, 2), [None], models=(0,)))
    found = ScoreZeroed([outside("not_finite")], GRID)(rows, [{}] * 2)
    assert [each.error for each in found] == ["zeroed score is not finite"] * 2
    assert "mine gave a score that is not a number" in found[0].message


@pytest.mark.parametrize("layer", [None, "second"])
def test_scores_are_explained_with_and_without_a_layer(tmp_path, layer):
    pytest.importorskip("captum")
    settings = outside(factory="small", layer=layer)
    model, _ = load_outside(settings)
    methods = ["lime"] if layer is None else ["grad_cam", "lime"]
    rows = write_photos(tmp_path, 2)
    work = [[{"model": 0, "method": method} for method in methods]] * 2
    rows = rows.append_column("explain", pa.array(work, EXPLAIN_WORK)).append_column("mapped", pa.array([False] * 2))
    stage = ExplainPhotos([model], ["mine"], GRID, LimeSettings(segments=6, samples=12), 1, torch.device("cpu"), 3)
    explained = stage(DECODE(rows))
    assert explained["explain_error"].null_count == 2
    for i, pixels in pixels_of(DECODE(rows), (64, 96)):
        found = explained["explained"][i].as_py()
        assert [row["method"] for row in found] == methods
        image = model.normalise(torch.from_numpy(pixels.copy())[None])
        for row in found:
            assert row["score"] == pytest.approx(model(image).score_N.item(), abs=1e-6)
            assert max(row["block_means"]) > 0


def test_the_map_of_grad_cam_is_that_of_its_formula(tmp_path):
    """Channels times mean gradients, on the layer that is named, against autograd by hand."""
    from halfiqa_ray.explain.gradcam import grad_cam

    model, _ = load_outside(outside(factory="small", layer="second"))
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) - 0.5
    score, found = grad_cam(model, images)
    network = model.network
    pixels = (images + torch.tensor([0.485, 0.456, 0.406])[:, None, None]).clamp(0, 1)
    maps = network.second(network.first(pixels).relu()).detach().requires_grad_()
    by_hand = network.out(maps.relu().mean((2, 3)))[:, 0]
    (gradient,) = torch.autograd.grad(by_hand.sum(), maps)
    small = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).detach()
    expected = torch.nn.functional.interpolate(small, (64, 96), mode="bilinear")[:, 0]
    torch.testing.assert_close(score, by_hand.detach())
    torch.testing.assert_close(found, expected)
