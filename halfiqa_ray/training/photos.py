"""The photos of a manifest that a fit learns from and is judged by, and where their pixels come from."""

from __future__ import annotations

import pyarrow as pa

from halfiqa_ray import schema
from halfiqa_ray.config import Settings
from halfiqa_ray.data.photos.cache import PhotoCache
from halfiqa_ray.data.photos.images import Bounds
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.fitting.scored_photos import Pixels, ScoredPhotos, photos_of
from halfiqa_ray.models.fitting.targets import soft_labels
from halfiqa_ray.training.feed import RayDataPixels


def mos_scale_of(rows: pa.Table, settings: Settings) -> MosScale:
    """The MOS scale of a manifest. Raises ValueError when the data set has no scores to learn from."""
    scale = schema.metadata(rows.schema).get("mos_scale")
    if not scale:
        raise ValueError(
            f"data set {settings.data.dataset!r} has no MOS to train on (data.layout {settings.data.layout!r}); "
            f"prepare one with a score list"
        )
    return MosScale(**scale)


def photos_by_split(rows: pa.Table, mos_scale: MosScale) -> dict[str, ScoredPhotos]:
    """The manifest's photos that have MOS, split by split; their places are manifest rows."""
    columns = {
        name: rows[name].to_pylist() for name in ("image_id", "mos", "levels", "mos_std", "split", "source_photo")
    }
    scored = [row for row, mos in enumerate(columns["mos"]) if mos is not None]
    mos = [0.0 if value is None else value for value in columns["mos"]]
    labels = soft_labels(mos, columns["levels"], columns["mos_std"], mos_scale)
    sources = columns["source_photo"]
    splits = sorted({columns["split"][row] for row in scored} - {None})
    if "train" not in splits or "validation" not in splits:
        raise ValueError(
            f"training needs splits named train and validation with MOS; the manifest has {', '.join(splits) or 'none'}"
        )
    return {
        split: photos_of(
            columns["image_id"], mos, labels, [row for row in scored if columns["split"][row] == split], sources
        )
        for split in splits
    }


def pixels_of(settings: Settings, rows: pa.Table) -> Pixels:
    """The photos of a manifest for one worker: kept in memory, or from Ray Data, as ``train.feed`` says."""
    model, train, uris = settings.model, settings.train, rows["uri"].to_pylist()
    scored = rows["mos"].length() - rows["mos"].null_count
    fits = scored * model.height * model.width * 3 <= train.cache_bytes
    if train.feed == "memory" or (train.feed == "auto" and fits):
        return PhotoCache(uris, model.height, model.width, Bounds.of(settings.data), train.cache_bytes)
    return RayDataPixels(uris, model.height, model.width, Bounds.of(settings.data), train.decode_cpus)
