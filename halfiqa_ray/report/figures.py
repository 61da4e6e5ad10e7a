"""All figures of a data set's newest rank run, written below ``figures/``."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data.images import open_photo
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.report.halves import draw_halves, most_telling
from halfiqa_ray.tables.reading import read_run


def draw(settings: Settings) -> list[str]:
    """Draw, and return the URIs that were written.

    Raises ValueError when there is no run, or a named image is not in it or has no half by the rule.
    """
    rule = settings.rank.rule
    column = f"important_{rule}"
    try:
        rows = read_run(settings.output, settings.data.dataset)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    if column not in rows.column_names:
        raise ValueError(f"rank.rule {rule} gives no half to each image; choose a rule of one image")
    chosen = list(settings.report.images) or most_telling(rows, rule, settings.report.count)
    places = {image_id: i for i, image_id in enumerate(rows["image_id"].to_pylist())}
    missing = [image_id for image_id in chosen if image_id not in places]
    if missing:
        raise ValueError(f"report.images names {missing[0]!r}, which the newest rank run does not have")
    shown = rows.take(pa.array([places[image_id] for image_id in chosen], pa.int64()))
    if not chosen or shown[column].null_count:
        raise ValueError(f"no half by rule {rule} for the chosen images: the model predicts no levels")
    manifest = read_manifest(settings.output, settings.data.dataset)
    uris = manifest.filter(pc.is_in(manifest["image_id"], pa.array(chosen)))
    where = dict(zip(uris["image_id"].to_pylist(), uris["uri"].to_pylist(), strict=True))
    photos = [open_photo(where[image_id], settings.data.maximum_pixels) for image_id in chosen]
    figure = draw_halves(shown, photos, rule)
    written = []
    for kind in ("png", "svg"):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=130)
        written.append(storage.join(settings.output, "figures", f"halves_{settings.data.dataset}.{kind}"))
        storage.write_bytes(written[-1], stream.getvalue())
    return written
