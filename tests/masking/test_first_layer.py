"""Softmax averages joined from parts, against a softmax over the kept keys in float64."""

import copy
import math

import pytest
import torch

from halfiqa_ray.masking.first_layer import FirstLayer
from tests.masking.models import random_triq

SIZES = [2, 1, 3, 2, 1]  # of blocks, in tokens


def exact(layer, tokens_TD, kept):
    """Mixed values (D, T) over the quality token and the kept blocks' keys."""
    attention = copy.deepcopy(layer.attention).double()
    x = tokens_TD.double()[None]
    query, key, value = (attention.split(f(x))[0] for f in (attention.query, attention.key, attention.value))
    keys = torch.tensor([True] + [keep for keep, size in zip(kept, SIZES, strict=True) for _ in range(size)])
    logits = query @ key[:, keys].transpose(1, 2) / math.sqrt(query.shape[-1])
    return (logits.softmax(2) @ value[:, keys]).transpose(1, 2).flatten(0, 1)


@pytest.mark.parametrize("sharpness", [1.0, 300.0, 3e4])
def test_every_subset_is_a_softmax_over_its_own_keys(sharpness):
    layer = random_triq(1, sharpness=sharpness).encoder[0]
    tokens_TD = torch.randn(1 + sum(SIZES), 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        double = copy.deepcopy(layer.attention).double()
        first = FirstLayer(layer, tokens_TD.double(), SIZES, double)
        both_DTIJ = torch.empty(32, len(tokens_TD), 4, 8)
        first.low.with_each(first.high, both_DTIJ)
        for subset in range(32):
            expected = exact(layer, tokens_TD, [bool(subset >> b & 1) for b in range(5)])
            got = both_DTIJ[..., subset & 3, subset >> 2]
            assert (got - expected).abs().max() < 2e-6 * expected.abs().max()


def test_the_empty_subset_is_the_quality_tokens_own_value_to_the_bit():
    layer = random_triq(1, sharpness=3e4).encoder[0]
    tokens_TD = torch.randn(1 + sum(SIZES), 32)
    with torch.inference_mode():
        first = FirstLayer(layer, tokens_TD, SIZES)
        assert torch.equal(first.low.mean_DTC[:, 0, 0], layer.attention.value(tokens_TD)[0])


def test_keeping_a_block_picks_the_combinations_with_its_bit():
    layer = random_triq(1).encoder[0]
    with torch.inference_mode():
        first = FirstLayer(layer, torch.randn(1 + sum(SIZES), 32), SIZES)
        for bit in range(3):
            numbers = [number for number in range(8) if number >> bit & 1]
            kept, picked = first.high.keeping(bit), first.high.picked(torch.tensor(numbers))
            assert torch.equal(kept.mean_DTC, picked.mean_DTC)
            assert torch.equal(kept.weight_ATC, picked.weight_ATC)
