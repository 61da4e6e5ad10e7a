"""Files of settings: one's own, and those that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# In an installed package they lie inside it (pyproject.toml puts them there), in a checkout beside it.
PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "configs", PACKAGE.parent / "configs")


def names() -> list[str]:
    """The files that come with the package, as ``--config`` takes them: ``demo``, ``data/biq2021`` ..., sorted."""
    root = _folder()
    return sorted(file.relative_to(root).with_suffix("").as_posix() for file in root.rglob("*.yaml"))


def find(name: str) -> str:
    """The file that ``--config`` means: the one of that path, else the one that comes with the package.

    Those may be called ``data/biq2021`` or, as in a checkout, ``configs/data/biq2021.yaml``. Raises ValueError when
    there is neither.
    """
    given = Path(name)
    if given.exists() and not given.is_dir():
        return name
    inside = name.removeprefix("configs/").removesuffix(".yaml")
    if inside in names():
        return str(_folder() / f"{inside}.yaml")
    if given.is_dir():
        return name  # who reads it says that it is a folder
    raise ValueError(
        f"--config {name}: there is no such file here, and none of that name comes with the package: "
        f"{', '.join(names())}"
    )


def with_found(words: Sequence[str]) -> list[str]:
    """Command line words with every ``--config`` as the file that it means."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == "--config":
            found.append(find(word))
        elif word.startswith("--config="):
            found.append("--config=" + find(word.removeprefix("--config=")))
        else:
            found.append(word)
    return found


def _folder() -> Path:
    return next((folder for folder in FOLDERS if (folder / "demo.yaml").is_file()), FOLDERS[0])
