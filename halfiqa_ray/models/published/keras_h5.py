"""Weights out of a Keras .h5 file, by ``layer/parameter``, shaped as PyTorch has them.

Both legacy forms are read: what ``save_weights`` writes (a group a layer) and what ``save`` writes (the same below
``model_weights``). Names are taken from the datasets' paths, so no attribute is parsed, and nothing is unpickled or
run. Only the last two parts of a path count: how many scopes Keras puts before them depends on its version and on
how a layer was first called (TensorFlow 2.12 writes ``dense_4/kernel:0`` for a layer inside a Sequential, and
``outer/block/dense_3/kernel:0`` for its sibling).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from halfiqa_ray import storage
from halfiqa_ray.models.published.layout import PublishedError

MAXIMUM_DATASETS = 10_000


def read(uri: str, maximum_bytes: int) -> dict[str, Tensor]:
    """The float32 tensors of the .h5 file at ``uri``: kernels of convolutions (O, I, H, W), of dense layers (O, I).

    Raises PublishedError naming the file when it is missing, no HDF5, not in the legacy layout, larger than
    ``maximum_bytes`` (as a file or unpacked), or refers to data outside itself.
    """
    try:
        import h5py
    except ImportError as error:
        raise PublishedError("reading .h5 needs h5py; run: pip install 'halfiqa_ray[import]'") from error
    try:
        data = storage.read_bytes(uri, maximum_bytes)
        with h5py.File(io.BytesIO(data), "r") as file:
            root = file.get("model_weights", file)
            if not any(name in root.attrs for name in ("layer_names", "layer_names0")):
                raise PublishedError(f"{uri} has no layer_names: it is not a Keras .h5 of the legacy layout")
            datasets: list[Any] = []
            root.visititems(lambda _, node: datasets.append(node) if isinstance(node, h5py.Dataset) else None)
            _check(uri, datasets, maximum_bytes)
            return _by_name(uri, {dataset.name: dataset[()] for dataset in datasets})
    except PublishedError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise PublishedError(f"cannot read {uri}: {error}") from error


def numbered(names: Iterable[str], kind: str) -> list[str]:
    """The layers that Keras named by itself (``dense``, ``dense_1`` ...) in the order in which they were made.

    Numbers count on through a session, so they need not begin at 0.
    """
    hits = [re.fullmatch(rf"{kind}(?:_(\d+))?/.*", name) for name in names]
    numbers = {hit[0].split("/")[0]: int(hit[1] or 0) for hit in hits if hit}
    return sorted(numbers, key=numbers.__getitem__)


def in_order(
    modules: Iterable[str], given: Iterable[str], kind: str, naming: Callable[[str, str], dict[str, str]]
) -> dict[str, str]:
    """Names of our ``modules`` to those of the layers of a ``kind``, the first to the first and so on."""
    found: dict[str, str] = {}
    for module, layer in zip(modules, numbered(given, kind), strict=False):  # a difference shows in the match
        found |= naming(module, layer)
    return found


def parameters(module: str, layer: str) -> dict[str, str]:
    """Names of a convolution or dense layer of ours, to those of Keras."""
    return {f"{module}.weight": f"{layer}/kernel", f"{module}.bias": f"{layer}/bias"}


def norm(module: str, layer: str, statistics: bool = False) -> dict[str, str]:
    """Names of a LayerNorm of ours, or with ``statistics`` a BatchNorm, to those of Keras."""
    names = {f"{module}.weight": f"{layer}/gamma", f"{module}.bias": f"{layer}/beta"}
    moving = {f"{module}.running_mean": f"{layer}/moving_mean", f"{module}.running_var": f"{layer}/moving_variance"}
    return names | moving if statistics else names


def _check(uri: str, datasets: list[Any], maximum_bytes: int) -> None:
    """Raise PublishedError for what must not be read: too much of it, no numbers, or data from other files."""
    if len(datasets) > MAXIMUM_DATASETS:
        raise PublishedError(f"{uri} has {len(datasets):,} datasets, more than the {MAXIMUM_DATASETS:,} allowed here")
    for dataset in datasets:
        if dataset.dtype.kind != "f" or dataset.is_virtual or dataset.external:
            raise PublishedError(f"{uri}: {dataset.name} is not a plain array of floats inside this file")
    unpacked = sum(dataset.size * dataset.dtype.itemsize for dataset in datasets)
    if unpacked > maximum_bytes:
        raise PublishedError(f"{uri} unpacks to {unpacked:,} bytes, more than the {maximum_bytes:,} allowed here")


def _by_name(uri: str, arrays: dict[str, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path, array in arrays.items():
        name = "/".join(path.split("/")[-2:]).removesuffix(":0")
        if name in tensors:
            raise PublishedError(f"{uri} has two weights named {name}; the second is {path}")
        tensor = torch.from_numpy(array).float() if array.ndim else torch.tensor(float(array))
        if name.endswith("/kernel"):
            tensor = tensor.permute(3, 2, 0, 1) if tensor.dim() == 4 else tensor.T
        tensors[name] = tensor.contiguous()
    return tensors
