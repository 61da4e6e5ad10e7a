"""The exact scorer against ordinary masked passes in float64."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from halfiqa_ray.masking.first_layer import FirstLayer
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.ordinary import score_subsets
from halfiqa_ray.masking.subset_scorer import SHARP_LOGIT, SubsetScorer, largest_logit, level_plcc
from tests.masking.models import random_triq


def errors(model, features_CHW, grid, subsets, rows=None):
    """Largest error of the scorer and of the ordinary float32 pass, against ordinary float64 passes."""
    double = copy.deepcopy(model).double()
    truth, _ = score_subsets(double, features_CHW.double(), grid, subsets, 64)
    plain, _ = score_subsets(model, features_CHW, grid, subsets, 64)
    ours = SubsetScorer(model, grid, rows)(features_CHW[None]).scores_NS[0, subsets]
    return (ours - truth).abs().max().item(), (plain - truth).abs().max().item(), truth


def within_promise(ours: float, plain: float) -> bool:
    return ours <= max(1e-5, 4 * plain)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "height", "width"),
    [(3, 4, 24, 32), (3, 4, 16, 22), (2, 3, 7, 9), (1, 5, 6, 12), (4, 2, 17, 16)],
)
def test_equals_ordinary_masked_passes(layers, pooled, rows, columns, height, width):
    grid = Grid(rows, columns)
    model = random_triq(layers, layers=layers, pooled=pooled)
    features = torch.randn(24, height, width, generator=torch.Generator().manual_seed(rows))
    if layers == 3:
        features = features[:, : height // 2, : width // 2]
    subsets = [*range(0, grid.subsets, max(1, grid.subsets // 12)), grid.full]
    ours, plain, truth = errors(model, features, grid, subsets)
    assert within_promise(ours, plain), (ours, plain)
    assert truth.std() > 1e-3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    layers=st.integers(1, 3),
    sharpness=st.sampled_from([1.0, 30.0, 300.0, 3000.0, 3e4]),
    scale=st.sampled_from([1.0, 1.0, 20.0, 200.0]),
    size=st.tuples(st.integers(2, 6), st.integers(3, 7)),
    width_heads=st.sampled_from([(32, 8), (16, 2), (12, 3)]),
    rows=st.sampled_from([None, 1, 50]),
)
def test_equals_ordinary_passes_whatever_the_spread_of_logits(seed, layers, sharpness, scale, size, width_heads, rows):
    """Spreads to tens of thousands: past where exp underflows in float32 (about 87) and in float64 (about 745)."""
    width, heads = width_heads
    grid = Grid(2, 3)
    model = random_triq(seed, layers=layers, width=width, heads=heads, sharpness=sharpness, channels=5)
    # Large features make the first layer alone sharp, as trained backbones do: no norm stands before it.
    features = scale * torch.randn(5, *size, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        tokens = model.tokens(model.project_and_pool(features[None]))[0]
        largest = largest_logit(model.encoder[0].attention, tokens)
    assume(largest < 1e7)  # the -1e9 of a mask must stay far above logits
    ours, plain, _ = errors(model, features, grid, list(range(grid.subsets)), rows)
    assert within_promise(ours, plain), (ours, plain)


def test_sharp_attention_is_scored_in_float64_and_said_so():
    mild, sharp = random_triq(3, channels=5), random_triq(3, sharpness=3e4, channels=5)
    features = torch.randn(2, 5, 6, 8)
    for model, expected in ((mild, 0), (sharp, 2)):
        scorer = SubsetScorer(model, Grid())
        assert scorer(features).scores_NS.dtype == torch.float32
        assert scorer.sharp_images == expected


def test_a_sharp_first_layer_alone_is_exact_too():
    """3 x 4 blocks at full size, features as large as a trained backbone's."""
    grid, model = Grid(), random_triq(5)
    features = 30 * torch.randn(24, 24, 32, generator=torch.Generator().manual_seed(5)).relu()
    with torch.inference_mode():
        scorer = SubsetScorer(model, grid)
        tokens, sizes = scorer._tokens(model, features)
        first = FirstLayer(model.encoder[0], tokens, sizes)
        assert largest_logit(model.encoder[0].attention, tokens) > SHARP_LOGIT
        assert not scorer._sharp_later(first)
        # float32 ends at e^-103: the quality token's term beside the largest block's, as a sum would add them
        assert (first.weight_BAT[0] - first.weight_BAT.amax(0)).min() < -103
    ours, plain, truth = errors(model, features, grid, [*range(0, 4096, 150), 4095])
    assert within_promise(ours, plain), (ours, plain)
    assert truth.std() > 1e-3


@pytest.mark.parametrize("sharpness", [300.0, 3e4])
def test_underflow_happens_in_the_examples(sharpness):
    """The quality token's weight underflows against dominant blocks: the plain sums would be wrong."""
    model = random_triq(3, sharpness=sharpness, channels=5)
    features = torch.randn(1, 5, 6, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        tokens = model.tokens(model.project_and_pool(features))[0]
        first = FirstLayer(model.encoder[0], tokens, [4] * 12)
        assert (first.weight_BAT[0] - first.weight_BAT.amax(0)).min() < math.log(1e-30)
        spread = first.weight_BAT.amax(0) - first.weight_BAT.amin(0)
    assert spread.max() > (87 if sharpness == 300 else 745)


def test_images_do_not_influence_each_other():
    model = random_triq(1)
    features = torch.randn(3, 24, 6, 8)
    together = SubsetScorer(model, Grid())(features)
    for i in range(3):
        alone = SubsetScorer(model, Grid())(features[i : i + 1])
        assert torch.equal(alone.scores_NS[0], together.scores_NS[i])
        assert torch.equal(alone.level_plcc_NS[0].nan_to_num(9), together.level_plcc_NS[i].nan_to_num(9))


def test_everything_masked_gives_one_score_for_all_images():
    scores = SubsetScorer(random_triq(1), Grid())(torch.randn(4, 24, 6, 8)).scores_NS
    assert scores[:, 0].std() == 0
    assert scores[:, 1].std() > 0


def test_nothing_masked_is_the_plain_prediction():
    model = random_triq(2)
    features = torch.randn(2, 24, 9, 8)
    plain = model(features)
    ours = SubsetScorer(model, Grid())(features)
    assert torch.allclose(ours.scores_NS[:, -1], plain.score_N, atol=1e-5)
    assert torch.allclose(ours.levels_N5, plain.levels_N5, atol=1e-5)


def test_a_masked_block_cannot_change_the_score():
    """Other content in block 5 leaves every subset without block 5 as it was, and no other."""
    grid, model = Grid(), random_triq(4)
    features = torch.randn(1, 24, 6, 8)
    changed = features.clone()
    changed[0, :, torch.from_numpy(grid.cells(6, 8) == 5)] += 3
    one, two = (SubsetScorer(model, grid)(x).scores_NS[0] for x in (features, changed))
    without = torch.from_numpy(~grid.kept()[:, 5])
    assert (one[without] - two[without]).abs().max() < 2e-6
    assert (one[~without] - two[~without]).abs().median() > 1e-3


def test_scalar_head_has_no_levels():
    result = SubsetScorer(random_triq(1, levels=False), Grid(2, 2))(torch.randn(1, 24, 4, 4))
    assert result.levels_N5 is None
    assert result.level_plcc_NS is None


def test_level_plcc_is_scipys_and_null_where_nothing_varies():
    levels = torch.softmax(torch.randn(50, 5), 1)
    got = level_plcc(levels, levels[-1])
    expected = [stats.pearsonr(row.double(), levels[-1].double()).statistic for row in levels]
    assert np.allclose(got, expected, atol=1e-6)
    assert level_plcc(torch.full((1, 5), 0.2), levels[-1]).isnan().all()
    assert level_plcc(levels, torch.full((5,), 0.2)).isnan().all()
    nearly_flat = torch.full((1, 5), 0.2) + torch.tensor([[0, 0, 0, 0, 3e-8]])
    assert level_plcc(nearly_flat, levels[-1]).isnan().all()


def test_too_many_tokens_is_an_error_with_both_numbers():
    model = random_triq(1, positions=49)
    with pytest.raises(ValueError, match=r"57 tokens .* holds 49"):
        SubsetScorer(model, Grid())(torch.randn(1, 24, 7, 8))


def test_map_smaller_than_grid_is_an_error():
    with pytest.raises(ValueError, match="cannot cut 2 cells into 3 blocks"):
        SubsetScorer(random_triq(1), Grid())(torch.randn(1, 24, 2, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    model = random_triq(1)
    features = torch.randn(2, 24, 24, 32)
    cpu = SubsetScorer(model, Grid())(features)
    gpu = SubsetScorer(copy.deepcopy(model).cuda(), Grid())(features.cuda())
    assert torch.allclose(cpu.scores_NS, gpu.scores_NS.cpu(), atol=4e-5)
