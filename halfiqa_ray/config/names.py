"""Names that become folders: of data sets, models, runs, searches and checkpoints. One pattern for all of them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

MOST = 100  # letters; with what is put before and after it, a name stays below the 255 bytes of a file system
PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MOST - 1}}}")
RULE = f"letters a to z, digits, '_', '.' and '-', beginning with a letter or digit, {MOST} at most"


def checked_name(name: str) -> str:
    """``name`` as it is. Raises ValueError for one that would hide (``_x``, ``.x``), climb (``..``) or fit no folder.

    Files below folders that begin with ``_`` or ``.`` count as unfinished or private and are never listed.
    """
    if not PATTERN.fullmatch(name):
        raise ValueError(f"a name has {RULE}")
    return name


Name = Annotated[str, AfterValidator(checked_name)]
