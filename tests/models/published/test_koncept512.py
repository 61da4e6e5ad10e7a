"""KonCept512 in the layout of koniq-PyTorch, against that network built from the package that it uses."""

import numpy as np
import pytest
import torch
from pretrainedmodels.models.inceptionresnetv2 import InceptionResNetV2
from torch import nn

from halfiqa_ray.config import PublishedSettings
from halfiqa_ray.models.base import Preprocessing
from halfiqa_ray.models.published.importing import read_published
from halfiqa_ray.models.published.layout import PublishedError


class Authors(nn.Module):
    """The network of the notebook, as its state dict shows it."""

    def __init__(self):
        super().__init__()
        self.base = nn.Sequential(*list(InceptionResNetV2().children())[:-1])
        widths = (1536, 2048, 1024, 256)
        layers = []
        for inputs, outputs, rate in zip(widths, widths[1:], (0.25, 0.25, 0.5), strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs), nn.Dropout(rate)]
        self.fc = nn.Sequential(*layers, nn.Linear(256, 1))

    def forward(self, images_NCHW):
        return self.fc(self.base(images_NCHW).flatten(1))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    torch.manual_seed(3)
    model = Authors().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            # Down to where the two epsilons, torch's and Keras', differ by a factor.
            module.running_var.copy_(10 ** (torch.rand(len(module.running_var)) * 3 - 3))
    file = tmp_path_factory.mktemp("koncept") / "KonCept512.pth"
    torch.save(model.state_dict(), file)
    return model, file


def imported(file):
    return read_published(PublishedSettings(file=str(file), layout="koncept512"))


@pytest.fixture(scope="module")
def ours(published):
    return imported(published[1])


def test_scores_equal_the_authors_where_their_pooling_sees_the_whole_map(published, ours):
    """299 x 299 pixels give the 8 x 8 map that their pooling was made for."""
    authors, (model, record, found) = published[0], ours
    images_NCHW = torch.rand(2, 3, 299, 299) * 2 - 1
    with torch.inference_mode():
        expected_N, score_N = authors(images_NCHW)[:, 0], model(images_NCHW).score_N
    assert abs(expected_N[0] - expected_N[1]) > 1e-3 * expected_N.abs().max()
    np.testing.assert_allclose(score_N, expected_N, rtol=1e-4, atol=1e-4 * expected_N.abs().max())
    assert found.complete
    assert (record.mos_scale.low, record.mos_scale.high) == (0, 100)
    assert record.preprocessing == Preprocessing(384, 512, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_elsewhere_the_whole_map_is_pooled(published, ours):
    """Their fixed window, replaced by a mean over the map, gives our score again at another size."""
    authors, model = published[0], ours[0]
    window, authors.base[15] = authors.base[15], nn.AdaptiveAvgPool2d(1)
    images_NCHW = torch.rand(1, 3, 128, 192) * 2 - 1
    try:
        with torch.inference_mode():
            expected, score = authors(images_NCHW).item(), model(images_NCHW).score_N.item()
    finally:
        authors.base[15] = window
    assert score == pytest.approx(expected, rel=1e-4)


def test_a_file_that_lacks_and_adds_tensors_is_refused_with_both(published, tmp_path):
    state = torch.load(published[1], weights_only=True)
    del state["base.8.3.branch1.0.conv.weight"]
    torch.save(state | {"base.15.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(PublishedError) as caught:
        imported(tmp_path / "other.pth")
    assert "backbone.repeat.3.branch1.0.conv.weight (looked for base.8.3.branch1.0.conv.weight)" in str(caught.value)
    assert "in the file, but not in the model:\n  base.15.weight" in str(caught.value)


def test_a_pickle_of_more_than_tensors_is_refused(tmp_path):
    torch.save({"state_dict": Exception("run me")}, tmp_path / "whole.pth")
    with pytest.raises(PublishedError, match=r"whole\.pth is damaged or not a weights file"):
        imported(tmp_path / "whole.pth")
