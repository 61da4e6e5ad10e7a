"""From ``package.module:function`` to a callable. The one place where code that the settings name is imported and run.

Only settings come here: those of the user's files and command line, and those of an installed package's entry point
that the user names. A checkpoint's record has a model section too, and `build_model` refuses an outside one in it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import torch

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.backbones import declare_missing_operators
from halfiqa_ray.models.outside.naming import OutsideError, said

SEED = 0  # weights that a factory draws are the same in every process


def make(settings: ModelSettings) -> Callable[..., Any]:
    """The callable that ``model.outside`` describes: what its factory returns, or its function.

    Weights that the factory draws from torch's global generator are the same every time. Raises OutsideError for code
    that cannot be imported or fails, and for a factory that gives nothing to call.
    """
    outside, whose = settings.outside, said(settings)
    if outside.function:
        function = named(outside.function, "model.outside.function", whose)
        return functools.partial(function, **outside.arguments) if outside.arguments else function
    if not outside.factory:
        raise OutsideError(
            f"{whose}: nothing says what makes it: set model.outside.factory to package.module:function, or "
            f"model.outside.function"
        )
    factory = named(outside.factory, "model.outside.factory", whose)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            made = factory(**outside.arguments)
    except Exception as error:
        given = ", ".join(f"{name}={value!r}" for name, value in outside.arguments.items()) or "no arguments"
        raise OutsideError(f"{whose}: its factory, called with {given}, failed: {_told(error)}") from error
    if not callable(made):
        raise OutsideError(
            f"{whose}: its factory gave a {type(made).__name__}, which cannot be called: it must return an nn.Module "
            f"or a function of images; a plain function of images is named by model.outside.function"
        )
    return made


def named(place: str, setting: str, whose: str) -> Callable[..., Any]:
    """The callable at ``package.module:function``. Raises OutsideError."""
    module_name, _, path = place.partition(":")
    declare_missing_operators()  # where torchvision does not fit torch, its import works only after it
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and module_name.startswith(str(error.name))
        hint = "install its package, or put its folder on PYTHONPATH (on every node)" if missing else "see above"
        raise OutsideError(f"{whose}: {setting}: cannot import {module_name}: {_told(error)}; {hint}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise OutsideError(f"{whose}: {setting}: {module_name} has no {path}")
        found = getattr(found, name)
    if not callable(found):
        raise OutsideError(f"{whose}: {setting}: {place} is a {type(found).__name__}, which cannot be called")
    return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
