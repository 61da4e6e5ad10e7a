"""S-CNN: the branch of DBCNN that was trained to tell kinds and strengths of synthetic distortions apart.

Layers and tensor names of github.com/zwx8981/DBCNN-PyTorch (MIT), SCNN.py, whose published weights are
pretrained_scnn/scnn.pkl of that repository.

Shape suffixes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from torch import Tensor, nn

from halfiqa_ray.models.backbones import WeightsError, fill, read_weights

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 2)
SETTING = "model.dbcnn.scnn_weights"
PARALLEL_PREFIX = "module."  # the file was saved from torch's DataParallel
PRETRAINING_HEAD = ("projection.", "classifier.")


class Scnn(nn.Module):
    """Nine layers of 3 x 3 convolution, BatchNorm and ReLU, with these ``widths``.

    Images to a map (N, C, H/16, W/16), sizes rounded up, with the last width of channels.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for outputs, stride in zip(widths, STRIDES, strict=True):
            convolution = nn.Conv2d(channels, outputs, 3, stride, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """The map of normalised images, 0 or above."""
        return self.features(images_NCHW)


def load_scnn(scnn: Scnn, uri: str) -> None:
    """Fill ``scnn`` from the state dict at ``uri``: the authors' file, or one with its names.

    The head of its pretraining, which DBCNN does not have, is left out by name. Raises WeightsError naming the file
    and the tensor when one is missing, has another shape, or is neither of the two.
    """
    problem = f"{SETTING}: {uri} does not fit S-CNN"
    tensors = {name.removeprefix(PARALLEL_PREFIX): value for name, value in read_weights(uri, SETTING).items()}
    own = {name: value for name, value in tensors.items() if not name.startswith(PRETRAINING_HEAD)}
    fill(scnn, own, problem)
    if unknown := sorted(own.keys() - scnn.state_dict().keys()):
        raise WeightsError(f"{problem}: it holds {len(unknown)} tensors that are not S-CNN's (first {unknown[0]})")
