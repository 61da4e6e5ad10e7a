"""Any photos below a folder or object-store prefix: no scores, every picture is a row."""

from __future__ import annotations

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.manifest import Listing, Row
from halfiqa_ray.data.photos.listing import TO_NOTHING, find_photos
from halfiqa_ray.data.problems import KINDS, DataError, Problem


def read(settings: DataSettings) -> Listing:
    """Every photo below ``settings.root``, sub-folders included. Raises DataError when the root cannot be listed,
    or holds nothing of the kind."""
    index = find_photos(settings.root)
    listing = Listing(index.root, [], [], source_note="photos of your own")
    for path, photo in index.photos.items():
        if photo.bytes == 0:
            listing.problems.append(
                Problem("empty_photo", "the file holds no bytes", index.uri(path), None, path, index.uri(path))
            )
        else:
            listing.rows.append(Row(path, index.uri(path), photo.bytes, photo.modified))
    unusable = (
        ("leaves_root", index.leaving, f"a symbolic link that leads out of {index.root}: {index.advice}"),
        (
            "missing_photo",
            index.dangling,
            TO_NOTHING,
        ),
        ("not_a_file", index.special, KINDS["not_a_file"]),
        ("bad_name", index.misnamed, "its name is not UTF-8: rename it"),
        ("bad_name", index.no_path, KINDS["bad_name"]),
        ("unreadable_folder", index.unreadable, "the folder may not be listed: its photos are left out"),
    )
    for kind, paths, message in unusable:
        for path in sorted(paths):
            where = f"{index.root.rstrip('/')}/{path}"  # as it is there: a key may begin with a slash
            listing.problems.append(Problem(kind, message, where, None, path, where))
    listing.notes += index.left_out()
    if not listing.rows and not listing.problems:
        found = "; ".join(listing.notes) or "it is empty"
        raise DataError(
            f"there are no photos in data.root = {index.root}: {found}. A photo is known by its extension. Is "
            "data.root right?"
        )
    return listing
