"""BIQ2021 (Ahmed and Asif, Journal of Electronic Imaging 31(5), 053010, 2022): two lists, which are its split.

| list | header | photos |
|---|---|---|
| `Train (Images and MOS).csv` | `Image Name,MOS,,` (two columns without a name) | 10,000 |
| `Test (Images and MOS).csv` | `Image Name,MOS` | 2,000 |

MOS is on 0 to 1, from 30 observers in a laboratory. Photos lie in `Images/` or directly in the root. No validation
photos are published: `data.validation_share` cuts them from the training photos.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict

from halfiqa_ray import storage
from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import roles, score_list, scored
from halfiqa_ray.data.manifest import Listing, Scale
from halfiqa_ray.data.photos.listing import PhotoIndex, find_photos
from halfiqa_ray.data.problems import DataError, Problem
from halfiqa_ray.data.splits import TEST, TRAIN

LISTS = {TRAIN: "Train (Images and MOS).csv", TEST: "Test (Images and MOS).csv"}
FOLDERS = ("Images", "")
SCALE: Scale = (0.0, 1.0)
VALIDATION_SHARE = 0.05  # 500 of the 10,000 training photos
NOTE = (
    "BIQ2021, Ahmed and Asif, Journal of Electronic Imaging 31(5), 053010, 2022 (doi 10.1117/1.JEI.31.5.053010): no "
    "licence file; its paper calls it freely available for use and benchmarking. The photos are not handed on."
)


def read(settings: DataSettings) -> Listing:
    """BIQ2021 below ``settings.root``, its lists there or in the folder ``settings.scores``.

    A photo that both lists name is in neither split: a photo that was trained on says nothing in a test. Raises
    DataError when one of the lists is not there or is none of BIQ2021's.
    """
    photos = find_photos(settings.root)
    folder = settings.scores or settings.root
    parts = {split: _read_list(settings, photos, storage.join(folder, name)) for split, name in LISTS.items()}
    listing = Listing(
        photos.root,
        [],
        [problem for part in parts.values() for problem in part.problems],
        file=", ".join(str(part.file) for part in parts.values()),
        file_sha256=hashlib.sha256("".join(str(part.file_sha256) for part in parts.values()).encode()).hexdigest(),
        mos_scale=SCALE,
        split_column="list",
        validation_share=VALIDATION_SHARE,
        source_note=NOTE,
        notes=[note for part in parts.values() for note in part.notes],
    )
    named: dict[str, list[str]] = defaultdict(list)
    for split, part in parts.items():
        for row in part.rows:
            named[row.image_id].append(split)
    for split, part in parts.items():
        for row in part.rows:
            if len(named[row.image_id]) == 1:
                row.split = split
                listing.rows.append(row)
                continue
            message = f"{row.image_id} is in both lists: it is in neither split"
            listing.problems.append(Problem("split_conflict", message, part.file, row.line, row.image_id, row.uri))
    return listing


def _read_list(settings: DataSettings, photos: PhotoIndex, uri: str) -> Listing:
    scores = score_list.read(uri, name_column=settings.name_column)
    if scores.header is None:
        raise DataError(f"{scores.file} is no list of BIQ2021: it has {scores.described()}")
    return scored.read_rows(scores, roles.columns(settings, scores, {}), photos, FOLDERS, SCALE, NOTE)
