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


def feeding(settings: Settings, rows: pa.Table) -> str:
    """How a worker comes by its photos, in a line for a person: what ``train.feed: auto`` chose has a cost."""
    train, gigabytes = settings.train, _bytes(settings, rows) / 1e9
    if train.feed == "memory" or (train.feed == "auto" and _fits(settings, rows)):
        kept = "all" if _fits(settings, rows) else "as many as train.cache_bytes holds"
        return f"photos are decoded by each worker and kept in memory, {kept} ({gigabytes:.1f} GB in all)"
    if train.feed == "auto":
        return (
            f"photos are decoded by Ray Data anew in every epoch: they take {gigabytes:.1f} GB, and train.cache_bytes "
            f"allows a worker {train.cache_bytes / 1e9:.1f}. Slow where cores are few; more keeps them in memory"
        )
    return "photos are decoded by Ray Data anew in every epoch"


def pixels_of(settings: Settings, rows: pa.Table) -> Pixels:
    """The photos of a manifest for one worker: kept in memory, or from Ray Data, as ``train.feed`` says."""
    model, train, uris = settings.model, settings.train, rows["uri"].to_pylist()
    if train.feed == "memory" or (train.feed == "auto" and _fits(settings, rows)):
        return PhotoCache(uris, model.height, model.width, Bounds.of(settings.data), train.cache_bytes)
    return RayDataPixels(uris, model.height, model.width, Bounds.of(settings.data), train.decode_cpus)


def _bytes(settings: Settings, rows: pa.Table) -> int:
    """What the decoded photos with MOS take."""
    scored: int = rows["mos"].length() - rows["mos"].null_count
    return scored * settings.model.height * settings.model.width * 3


def _fits(settings: Settings, rows: pa.Table) -> bool:
    return _bytes(settings, rows) <= settings.train.cache_bytes
