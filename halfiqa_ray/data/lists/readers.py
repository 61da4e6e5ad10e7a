"""Which reader reads which layout (data.layout)."""

from __future__ import annotations

from collections.abc import Callable

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import biq2021, folder, koniq, pyiqa, spaq
from halfiqa_ray.data.manifest import Listing
from halfiqa_ray.data.problems import DataError

READERS: dict[str, Callable[[DataSettings], Listing]] = {
    "biq2021": biq2021.read,
    "folder": folder.read,
    "koniq10k": koniq.read,
    "pyiqa": pyiqa.read,
    "spaq": spaq.read,
}


def read_listing(settings: DataSettings) -> Listing:
    """Read the data set that the settings describe. Raises DataError when it cannot be read at all."""
    if settings.layout != "pyiqa" and settings.mos_scale is not None:
        raise DataError(f"data.mos_scale is for the pyiqa layout; {settings.layout} has a scale of its own")
    if settings.layout == "folder" and settings.scores is not None:
        raise DataError("data.layout is folder, which has no scores, but data.scores is set: choose another layout")
    if settings.layout == "folder" and (named := settings.mos_column or settings.name_column):
        raise DataError(f"data.layout is folder, which reads no list, but a column of one is set: {named}")
    return READERS[settings.layout](settings)
