"""Lists in the style of pyiqa's `meta_info_*.csv`: img_name, mos and, where there are any, std, c1..c5 and splits.

A list with votes is read as KonIQ-10k's is: MOS on 1 to 5, another MOS kept as `mos_zscore`. Without votes the scale
is `data.mos_scale`, 0 to 100 when that is not set. A list may hold several split columns (`official_split`,
`ratio802_seed123_split_01` ...); `data.split_column` names the one to use.
"""

from __future__ import annotations

from halfiqa_ray import storage
from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import roles, score_list, scored
from halfiqa_ray.data.manifest import Listing
from halfiqa_ray.data.problems import DataError

FOLDERS = ("", "1024x768", "512x384", "TestImage")
NOTE = "a pyiqa-style list; see the terms of the data set's authors."
DEVIATIONS = ("std", "mos_std", "sd")


def read(settings: DataSettings) -> Listing:
    """Photos below ``settings.root`` with the list's scores. Raises DataError when the list is not of this style."""
    usual = _lists(settings.root) if settings.scores is None else []
    scores = score_list.read(score_list.find(settings.scores, settings.root, usual), name_column=settings.name_column)
    if scores.header is None:
        raise DataError(f"{scores.file} has no header with img_name and mos; it has {scores.described()}")
    more = {"std": DEVIATIONS, "total": ("c_total",), "zscore": ("mos_zscore",)}
    columns = roles.columns(settings, scores, more | {role: (role,) for role in scored.VOTE_ROLES})
    scale = settings.mos_scale or scored.ZSCORE_SCALE
    return scored.read_split_rows(settings, scores, columns, FOLDERS, scale, NOTE)


def _lists(root: str) -> list[str]:
    """The `meta_info_*.csv` directly below the root; several are a choice that only the user can make."""
    names = [uri.rsplit("/", 1)[1] for uri in storage.list_files(root, ".csv")]
    found = [name for name in names if name.startswith("meta_info_")]
    if len(found) > 1:
        raise DataError(f"{root} holds several lists, {found}: set data.scores to one of them")
    return found or ["meta_info_*.csv"]
