"""A layer's tail with its norms folded, against the layer itself in float64."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.masking.folded_norms import FoldedTail, Rows
from tests.masking.models import random_triq


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 10.0]),
    width_heads=st.sampled_from([(32, 8), (12, 3)]),
    mlp=st.sampled_from([8, 64]),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9)),
)
def test_the_folded_tail_is_the_layers(seed, size, offset, width_heads, mlp, shape):
    """Any size of token, down to where a norm's epsilon counts, and a mean that the first norm must take away."""
    width, heads = width_heads
    layer = random_triq(seed, width=width, heads=heads, mlp=mlp).encoder[0]
    generator = torch.Generator().manual_seed(seed)
    tokens_DQ = size * (torch.randn(width, shape[0], generator=generator) + offset)
    mixed_DQS = size * torch.randn(width, *shape, generator=generator)
    exact = copy.deepcopy(layer).double()
    with torch.inference_mode():
        attended = exact.attention.output(mixed_DQS.double().permute(1, 2, 0))
        expected = exact.after_attention(tokens_DQ.double().t()[:, None], attended).permute(2, 0, 1)
        tail = FoldedTail(layer)
        rows = Rows(tail, shape[0] * shape[1])
        got = tail.finished(mixed_DQS.flatten(1).clone(), tail.residual(tokens_DQ)[..., None], rows)
        assert (got.view_as(expected) - expected).abs().max() < 1e-5 * (1 + offset)


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_parts_are_the_whole(count):
    layer = random_triq(2).encoder[0]
    mixed_DS, residual_DS = torch.randn(32, 7), torch.randn(32, 7)
    with torch.inference_mode():
        tail = FoldedTail(layer)
        whole = tail.finished(mixed_DS.clone(), residual_DS[:, None], Rows(tail, 7))
        parts = tail.finished_in_parts(mixed_DS, residual_DS, Rows(tail, count))
    assert torch.allclose(parts, whole, atol=1e-5)
