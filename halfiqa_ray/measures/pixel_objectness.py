"""The paper's objectness: pixel objectness by a fully convolutional network (Section 3).

B. Xiong, S. Jain, K. Grauman, "Pixel objectness: learning to segment generic objects automatically in images and
videos" (TPAMI 2019). The network is VGG-16 as in DeepLab LargeFOV with two classes; layers, sizes and preprocessing
from github.com/suyogduttjain/pixelobjectness (test_template.prototxt, demo.py, show_results.m).

Its weights, ``pixel_objectness.caffemodel`` in that repository, are the user's to fetch: free for research and
academic use, a patent is pending, no commercial use without the authors' consent (their README). They are not part
of this project.

Not stated by the paper, and chosen here: P(object) by softmax over the two classes (the authors show the raw
value); photos longer than 513 pixels are shrunk to it (antialiased), shorter ones keep their size.

Shape suffixes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from halfiqa_ray import storage
from halfiqa_ray.measures.caffemodel import Blobs, CaffemodelError, read_caffemodel
from halfiqa_ray.measures.pixels import Map, Pixels, bilinear, check_pixels

SIDE = 513  # of the network's square input
MEAN_BGR = (104.008, 116.669, 122.675)
MAXIMUM_BYTES = 1 << 29  # the published file has about 82 MB
VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of the five stages
HEAD = 1024


class LargeFov(nn.Sequential):
    """VGG-16 LargeFOV with two classes: mean-free BGR (N, 3, H, W) to class logits (N, 2, H, W), channel 1 = object.

    H and W must be multiples of 8 plus 1, the sizes at which its three poolings and the enlargement meet again.
    Weighted layers have Caffe's names, 20,485,954 weights in all.
    """

    def __init__(self) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 3
        for stage, (width, convolutions) in enumerate(VGG, start=1):
            dilation = 2 if stage == 5 else 1
            for i in range(1, convolutions + 1):
                layers[f"conv{stage}_{i}"] = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation)
                layers[f"relu{stage}_{i}"] = nn.ReLU(inplace=True)
                channels = width
            layers[f"pool{stage}"] = nn.MaxPool2d(3, stride=2 if stage <= 3 else 1, padding=1)
        # Caffe divides by nine at the border too.
        layers["pool5a"] = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=True)
        layers["fc6"] = nn.Conv2d(channels, HEAD, 3, padding=12, dilation=12)
        layers["relu6"] = nn.ReLU(inplace=True)
        layers["fc7"] = nn.Conv2d(HEAD, HEAD, 1)
        layers["relu7"] = nn.ReLU(inplace=True)
        layers["fc8_voc12"] = nn.Conv2d(HEAD, 2, 1)
        super().__init__(layers)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Class logits at the input's size. Raises ValueError for a size that does not fit."""
        size = images_NCHW.shape[2:]
        if any(length % 8 != 1 for length in size):
            raise ValueError(f"the input must have sides of a multiple of 8 plus 1, got {tuple(size)}")
        return functional.interpolate(super().forward(images_NCHW), size=size, mode="bilinear", align_corners=True)


class PixelObjectness:
    """P(object) of every pixel, from a network whose weights were loaded.

    ``weights_sha256`` identifies the weights in a run's record.
    """

    def __init__(self, network: LargeFov, weights_sha256: str, device: str | torch.device = "cpu") -> None:
        self.network = network.to(device).eval()
        self.weights_sha256 = weights_sha256
        self.device = torch.device(device)

    @classmethod
    def load(cls, uri: str, device: str | torch.device = "cpu") -> PixelObjectness:
        """Read ``pixel_objectness.caffemodel`` from a path or URI.

        Raises CaffemodelError that names the file and lists everything in it that does not fit the network.
        """
        try:
            data = storage.read_bytes(uri, MAXIMUM_BYTES)
        except FileNotFoundError as error:
            raise CaffemodelError(
                f"{uri} is missing; fetch pixel_objectness.caffemodel from github.com/suyogduttjain/pixelobjectness "
                "(research use only) and give its path as measure.objectness.weights"
            ) from error
        except ValueError as error:
            raise CaffemodelError(str(error)) from error
        try:
            network = network_from(read_caffemodel(data))
        except CaffemodelError as error:
            raise CaffemodelError(f"{uri}: {error}") from error
        return cls(network, hashlib.sha256(data).hexdigest(), device)

    def __call__(self, pixels_HW3: Pixels) -> Map:
        """P(object) of every pixel of an RGB uint8 photo: float32 (H, W) in [0, 1].

        As published: one photo a pass, the mean taken off, filled up to 513 x 513 with zeros below and to the right.
        """
        return bilinear(self.small(pixels_HW3), *pixels_HW3.shape[:2])

    def small(self, pixels_HW3: Pixels) -> Map:
        """The same at the network's size, before it is enlarged: float32 (h, w), sides of 513 at most."""
        check_pixels(pixels_HW3)
        height, width = pixels_HW3.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        small_HW3 = np.array(Image.fromarray(pixels_HW3).resize((columns, rows), Image.Resampling.BILINEAR))
        bgr_HW3 = torch.from_numpy(small_HW3).to(self.device).flip(-1).float() - torch.tensor(
            MEAN_BGR, device=self.device
        )
        image_CHW = functional.pad(bgr_HW3.permute(2, 0, 1), (0, SIDE - columns, 0, SIDE - rows))
        with torch.inference_mode():
            logits_CHW = self.network(image_CHW[None])[0, :, :rows, :columns]
            object_HW = logits_CHW.softmax(0)[1]
        return object_HW.cpu().numpy()


def network_from(layers: dict[str, Blobs]) -> LargeFov:
    """The network with the weights and biases of a ``.caffemodel``.

    Raises CaffemodelError that lists every layer that is missing, unexpected, or has blobs of the wrong number, shape
    or with values that are not finite.
    """
    network = LargeFov()
    weighted = {name: module for name, module in network.named_children() if isinstance(module, nn.Conv2d)}
    problems = [f"has an unexpected layer {name}" for name in layers if name not in weighted]
    with torch.no_grad():
        for name, module in weighted.items():
            if name not in layers:
                problems.append(f"lacks layer {name}")
            elif len(layers[name]) != 2:
                problems.append(f"layer {name} has {len(layers[name])} blobs, weight and bias were expected")
            else:
                for (kind, own), blob in zip(module.named_parameters(), layers[name], strict=True):
                    if _without_leading_ones(blob.shape) != _without_leading_ones(own.shape):
                        problems.append(f"{name} {kind} has shape {blob.shape}, {tuple(own.shape)} was expected")
                    elif not np.isfinite(blob).all():
                        problems.append(f"{name} {kind} has values that are not finite")
                    else:
                        own.copy_(torch.tensor(blob).reshape(own.shape))
    if problems:
        raise CaffemodelError("not the weights of pixel objectness: it " + "; ".join(problems))
    return network


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Old files store a bias of n values as (1, 1, 1, n)."""
    lengths = list(shape)
    while lengths[:1] == [1]:
        lengths.pop(0)
    return tuple(lengths)
