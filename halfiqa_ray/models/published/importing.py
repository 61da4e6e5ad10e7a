"""From a published file to a checkpoint: weights that others trained, in this project's two files."""

from __future__ import annotations

import hashlib
from collections import Counter

from halfiqa_ray import storage
from halfiqa_ray.config import PublishedSettings, Settings
from halfiqa_ray.models.base import MosScale, QualityModel
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import (
    NOT_TRAINED,
    CheckpointRecord,
    Source,
    checkpoint_uri,
    package_versions,
    save_checkpoint,
)
from halfiqa_ray.models.published import aihiqnet_keras, dbcnn, koncept512, triq_keras
from halfiqa_ray.models.published.layout import Layout, Match, PublishedError, fill

LAYOUTS: dict[str, Layout] = {
    "triq_keras": triq_keras.LAYOUT,
    "aihiqnet_keras": aihiqnet_keras.LAYOUT,
    "koncept512": koncept512.LAYOUT,
    "dbcnn": dbcnn.LAYOUT,
}


def read_published(settings: PublishedSettings) -> tuple[QualityModel, CheckpointRecord, Match]:
    """The model in the file that ``settings`` name, in evaluation mode, its record, and what matched.

    The record says nothing of a training, because none is known. Raises PublishedError naming the file when it cannot
    be read or does not fit, and ValueError for an input size that the model cannot take.
    """
    if settings.file is None:
        raise PublishedError("set published.file to the path or URI of the weights")
    layout = LAYOUTS[settings.layout]
    given = layout.read(settings.file, settings.maximum_bytes)
    try:
        described = layout.settings(given)
    except PublishedError as error:
        raise PublishedError(f"{settings.file}: {error}") from error
    if settings.size:
        described = described.model_copy(update={"height": settings.size[0], "width": settings.size[1]})
    scale = MosScale(*settings.mos_scale) if settings.mos_scale else layout.scale
    model = build_model(described, scale).eval()
    found = fill(model, layout, given, settings.file)
    record = CheckpointRecord(
        dataset=settings.dataset,
        synthetic=False,
        mos_scale=scale,
        model=described,
        preprocessing=model.preprocessing,
        run=settings.run,
        **NOT_TRAINED,
        versions=package_versions(),
        source=Source(
            file=settings.file,
            file_sha256=hashlib.sha256(storage.read_bytes(settings.file, settings.maximum_bytes)).hexdigest(),
            layout=settings.layout,
            repository=layout.repository,
            licence=layout.licence,
        ),
    )
    return model, record, found


def run(settings: Settings) -> int:
    """Write the checkpoint and print what matched and whose weights they are; 0 is the exit code of success.

    Raises as `read_published`, and OSError from storage.
    """
    model, record, found = read_published(settings.published)
    uri = checkpoint_uri(settings.output, record.dataset, record.model.name, record.run)
    save_checkpoint(uri, model, record)
    layout = LAYOUTS[settings.published.layout]
    print(f"{settings.published.file}: {len(found.matched)} tensors matched, none missing, none left over")
    parts = Counter(name.split(".")[0] for name in found.matched)
    for part, count in parts.items():
        ours = next(name for name in found.matched if name.split(".")[0] == part)
        print(f"  {part}: {count} (as {ours} <- {found.matched[ours]})")
    print(f"weights of {layout.repository}; licence of that code: {layout.licence}")
    print("not trained here: which photos they learned from is its authors' to say; do not test on those")
    print(f"checkpoint: {uri}")
    return 0
