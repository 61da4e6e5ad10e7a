"""ResNet-50 as Keras has it (version 1), the backbone of the published TRIQ and AIHIQnet weights.

Facts from github.com/junyongyou/triq, src/backbone/resnet50.py, which follows ``keras.applications.ResNet50``. It
differs from timm's ``resnet50`` (version 1.5) in three ways: a stage's stride is on the first 1 x 1 convolution and
not on the 3 x 3, convolutions have biases, and BatchNorm's epsilon is 1.001e-5.

Shape suffixes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from torch import Tensor, nn

from halfiqa_ray.models.keras_rules import NORM_MOMENTUM, glorot_uniform_

NAME = "resnet50_v1"
NORM_EPSILON = 1.001e-5
STAGES = {4: (64, 3), 8: (128, 4), 16: (256, 6), 32: (512, 3)}  # stride: (inner channels, blocks)


class ConvolutionNorm(nn.Module):
    """A convolution with bias and its BatchNorm; padded so that stride 1 keeps the size."""

    def __init__(self, channels: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, outputs, kernel, stride, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
        glorot_uniform_(self.convolution)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Convolve and normalise."""
        return self.norm(self.convolution(x_NCHW))


class Bottleneck(nn.Module):
    """A residual block: 1 x 1 (with the stride), 3 x 3, 1 x 1 to four times the inner channels."""

    def __init__(self, channels: int, inner: int, stride: int, first: bool) -> None:
        super().__init__()
        self.shortcut = ConvolutionNorm(channels, 4 * inner, 1, stride) if first else nn.Identity()
        self.reduce = ConvolutionNorm(channels, inner, 1, stride)
        self.spatial = ConvolutionNorm(inner, inner, 3)
        self.expand = ConvolutionNorm(inner, 4 * inner, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """One block."""
        inner = self.spatial(self.reduce(x_NCHW).relu()).relu()
        return (self.shortcut(x_NCHW) + self.expand(inner)).relu()


class ResNet50V1(nn.Module):
    """Keras' ResNet-50 without its classifier, up to the stage of the largest of ``strides``.

    ``strides`` is an ascending choice of 4, 8, 16 and 32; ``channels`` says how many channels each map has. Weights
    start as Keras starts them (Glorot uniform, biases 0). Raises ValueError for other strides.
    """

    def __init__(self, strides: tuple[int, ...]) -> None:
        super().__init__()
        if not strides or list(strides) != sorted(set(strides) & STAGES.keys()):
            raise ValueError(f"resnet50_v1 has maps of stride {list(STAGES)}, ascending; asked for {list(strides)}")
        self.strides = strides
        self.channels = tuple(4 * STAGES[stride][0] for stride in strides)
        self.stem = ConvolutionNorm(3, 64, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, padding=1)  # Keras pads with zeros: the same, behind a ReLU
        self.stages = nn.ModuleList()
        channels = 64
        for stride, (inner, blocks) in STAGES.items():
            if stride > strides[-1]:
                break
            step = 1 if stride == 4 else 2
            first = Bottleneck(channels, inner, step, first=True)
            channels = 4 * inner
            self.stages.append(
                nn.Sequential(first, *(Bottleneck(channels, inner, 1, first=False) for _ in range(blocks - 1)))
            )

    def forward(self, images_NCHW: Tensor) -> list[Tensor]:
        """The maps (N, C, H/stride, W/stride) of the chosen strides, sizes rounded up."""
        x_NCHW = self.pool(self.stem(images_NCHW).relu())
        maps = []
        for stride, stage in zip(STAGES, self.stages, strict=False):
            x_NCHW = stage(x_NCHW)
            if stride in self.strides:
                maps.append(x_NCHW)
        return maps
