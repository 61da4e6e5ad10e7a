"""Weights out of a PyTorch state dict, by the names that they have there."""

from __future__ import annotations

from torch import Tensor

from halfiqa_ray import storage
from halfiqa_ray.models.backbones import WeightsError, read_weights
from halfiqa_ray.models.published.layout import PublishedError

PARALLEL_PREFIX = "module."  # what torch's DataParallel puts before every name


def read(uri: str, maximum_bytes: int) -> dict[str, Tensor]:
    """The tensors of a .pth, .pt, .pkl or .safetensors file, without DataParallel's prefix and batch counters.

    Raises PublishedError naming the file when it is missing, too large, damaged, or holds more than tensors.
    """
    try:
        store, path = storage.filesystem(uri)
        size = store.get_file_info(path).size or 0
        if size > maximum_bytes:
            raise PublishedError(f"{uri} holds {size:,} bytes, more than the {maximum_bytes:,} allowed here")
        tensors = read_weights(uri, "published.file")
    except (OSError, WeightsError) as error:
        raise PublishedError(str(error)) from error
    return {name.removeprefix(PARALLEL_PREFIX): tensor.float() for name, tensor in tensors.items()}
