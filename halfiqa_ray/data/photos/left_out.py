"""What lies among photos and is nobody's photo: folders that systems make, and what jobs wrote."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

# Thumbnails, what was deleted, snapshots: of Synology, QNAP, Windows, Linux, macOS, Lightroom. In lower case.
SYSTEM_FOLDERS = frozenset(
    "@eadir #recycle #snapshot @tmp @recycle @recently-snapshot @sharebin .@__thumb $recycle.bin recycler "  # noqa: SIM905
    "lost+found __macosx .trash .trashes .thumbnails .thumbs .appledouble .spotlight-v100 .fseventsd "
    ".temporaryitems .documentrevisions-v100 .snapshot .snapshots .zfs".split()
) | {"system volume information"}
SYSTEM_PATTERN = re.compile(r"\.trash-.*|found\.\d{3}|.*\.lrdata")
# What jobs write below their output. It is known by a manifest, which is the first thing that they write.
OUTPUT_FOLDERS = frozenset(
    "checkpoints errors explain figures manifest maps measures rank report runs tables tune zeroed".split()  # noqa: SIM905
)
MANIFEST = re.compile(r"(.*/)?manifest/dataset=[^/]+/manifest\.parquet")


def is_system(name: str) -> bool:
    """Whether a system or a program, not a person, makes folders of this name."""
    return name.lower() in SYSTEM_FOLDERS or SYSTEM_PATTERN.fullmatch(name.lower()) is not None


def is_output(folder: str) -> bool:
    """Whether jobs have written into this local folder (`--output`)."""
    return next(Path(folder, "manifest").glob("dataset=*/manifest.parquet"), None) is not None


def outputs(paths: Set[str]) -> set[str]:
    """The folders into which jobs have written, each with its last slash (the root: empty), by all stored paths."""
    return {found[1] or "" for path in paths if (found := MANIFEST.fullmatch(path))}


def reason(path: str, written: Set[str]) -> tuple[str, str] | None:
    """Why a stored file is left out: (hidden, system or written, the folder that is left out); None when it is not.

    ``written``: what `outputs` found.
    """
    *folders, _ = path.split("/")
    above = ""
    for name in folders:
        if is_system(name):
            return "system", above + name
        if name.startswith("."):
            return "hidden", above + name
        if name in OUTPUT_FOLDERS and above in written:
            return "written", above + name
        above += f"{name}/"
    return ("hidden", path) if path[len(above) :].startswith(".") else None
