"""Stored subset scores against their definition: one masked pass a subset, the whole model in float64.

Takes some photos of a finished rank run, decodes them anew, and runs the encoder once for each of all subsets.

    python -m benchmarks.stored_scores --results results/biq2021 --dataset biq2021 --photos 10
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
import torch

from benchmarks.printing import machine, run
from halfiqa_ray.data.manifest import read_manifest, sample
from halfiqa_ray.data.photos.images import Bounds, read_photo
from halfiqa_ray.masking.ordinary import score_subsets
from halfiqa_ray.models.checkpoints import load_checkpoint
from halfiqa_ray.models.triq import Triq
from halfiqa_ray.tables.stored.reading import find_run, read_rows, vectors


def work(options: argparse.Namespace) -> Iterable[str]:
    """Compare photo by photo."""
    found = find_run(options.results, options.dataset)
    rows = read_rows(found, ["image_id", "subset_scores"])
    chosen = sample(rows["image_id"].to_pylist(), options.photos, 1, "float64")
    manifest = read_manifest(options.results, options.dataset).select(["image_id", "uri"]).to_pylist()
    uris = {row["image_id"]: row["uri"] for row in manifest}
    model, record = load_checkpoint(str(found.metadata["checkpoint"]))
    assert isinstance(model, Triq)
    model = model.double()
    scale = record.mos_scale.high - record.mos_scale.low
    checkpoint = found.metadata["checkpoint"]
    yield f"{found.dataset}, run {found.key}, {checkpoint}: {found.grid.subsets} subsets a photo; {machine()}\n"
    yield "| photo | lowest score | highest score | largest difference | of the MOS scale |"
    yield "|---|---|---|---|---|"
    place = {image_id: i for i, image_id in enumerate(rows["image_id"].to_pylist())}
    stored_NS = vectors(rows["subset_scores"])
    largest = 0.0
    for image_id in chosen:
        size = (record.preprocessing.height, record.preprocessing.width)
        [pixels] = read_photo(uris[image_id], Bounds(), [size]).pixels
        with torch.inference_mode():
            images = model.normalise(torch.from_numpy(pixels.copy())[None]).double()
            features = model.feature_matrix(images)[0]
        exact_S = score_subsets(model, features, found.grid, range(found.grid.subsets))[0].numpy()
        difference = float(np.abs(exact_S - stored_NS[place[image_id]]).max())
        largest = max(largest, difference)
        ends = f"{exact_S.min():.4f} | {exact_S.max():.4f}"
        yield f"| {image_id} | {ends} | {difference:.2e} | {difference / scale:.2e} |"
    yield f"\nlargest difference of {len(chosen)} photos: {largest:.2e}, {largest / scale:.2e} of the MOS scale"


if __name__ == "__main__":
    run(__doc__, work, results="results/biq2021", dataset="biq2021", photos=10)
