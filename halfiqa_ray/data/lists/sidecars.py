"""Small files beside the photos that say more about them: SYNTHETIC.json and source_photos.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halfiqa_ray import storage
from halfiqa_ray.data.lists import name_list, score_list
from halfiqa_ray.data.lists.name_list import NameList
from halfiqa_ray.data.manifest import Row
from halfiqa_ray.data.problems import DataError, Problem

SYNTHETIC = "SYNTHETIC.json"
SOURCE_PHOTOS = "source_photos.csv"


@dataclass(frozen=True)
class Sidecars:
    """What lies beside the photos. ``synthetic``: the scores are made up, as ``notice`` tells the readers of results.

    ``source_photos`` says of which photo an image is a crop, ``splits`` its published split.
    """

    synthetic: bool = False
    notice: str | None = None
    source_photos: NameList | None = None
    splits: NameList | None = None


def read(root: str) -> Sidecars:
    """The small files directly below the data root; each may be absent. Raises DataError when one is damaged."""
    notice, synthetic, list_uri = None, storage.join(root, SYNTHETIC), storage.join(root, SOURCE_PHOTOS)
    is_synthetic = storage.exists(synthetic)
    if is_synthetic:
        try:
            stated = storage.read_json(synthetic)
        except ValueError as error:
            raise DataError(str(error)) from error
        notice = str(stated.get("notice", "")) if isinstance(stated, dict) else None
    if not storage.exists(list_uri):
        return Sidecars(is_synthetic, notice or None)
    listed = score_list.read(list_uri)
    return Sidecars(
        is_synthetic,
        notice or None,
        name_list.read(listed, "source_photo"),
        name_list.read(listed, "split"),
    )


def fill_source_photos(rows: Sequence[Row], sources: NameList) -> list[Problem]:
    """Set ``source_photo`` of the rows that the list names; returns what is unclear."""
    matches = name_list.match([row.image_id for row in rows], sources.values)
    for row in rows:
        if row.image_id in matches.names:
            row.source_photo = sources.values[matches.names[row.image_id]]
    unclear = [
        Problem("ambiguous_name", f"{reason}: no source photo", sources.file, None, image_id)
        for image_id, reason in sorted(matches.ambiguous.items())
    ]
    return sources.problems + unclear
