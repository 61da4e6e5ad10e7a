"""Checkpoints: a trained model in two files, ``model.safetensors`` and ``model.json``, local or in object storage.

``model.json`` is a public interface: everything needed to use the weights and to judge them.
"""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from PIL import features
from pydantic import Field, ValidationError
from torch import Tensor

from halfiqa_ray import storage
from halfiqa_ray.config import ModelSettings, Name, Section, TrainSettings, checked_name
from halfiqa_ray.models import shipped
from halfiqa_ray.models.base import MosScale, Preprocessing, QualityModel
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.fitting.agreement import Agreement
from halfiqa_ray.models.folding import fold_batchnorm

WEIGHTS, RECORD = "model.safetensors", "model.json"
PACKAGES = ("halfiqa_ray", "torch", "timm", "ray", "numpy", "pillow", "safetensors")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit together."""


class Source(Section):
    """Where weights came from that were not trained here."""

    file: str = Field(description="Path or URI of the file that was read.")
    file_sha256: str = Field(description="SHA-256 of that file.")
    layout: str = Field(description="Whose tensor names it has (halfiqa_ray/models/published/).")
    repository: str = Field(description="Its authors' code.")
    licence: str = Field(description="Licence of that code, as far as it is stated.")


class CheckpointRecord(Section):
    """What ``model.json`` says. What only training knows is null for weights that were not trained here."""

    format: Literal[2] = Field(2, description="Version of these columns.")
    dataset: Name = Field(description="Data set that the model was trained on.")
    synthetic: bool = Field(description="Trained on synthetic scores (demo data): its numbers say nothing of people.")
    mos_scale: MosScale = Field(description="Native MOS range of that data set; scores come out in it.")
    model: ModelSettings = Field(description="Model settings; the backbone weights named there were the start.")
    preprocessing: Preprocessing = Field(description="How a photo becomes input.")
    run: Name = Field(description="Name of the training run.")
    train: TrainSettings | None = Field(description="Training settings.")
    seed: int | None = Field(description="Seed of the run.")
    stage: str | None = Field(description="Stage of the best epoch.")
    epoch: int | None = Field(description="Best epoch of that stage, from 1.")
    split_hash: str | None = Field(description="Hash of the manifest's split.")
    metrics: dict[str, Agreement] = Field(description="Agreement with MOS for every split not trained on.")
    versions: dict[str, str] = Field(description="Packages that trained or imported it.")
    source: Source | None = Field(None, description="Where the weights came from; null when trained here.")
    weights_sha256: str = Field("", description="SHA-256 of model.safetensors.")


# What the record of weights that were not trained here says of training.
NOT_TRAINED: dict[str, Any] = {
    **dict.fromkeys(("train", "seed", "stage", "epoch", "split_hash")),
    "metrics": {},
}


def checkpoint_uri(output: str, dataset: str, model: str, run: str) -> str:
    """Where a training run puts its checkpoint. Raises ValueError for a name that would hide or leave the folder."""
    for name in (dataset, model, run):
        try:
            checked_name(name)
        except ValueError as error:
            raise ValueError(f"there is no checkpoint of {dataset!r}, {model!r}, {run!r}: {name!r}: {error}") from None
    return storage.join(output, "checkpoints", dataset, model, run)


def predictions_uri(checkpoint: str) -> str:
    """Where the predictions for every split but the training photos lie, in the checkpoint folder."""
    return storage.join(checkpoint, "predictions.parquet")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    # The decoder decides pixels: two builds of Pillow may carry different ones.
    found["libjpeg_turbo"] = features.version_feature("libjpeg_turbo") or "not used"
    return found


def save_checkpoint(uri: str, model: QualityModel, record: CheckpointRecord) -> CheckpointRecord:
    """Write both files into the folder ``uri``; returns the record with the hash of the weights.

    ``model.json`` comes last, so that a folder that has it is complete.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    data = safetensors.torch.save(tensors)
    record = record.model_copy(update={"weights_sha256": hashlib.sha256(data).hexdigest()})
    storage.write_bytes(storage.join(uri, WEIGHTS), data)
    storage.write_json(storage.join(uri, RECORD), record.model_dump(mode="json"))
    return record


def has_checkpoint(uri: str) -> bool:
    """Whether a complete checkpoint is in the folder ``uri``."""
    return storage.exists(storage.join(uri, RECORD))


def read_record(uri: str) -> CheckpointRecord:
    """Read ``model.json`` of the checkpoint folder, or of the shipped model, ``uri``.

    Raises CheckpointError naming the file, and the models that there are.
    """
    file = storage.join(shipped.resolve(uri), RECORD)
    try:
        return CheckpointRecord.model_validate(storage.read_json(file))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no checkpoint in {uri}: {RECORD} is missing; train one with jobs/train.py, or take one that comes with "
            f"the package: {', '.join(shipped.names()) or 'there is none'}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{file} is not a checkpoint record of this version: {place}: {first['msg']}") from error


def load_checkpoint(
    uri: str, device: str | torch.device = "cpu", planned_sha256: str | None = None, fold: bool = False
) -> tuple[QualityModel, CheckpointRecord]:
    """The model of a checkpoint folder, or the shipped one of that name, in evaluation mode on ``device``; its record.

    Reads no other weights. They are float32 in memory, also where the file has half precision. With ``fold`` the
    backbone's BatchNorms are folded into its convolutions (`folding`): for scoring only.

    Raises CheckpointError naming the file, and the tensor where it is one, when a file is missing or damaged, the
    weights do not belong to the record, or they are others than ``planned_sha256``.
    """
    record = read_record(uri)
    file = storage.join(shipped.resolve(uri), WEIGHTS)
    if planned_sha256 not in (None, record.weights_sha256):
        raise CheckpointError(
            f"{file} was replaced while the job ran: it was planned with weights of SHA-256 {planned_sha256}, and now "
            f"there are those of {record.weights_sha256}. Nothing was scored with them. Put the first ones back to go "
            f"on, or run the job again for the new ones, which will be a run of its own"
        )
    try:
        data = storage.read_bytes(file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{file} is missing, though {RECORD} is beside it; copy both files") from error
    found = hashlib.sha256(data).hexdigest()
    if found != record.weights_sha256:
        raise CheckpointError(
            f"{file} has SHA-256 {found[:12]}..., but {RECORD} says {record.weights_sha256[:12]}...: the file is "
            f"damaged or belongs to another checkpoint; copy both files again"
        )
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{file} is not a safetensors file: {error}") from error
    settings = record.model
    random_start = {
        "backbone": settings.backbone.model_copy(update={"weights": "none"}),
        "dbcnn": settings.dbcnn.model_copy(update={"scnn_weights": "none"}),
    }
    model = build_model(settings.model_copy(update=random_start), record.mos_scale)
    _check_fit(file, model.state_dict(), tensors)
    model.load_state_dict(tensors)
    model.preprocessing = record.preprocessing
    model.to(device).eval()
    if fold:
        size = record.preprocessing.height, record.preprocessing.width
        example_NCHW = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(0))
        fold_batchnorm(model.backbone, example_NCHW.to(device))
    return model, record


def _check_fit(file: str, own: dict[str, Tensor], given: dict[str, Tensor]) -> None:
    """Raise CheckpointError for the first tensor that is missing, unexpected or of another shape."""
    missing, unexpected = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    for names, problem in ((missing, "lacks"), (unexpected, "has, and the model has not,")):
        if names:
            raise CheckpointError(f"{file} {problem} {len(names)} tensors: {', '.join(names[:3])} ...")
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            raise CheckpointError(
                f"{file}: tensor {name} has shape {tuple(given[name].shape)}, the model of {RECORD} "
                f"needs {tuple(tensor.shape)}"
            )
