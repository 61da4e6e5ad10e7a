import copy

import pytest
import timm
import torch
from torch import nn

from halfiqa_ray.models.folding import fold_batchnorm


def settled(network):
    """With statistics and scales as after a training, not the ones of a start."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.3)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.3)
            with torch.no_grad():
                module.weight.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(module.num_features, generator=generator) * 0.3)
    return network.eval()


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050"])
def test_the_same_maps_with_every_norm_folded(name):
    torch.manual_seed(0)
    network = settled(timm.create_model(name, pretrained=False, features_only=True))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    images_NCHW = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        double = copy.deepcopy(network).double()(images_NCHW.double())
        plain = network(images_NCHW)
    assert fold_batchnorm(network, images_NCHW[:1]) == norms
    with torch.no_grad():
        folded = network(images_NCHW)
    for ours, before, exact in zip(folded, plain, double, strict=True):
        scale = exact.abs().max()
        # As near to the exact maps as the network was before.
        assert (ours - exact).abs().max() <= 4 * (before - exact).abs().max() + 1e-6 * scale


class Shared(nn.Module):
    """One convolution before two norms, and a norm that comes after an activation."""

    def __init__(self):
        super().__init__()
        self.convolution, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.last = nn.BatchNorm2d(3)

    def forward(self, x_NCHW):
        again = self.first(self.convolution(x_NCHW))
        return self.last(self.second(self.convolution(again)).relu())


def test_what_runs_twice_or_follows_something_else_stays():
    torch.manual_seed(0)
    network = settled(Shared())
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    assert fold_batchnorm(network, torch.randn(1, 3, 8, 8)) == 0
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


class Reused(nn.Module):
    """A convolution whose output is also used as it is: folding would change what the sum gets."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x_NCHW):
        found = self.convolution(x_NCHW)
        return self.norm(found) + found


def test_a_changed_output_is_no_result():
    torch.manual_seed(0)
    with pytest.raises(RuntimeError, match="changed the network's output"):
        fold_batchnorm(settled(Reused()), torch.randn(1, 3, 8, 8))


def test_training_is_refused():
    with pytest.raises(ValueError, match="evaluation"):
        fold_batchnorm(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).train(), torch.randn(1, 3, 8, 8))
