"""Models that are not ours, good and bad, as settings name them: `tests.models.outside.factories:NAME`."""

import torch
from torch import nn

from halfiqa_ray.config import ModelSettings

HERE = "tests.models.outside.factories"
calls = []  # what factories and functions of this file were called with


def outside(function=None, factory=None, height=64, width=96, **changes):
    """Settings of a small outside model."""
    places = {"function": function and f"{HERE}:{function}", "factory": factory and f"{HERE}:{factory}"}
    given = {"name": "mine", **places, **changes}
    return ModelSettings(name="outside", height=height, width=width, outside=given)


def brightness(images):
    calls.append(("brightness", images))
    return images.mean((1, 2, 3))


def power(images, exponent):
    return (images**exponent).mean((1, 2, 3))


def column(images):
    return images.mean((1, 2, 3))[:, None]


def levels(images):
    return images.mean((2, 3))


def scalar(images):
    return images.mean()


def text(images):
    return "good"


def not_finite(images):
    return images.mean((1, 2, 3)) / 0


def flat_is_nan(images):
    """NaN where some columns are all the same, as half-zeroed photos have them."""
    spread = images.std(2)
    return torch.where((spread == 0).any(2).any(1), torch.nan, spread.mean((1, 2)))


def noisy(images):
    return images.mean((1, 2, 3)) + torch.rand(len(images))


def of_batch(images):
    return images.mean((1, 2, 3)) / images.sum()


def fails(images):
    raise KeyError("no such layer")


def one_image_only(images):
    if len(images) != 1:
        raise ValueError("one image, please")
    return float(images.mean())


def one_or_no_score(images):
    if images.std() == 0:
        raise ZeroDivisionError("a flat image")
    return float(images.mean())


NUMBER = 3


class Small(nn.Module):
    """Two convolutions and a mean, with dropout that only training switches on."""

    def __init__(self, gradients=True):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 5, stride=4)
        self.second = nn.Conv2d(4, 6, 3, stride=2)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(6, 1)
        self.gradients = gradients

    def forward(self, images):
        with torch.set_grad_enabled(self.gradients and torch.is_grad_enabled()):
            return self.out(self.dropout(self.second(self.first(images).relu()).relu().mean((2, 3))))


def small(**arguments):
    calls.append(("small", arguments))
    return Small(**arguments)


def gives_nothing():
    return None


def needs_more(size):
    return brightness


offered = {"height": 64, "width": 96, "outside": {"function": f"{HERE}:brightness", "scale": [0, 2]}}
offered_wrongly = {"hight": 64}
