import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.config import BackboneSettings, ModelSettings, TriqSettings
from halfiqa_ray.masking.transformer import SelfAttention
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from tests.models.small import KONIQ, small_model

TOKENS = 7  # 2 x 3 map and the quality token


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("pooled", "positions", "head"), [(False, 769, 109_733), (True, 193, 91_301)])
def test_size_of_the_published_model(pooled, positions, head):
    """Parameter counts of the public code's layers, with a position table for the unpooled and the pooled map."""
    paper = ModelSettings(backbone=BackboneSettings(weights="none"), triq=TriqSettings(pooled=pooled))
    model = build_model(paper, KONIQ)
    assert model.position_table.shape == (1, positions, 32)
    assert count(model.backbone) == 23_508_032
    assert count(model) - count(model.backbone) == head


def masks():
    return st.lists(st.booleans(), min_size=TOKENS - 1, max_size=TOKENS - 1).map(
        lambda bits: torch.tensor([[False, *bits]])
    )


@given(mask=masks(), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_what_masked_tokens_hold_cannot_change_the_prediction(mask, seed):
    model = small_model(triq=TriqSettings(width=8, heads=2, mlp=16, head=8, layers=3)).eval()
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(1, TOKENS, 8, generator=generator)
    other = torch.where(mask[..., None], 100 * torch.randn(1, TOKENS, 8, generator=generator), tokens)
    with torch.inference_mode():
        first = model.read_out(model.encode(tokens, mask))
        second = model.read_out(model.encode(other, mask))
    assert torch.equal(first.levels_N5, second.levels_N5)


@given(mask=masks())
@settings(max_examples=20, deadline=None)
def test_masked_keys_get_a_weight_of_exactly_zero(mask):
    """Read off the attention weights themselves: the values are one-hot, so the output is the weights."""
    attention = SelfAttention(TOKENS, 1)
    with torch.no_grad():
        for linear in (attention.value, attention.output):
            linear.weight.copy_(torch.eye(TOKENS))
            linear.bias.zero_()
        weights = attention(torch.eye(TOKENS)[None], mask)[0]
    assert torch.all(weights[:, mask[0]] == 0)
    assert torch.all(weights[:, ~mask[0]] > 0)
    assert torch.allclose(weights.sum(1), torch.ones(TOKENS))


def test_with_everything_masked_the_score_is_one_constant():
    model = small_model().eval()
    mask = torch.ones(1, TOKENS, dtype=torch.bool)
    mask[:, 0] = False
    images = torch.randn(5, 3, 64, 96)
    with torch.inference_mode():
        scores, free = model(images, mask).score_N, model(images).score_N
    assert torch.unique(scores).numel() == 1
    assert torch.unique(free).numel() == 5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_attention_logits_in_float32(dtype):
    """-1e9 is infinite in float16, and a row of only such logits would be NaN; bfloat16 would round scores away."""
    model = small_model().eval()
    mask = torch.zeros(1, TOKENS, dtype=torch.bool)
    mask[:, 3:] = True
    seen = []
    original = torch.Tensor.softmax

    def softmax(self, *args, **kwargs):
        seen.append(self.dtype)
        return original(self, *args, **kwargs)

    images = torch.randn(2, 3, 64, 96)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(torch.Tensor, "softmax", softmax)
        with torch.autocast("cpu", dtype=dtype):
            half = model(images, mask)
        whole = model(images, mask)
    assert set(seen) == {torch.float32}
    assert half.levels_N5.dtype == torch.float32
    assert torch.isfinite(half.score_N).all()
    assert torch.allclose(half.score_N, whole.score_N, atol=0.05)


def test_more_tokens_than_positions_names_both_numbers():
    with pytest.raises(ValueError, match=r"model\.triq\.positions is 6, .* give 7 tokens"):
        small_model(triq=TriqSettings(width=8, heads=2, positions=6))
    with pytest.raises(ValueError, match=r"gives 13 tokens .* table holds 7"):
        small_model()(torch.zeros(1, 3, 96, 128))


def test_layout_in_memory_does_not_change_the_feature_matrix():
    model = small_model().eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        plain = model.feature_matrix(images)
        nhwc = model.feature_matrix(images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(plain, nhwc)


def test_normalise_is_the_stated_formula_in_the_fast_layout():
    model = small_model()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    images = model.normalise(torch.from_numpy(pixels))
    mean, std = model.preprocessing.mean, model.preprocessing.std
    expected = ((pixels / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-6)
    assert images.is_contiguous(memory_format=torch.channels_last)


@given(st.floats(-100, 100), st.floats(0.1, 200), st.floats(0, 1))
def test_mos_scales_invert(low, span, share):
    scale = MosScale(low, low + span)
    mos = torch.tensor(low + share * span, dtype=torch.float64)
    assert torch.allclose(scale.from_levels(scale.to_levels(mos)), mos)
    assert scale.to_levels(torch.tensor(low + span, dtype=torch.float64)).item() == pytest.approx(5)
