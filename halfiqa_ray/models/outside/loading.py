"""An outside model, made and known again: its record, as a checkpoint has one, and what tells its scores apart."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.build import model_names
from halfiqa_ray.models.checkpoints import NOT_TRAINED, CheckpointError, CheckpointRecord, package_versions
from halfiqa_ray.models.outside.checking import check
from halfiqa_ray.models.outside.making import make
from halfiqa_ray.models.outside.model import Outside
from halfiqa_ray.models.outside.naming import NAME, OutsideError, said

UNKNOWN = "unknown"  # data set of a record, where the settings name none


def load_outside(
    settings: ModelSettings, device: str | torch.device = "cpu", planned_sha256: str | None = None
) -> tuple[Outside, CheckpointRecord]:
    """The model that ``model.outside`` describes, in evaluation mode on ``device``, and a record like a checkpoint's.

    Its ``weights_sha256`` is of all that decides its scores as far as it can be seen: settings, weights, the file that
    makes it and the version of its package. Raises OutsideError for what cannot be made, and CheckpointError where it
    is another than ``planned_sha256``.
    """
    outside, whose = settings.outside, said(settings)
    if not outside.name:
        raise OutsideError(f"{whose}: set model.outside.name to what tables shall call it")
    if outside.name in (*model_names(), NAME):
        raise OutsideError(f"{whose}: another model has this name; set model.outside.name to one of its own")
    network = make(settings)
    if isinstance(network, nn.Module):
        network = network.to("cpu").eval()
    sha256 = _identity(settings, network)
    if planned_sha256 not in (None, sha256):
        raise CheckpointError(
            f"{whose} is another here than where the job was planned (SHA-256 {sha256[:12]}..., planned "
            f"{str(planned_sha256)[:12]}...): its weights, file or package differ. Nothing was scored with it. Install "
            f"the same on every node, and let its factory draw random weights from torch's generator alone"
        )
    model = Outside(settings, network).to(device).eval()
    record = CheckpointRecord(
        dataset=outside.dataset or UNKNOWN,
        synthetic=False,
        mos_scale=model.mos_scale,
        model=settings.model_copy(update={"name": outside.name, "output": "score"}),
        preprocessing=model.preprocessing,
        run=NAME,
        weights_sha256=sha256,
        **NOT_TRAINED,
        versions=package_versions(),
    )
    return model, record


def outside_record(settings: ModelSettings) -> CheckpointRecord:
    """The record of a model that keeps the contract; tried once a process. Raises OutsideError."""
    return _checked(settings.model_dump_json())


@functools.lru_cache(maxsize=64)
def _checked(settings_json: str) -> CheckpointRecord:
    model, record = load_outside(ModelSettings.model_validate_json(settings_json))
    check(model)
    return record


def _identity(settings: ModelSettings, network: Callable[..., Any]) -> str:
    """SHA-256 (hex) of what decides the scores."""
    outside = settings.outside
    place = outside.factory or outside.function or ""
    told = outside.model_dump(mode="json", exclude={"name", "layer", "dataset", "nothing"})
    digest = hashlib.sha256(json.dumps([told, *_code(place.partition(":")[0])], sort_keys=True).encode())
    if isinstance(network, nn.Module):
        for name, value in sorted(network.state_dict().items()):
            if isinstance(value, torch.Tensor):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _code(module_name: str) -> Iterator[str]:
    """The file of a module, as a hash, and the versions of the packages that it may be from, without ours."""
    file = getattr(importlib.import_module(module_name), "__file__", None)
    if file and Path(file).is_file():
        yield hashlib.sha256(Path(file).read_bytes()).hexdigest()
    top = module_name.partition(".")[0]
    if top != "halfiqa_ray":
        yield from (f"{name} {metadata.version(name)}" for name in sorted(set(_distributions().get(top, ()))))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """The packages that brought each top-level module; it takes a look into every one that is installed."""
    return metadata.packages_distributions()
