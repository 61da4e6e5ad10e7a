"""DBCNN in the layout of DBCNN-PyTorch, against that network built from torchvision's VGG-16."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import vgg16

from halfiqa_ray.config import PublishedSettings
from halfiqa_ray.models.published.importing import read_published
from halfiqa_ray.models.published.layout import PublishedError


class Authors(nn.Module):
    """The network of DBCNN.py and SCNN.py, as their state dicts show it."""

    def __init__(self):
        super().__init__()
        self.features1 = vgg16(weights=None).features[:-1]
        layers, channels = [], 3
        for outputs, stride in zip((48, 48, 64, 64, 64, 64, 128, 128, 128), (1, 2, 1, 2, 1, 2, 1, 1, 2), strict=True):
            layers += [nn.Conv2d(channels, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
            channels = outputs
        self.features2 = nn.Sequential(*layers)
        self.fc = nn.Linear(512 * 128, 1)

    def forward(self, images_NCHW):
        one, two = self.features1(images_NCHW), self.features2(images_NCHW)
        if one.shape[2:] != two.shape[2:]:
            two = functional.interpolate(two, one.shape[2:], mode="bilinear", align_corners=True)
        product = torch.einsum("nchw,ndhw->ncd", one, two) / one[0, 0].numel()
        return self.fc(functional.normalize(torch.sqrt(product.flatten(1) + 1e-8)))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    torch.manual_seed(5)
    model = Authors().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    nn.init.normal_(model.fc.weight)
    file = tmp_path_factory.mktemp("dbcnn") / "net_params_best.pkl"
    torch.save(nn.DataParallel(model).state_dict(), file)  # as their script saves
    return model, file


@pytest.mark.parametrize("size", [(64, 96), (70, 50)])  # VGG rounds 70 x 50 down to 4 x 3 places, S-CNN up to 5 x 4
def test_scores_equal_the_authors(published, size):
    authors, file = published
    model, record, found = read_published(PublishedSettings(file=str(file), layout="dbcnn", size=size))
    images_NCHW = torch.randn(2, 3, *size)
    with torch.inference_mode():
        expected_N, score_N = authors(images_NCHW)[:, 0], model(images_NCHW).score_N
    assert abs(expected_N[0] - expected_N[1]) > 1e-3
    np.testing.assert_allclose(score_N, expected_N, rtol=1e-4, atol=1e-4)
    assert found.matched["scnn.features.25.running_var"] == "features2.25.running_var"
    assert record.preprocessing.mean == (0.485, 0.456, 0.406)


def test_weights_of_scnn_alone_are_sent_to_their_setting(published, tmp_path):
    features = {f"module.features.{name}": tensor for name, tensor in published[0].features2.state_dict().items()}
    torch.save(features, tmp_path / "scnn.pkl")
    with pytest.raises(PublishedError, match=r"scnn\.pkl: this is no DBCNN.*model\.dbcnn\.scnn_weights"):
        read_published(PublishedSettings(file=str(tmp_path / "scnn.pkl"), layout="dbcnn"))
