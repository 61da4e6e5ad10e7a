"""What an outside model is called in settings and in messages."""

from __future__ import annotations

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.build import OUTSIDE as NAME

__all__ = ["NAME", "OutsideError", "said"]


class OutsideError(ValueError):
    """A model that is not ours cannot be found, made or used as it is: which one, what was seen, what to do."""


def said(settings: ModelSettings) -> str:
    """How messages call a model: by its name and what makes it."""
    outside = settings.outside
    return f"outside model {outside.name or '(no name)'} ({outside.factory or outside.function or 'no factory'})"
