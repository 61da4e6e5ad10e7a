"""A model by name, ready to look at photos."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from halfiqa_ray import storage
from halfiqa_ray.models import shipped
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.models.checkpoints import CheckpointError, CheckpointRecord, has_checkpoint, load_checkpoint


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A quality model in evaluation mode, what its checkpoint says of it, and the name that it was asked for by."""

    name: str
    network: QualityModel = field(repr=False)
    record: CheckpointRecord = field(repr=False)
    device: torch.device

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels, that photos are resized to."""
        return self.network.preprocessing.height, self.network.preprocessing.width


def load(name_or_path: str, device: str = "cpu") -> LoadedModel:
    """Load a model that comes with the package (``biq2021/triq``), or that of a checkpoint folder, local or remote.

    ``device`` is torch's name of one. Raises CheckpointError when there is no such model, or when it is damaged, and
    ValueError for a device that is not here.
    """
    place = _device(device)
    folder = shipped.resolve(name_or_path)
    if not has_checkpoint(folder):
        there = ", ".join(shipped.names()) or "none with this installation"
        raise CheckpointError(
            f"there is no model {name_or_path}: give a checkpoint folder, which holds model.json and "
            f"model.safetensors, or the name of a model that comes with halfiqa_ray (there are: {there})"
        )
    network, record = load_checkpoint(folder, place, fold=True)
    # A folder is called by its own last name: that is what tells models of one experiment apart.
    name = name_or_path if folder != name_or_path else storage.absolute(folder).rstrip("/").rsplit("/", 1)[-1]
    return LoadedModel(name, network, record, place)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"{name!r} is no device of torch, such as cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no {name} here: torch sees {torch.cuda.device_count()} GPUs")
    return device
