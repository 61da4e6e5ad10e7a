"""Puts a trained checkpoint into the package: large tensors in half precision, and a model card beside them.

Refuses when half precision moves a prediction of a test photo by more than a thousandth of the MOS scale, or when the
weights take more than 8 MB. The photos of the manifest must be there.

    python jobs/train.py --config configs/data/biq2021.yaml --config configs/models/biq2021/triq.yaml
    python -m benchmarks.ship_weights --checkpoint results/checkpoints/biq2021/triq/default --name biq2021/triq
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable

import numpy as np
import safetensors.torch
import torch

from benchmarks.printing import run
from halfiqa_ray import schema, storage
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.data.photos.cache import PhotoCache
from halfiqa_ray.data.photos.images import Bounds
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.models.checkpoints import RECORD, WEIGHTS, CheckpointRecord, load_checkpoint
from halfiqa_ray.models.fitting.agreement import Agreement
from halfiqa_ray.models.fitting.training import predict
from halfiqa_ray.models.shipped import folder

LARGEST_CHANGE = 1e-3  # of a prediction by half precision, as a share of the MOS scale
LARGEST_BYTES = 8_000_000
# Half precision of the many small kernels moves predictions ten times as much as that of the few large ones, which are
# most of the bytes.
SMALL = 30_000
BATCH = 16


def in_half(model: QualityModel) -> dict[str, torch.Tensor]:
    """The tensors of a model: those of more than `SMALL` values in float16, the others as they are."""
    return {
        name: (tensor.half() if tensor.is_floating_point() and tensor.numel() > SMALL else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }


def work(options: argparse.Namespace) -> Iterable[str]:
    """Convert, compare on the test photos, write."""
    rows = read_manifest(options.results, options.dataset)
    about = schema.metadata(rows.schema)
    uris = [row["uri"] for row in rows.select(["uri", "split"]).to_pylist() if row["split"] == "test"]
    model, record = load_checkpoint(options.checkpoint)
    tensors = in_half(model)
    data = safetensors.torch.save(tensors)
    record = record.model_copy(update={"weights_sha256": hashlib.sha256(data).hexdigest()})
    pixels = PhotoCache(uris, record.preprocessing.height, record.preprocessing.width, Bounds(), 0)
    before_N = predict(model, pixels, np.arange(len(uris)), BATCH)
    model.load_state_dict(tensors)
    after_N = predict(model, pixels, np.arange(len(uris)), BATCH)
    change = float(np.nanmax(np.abs(after_N - before_N))) / (record.mos_scale.high - record.mos_scale.low)
    yield f"{options.name}: {len(data):,} bytes, largest change by half precision {change:.2e} of the MOS scale, over"
    yield f"the {int(np.isfinite(after_N).sum()):,} test photos of {options.dataset}"
    if change > LARGEST_CHANGE or len(data) > LARGEST_BYTES:
        raise SystemExit(
            f"not shipped: at most {LARGEST_CHANGE:g} of the scale and {LARGEST_BYTES:,} bytes, got {change:.2e} and "
            f"{len(data):,} bytes"
        )
    where = str(folder(options.name))
    storage.write_bytes(storage.join(where, WEIGHTS), data)
    storage.write_json(storage.join(where, RECORD), record.model_dump(mode="json"))
    storage.write_text(
        storage.join(where, "README.md"),
        card(options.name, record, about["source_note"], change, len(data), options.note),
    )
    yield f"in {where}"


def card(name: str, record: CheckpointRecord, terms: str, change: float, size: int, note: str) -> str:
    """The model card."""
    train = record.train
    assert train is not None
    rows = [
        f"| {split} | {found.n:,} | {_cell(found, 'plcc')} | {_cell(found, 'srcc')} | {_cell(found, 'rmse')} |"
        for split, found in record.metrics.items()
    ]
    height, width = record.preprocessing.height, record.preprocessing.width
    epochs = " and ".join(
        f"{stage.epochs} epoch{'s' * (stage.epochs > 1)} at a rate of {stage.learning_rate:g}"
        + ", the output layer alone" * (stage.trains == "output_layer")
        for stage in (train.main, train.finetune)
        if stage.epochs
    )
    return f"""# {name}

{record.model.name} on {record.model.backbone.name}, trained on the photos of {record.dataset} and the scores that
people gave them. MOS {record.mos_scale.low:g} to {record.mos_scale.high:g}; scores come out on that scale.

Terms: {terms}

- **Start**: the ImageNet weights of `{record.model.backbone.weights}` in the backbone.
- **Recipe**: input {height} x {width} (photos are resized to it), {epochs}, batches of {train.batch_size}, the
  backbone at {train.backbone_rate:g} of the rate, kept as they came: {", ".join(train.frozen) or "nothing"}; BatchNorm
  statistics frozen: {train.freeze_batchnorm}; mirrored at random. Seed {record.seed}, best epoch {record.epoch} by
  validation PLCC.{" " * bool(note)}{note}
- **Command**: `python jobs/train.py --config configs/data/{record.dataset}.yaml --config
  configs/models/{name.partition("/")[0]}/{name.partition("/")[2]}.yaml`, then `python -m benchmarks.ship_weights
  --checkpoint results/checkpoints/{record.dataset}/{record.model.name}/{record.run} --name {name}`.
- **Size**: {size / 1e6:.1f} MB; tensors of more than {SMALL:,} values are in half precision, which moves no prediction
  of a test photo by more than {change:.1e} of the scale.

Agreement with MOS [95% bootstrap interval]; `test` is the official test split, of which nothing was
trained on:

| split | photos | PLCC | SRCC | RMSE |
|---|---|---|---|---|
{chr(10).join(rows)}

**Not good for**: judging single photos, or photos unlike those it learned from: one data set, photos of 512 x 512
pixels with the damage that comes with taking and sharing them. Other data sets have other scales and other people. It
is a small network (not the ResNet-50 of the paper), and these are not the authors' weights: its numbers are not the
paper's.
"""


def _cell(found: Agreement, name: str) -> str:
    value, interval = getattr(found, name), getattr(found, f"{name}_interval")
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


if __name__ == "__main__":
    run(
        __doc__,
        work,
        checkpoint="results/checkpoints/biq2021/triq/default",
        name="biq2021/triq",
        results="results",
        dataset="biq2021",
        note="",
    )
