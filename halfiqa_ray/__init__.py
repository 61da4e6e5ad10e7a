"""Exact block importance for image quality assessment, distributed with Ray.

``import halfiqa_ray as hq``: ``hq.load``, ``hq.look``, ``hq.subset_scores``, ``hq.zeroed_scores`` look at photos here,
and need no Ray. The import itself needs no torch either, which comes with the first use of one of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halfiqa_ray.looking.model import LoadedModel, load
    from halfiqa_ray.looking.result import Look
    from halfiqa_ray.looking.scoring import look, subset_scores, zeroed_scores

__version__ = "0.1.0"
__all__ = ["LoadedModel", "Look", "__version__", "load", "look", "subset_scores", "zeroed_scores"]

# Where each name lives: it is imported when it is first used.
_PLACES = {
    "LoadedModel": "model",
    "load": "model",
    "Look": "result",
    "look": "scoring",
    "subset_scores": "scoring",
    "zeroed_scores": "scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.looking.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
