"""From settings to a quality model: the file of ``halfiqa_ray/models/`` that the settings name builds it."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from halfiqa_ray import models
from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.base import MosScale, QualityModel

OUTSIDE = "outside"  # model.name of models that are not ours (halfiqa_ray/models/outside/)


def build_model(settings: ModelSettings, mos_scale: MosScale) -> QualityModel:
    """Build the model that ``settings`` describe, on the CPU, in training mode.

    The model is made by ``build(settings, mos_scale)`` of the file ``halfiqa_ray/models/NAME.py``; any file there
    that has this function is a model. The weights that no file gives are drawn from torch's global generator: seed it
    before for a repeatable model. Raises ValueError for an unknown name or settings that fit no model, and
    WeightsError when weights cannot be had.

    A model that is not ours is never built here, where settings may come from a checkpoint's file: a ValueError.
    """
    if settings.name == OUTSIDE:
        raise ValueError(
            f"model.name is {OUTSIDE}: such a model is neither trained nor read from a checkpoint, and code that a "
            f"checkpoint names is never run; name it in zero.models, and the model that ranks in rank.checkpoint"
        )
    build = getattr(_module(settings.name), "build", None)
    if build is None:
        raise ValueError(f"model.name: there is no model {settings.name!r}; there are {', '.join(model_names())}")
    return build(settings, mos_scale)


def model_names() -> list[str]:
    """The names of all models, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(models.__path__) if hasattr(_module(m.name), "build"))


def _module(name: str) -> ModuleType | None:
    full = f"{models.__name__}.{name}"
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise  # the model's file is there, and something that it needs is not
        return None
