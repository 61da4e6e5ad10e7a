"""What the files of published models have in common: a layout says how one is stored, a match what fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.base import LEVELS, MosScale, QualityModel

SHOWN = 20
TARGET = ("head.target_mean", "head.target_std")  # not weights: set from the layout's scale


class PublishedError(ValueError):
    """A published file that cannot be read, or does not fit the model that it should be."""


@dataclass(frozen=True)
class Layout:
    """How a published model is stored, and what it is.

    ``read`` gives the tensors of a file (path or URI, greatest size in bytes) by name, shaped as PyTorch has them.
    ``settings`` says which model they are for. ``names`` maps the names of that model's tensors to the file's.
    ``scale`` is the MOS range that the authors trained for; ``scalar`` says whether a model with one output predicts
    a level (1 to 5) or the score itself.
    """

    repository: str
    licence: str
    scale: MosScale
    scalar: Literal["level", "score"]
    read: Callable[[str, int], dict[str, Tensor]]
    settings: Callable[[Mapping[str, Tensor]], ModelSettings]
    names: Callable[[Sequence[str], Mapping[str, Tensor]], dict[str, str]]


@dataclass(frozen=True)
class Match:
    """Which tensors of a file went where: ``matched`` and ``missing`` map ours to theirs; the rest did not fit."""

    matched: dict[str, str]
    missing: dict[str, str]
    left_over: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model was found with its shape, and every tensor of the file was used."""
        return not (self.missing or self.left_over or self.misshapen)

    def lines(self) -> list[str]:
        """What did not match, a line each, at most ``SHOWN`` of a kind."""
        missing = [f"{ours} (looked for {theirs})" for ours, theirs in self.missing.items()]
        told = []
        for kind, names in (
            ("missing from the file", missing),
            ("in the file, but not in the model", self.left_over),
            ("of another shape", self.misshapen),
        ):
            if names:
                told.append(f"{len(names)} tensors {kind}:")
                told += [f"  {name}" for name in names[:SHOWN]]
                told += [f"  and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        return told


def match(model: QualityModel, names: Mapping[str, str], given: Mapping[str, Tensor]) -> Match:
    """Compare the model's tensors with those of a file; ``names`` maps ours to theirs."""
    own = {name: tensor for name, tensor in model.state_dict().items() if _is_weight(name)}
    missing = {name: names.get(name, "no name") for name in own if names.get(name) not in given}
    found = {name: names[name] for name in own if name not in missing}
    misshapen = {
        name: f"{name} is {tuple(own[name].shape)}, {theirs} in the file is {tuple(given[theirs].shape)}"
        for name, theirs in found.items()
        if own[name].shape != given[theirs].shape
    }
    matched = {name: theirs for name, theirs in found.items() if name not in misshapen}
    used = set(names.values())
    return Match(matched, missing, tuple(name for name in given if name not in used), tuple(misshapen.values()))


def fill(model: QualityModel, layout: Layout, given: Mapping[str, Tensor], file: str) -> Match:
    """Give the model the tensors of a file, and its scalar output the scale of the layout.

    Raises PublishedError that lists all that did not match; the model is then as it was.
    """
    found = match(model, layout.names(list(model.state_dict()), given), given)
    if not found.complete:
        told = "\n".join(found.lines())
        raise PublishedError(f"{file} does not fit: {len(found.matched)} tensors match, but these do not\n{told}")
    model.load_state_dict({ours: given[theirs] for ours, theirs in found.matched.items()}, strict=False)
    scale = model.mos_scale
    step = (scale.high - scale.low) / (LEVELS - 1) if layout.scalar == "level" else 1.0
    with torch.no_grad():
        model.head.target_std.fill_(step)
        model.head.target_mean.fill_(scale.low - step if layout.scalar == "level" else 0.0)
    return found


def _is_weight(name: str) -> bool:
    return name not in TARGET and not name.endswith("num_batches_tracked")
