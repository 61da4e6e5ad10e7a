"""Checkpoints that come with the package: ``weights/DATASET/MODEL/`` inside it, each a checkpoint folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

FOLDER = "weights"


def names() -> list[str]:
    """The names of all that are there, ``DATASET/MODEL``, sorted."""
    root = _root()
    return sorted(str(file.parent.relative_to(root)).replace("\\", "/") for file in root.glob("*/*/model.json"))


def resolve(name_or_path: str) -> str:
    """The checkpoint folder that a shipped model's name means; what is no such name is a path or URI, and stays.

    A folder of one's own that is called like a shipped model is named by ``./``.
    """
    return str(folder(name_or_path)) if name_or_path in names() else name_or_path


def folder(name: str) -> Path:
    """Where the shipped model of a name lies, or would lie."""
    return _root() / name


def absolute(name_or_path: str) -> str:
    """What means the same on every node: the name of a shipped model, which each has, or a whole path or URI."""
    from halfiqa_ray import storage  # the names alone are for help texts too, which should not wait for pyarrow

    return name_or_path if name_or_path in names() else storage.absolute(name_or_path)


def _root() -> Path:
    # The package is always unpacked: torch and the templates need files too.
    return Path(str(files("halfiqa_ray"))) / FOLDER
