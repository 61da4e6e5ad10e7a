"""SPAQ (Fang et al., CVPR 2020): MOS 0 to 100 for smartphone photos, no votes, no published split.

Its list is the official workbook `Annotations/MOS and Image attribute scores.xlsx` (columns Image name, MOS and
attributes), the same saved as CSV, or the header-less `name.png,MOS` of TRIQ's author. That one says .png, for copies
of his own: photos are the .jpg files of `TestImage/`, so names are matched without their extension.
"""

from __future__ import annotations

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import roles, score_list, scored
from halfiqa_ray.data.manifest import Listing
from halfiqa_ray.data.problems import DataError

WORKBOOK = "MOS and Image attribute scores.xlsx"
LISTS = (f"Annotations/{WORKBOOK}", f"annotations/{WORKBOOK}", WORKBOOK, "spaq_mos.csv")
FOLDERS = ("TestImage", "")
NOTE = "SPAQ, Fang et al., CVPR 2020; for research use. See the terms of its authors."
DEVIATIONS = ("mos_std", "mos std", "std", "sd")


def read(settings: DataSettings) -> Listing:
    """SPAQ below ``settings.root``. Raises DataError when its list is not there or has no names and MOS."""
    scores = score_list.read(score_list.find(settings.scores, settings.root, LISTS), name_column=settings.name_column)
    if scores.header is None:
        if scores.columns != 2 or scores.begins_with_words or roles.are_named(settings):
            raise DataError(
                f"{scores.file} is no SPAQ score list: neither a header with Image name and MOS nor rows of name,MOS; "
                f"it has {scores.described()}"
            )
        columns = {"name": 0, "mos": 1}
    else:
        columns = roles.columns(settings, scores, {"std": DEVIATIONS})
    return scored.read_split_rows(settings, scores, columns, FOLDERS, scored.ZSCORE_SCALE, NOTE)
