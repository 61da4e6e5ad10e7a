"""Measures the constants behind the whitening of the frequency measure: the mean magnitude of each of its ten bands
over the training photos of a prepared data set, at one size, and writes them to the package.

    python jobs/prepare.py --config configs/data/biq2021.yaml
    python -m benchmarks.natural_bands --results results --dataset biq2021 --height 256 --width 256
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.printing import run
from halfiqa_ray import schema, storage
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.data.photos.images import Bounds, ImageError, read_photo
from halfiqa_ray.measures.frequency import BANDS, band_means
from halfiqa_ray.measures.natural_bands import FILE
from halfiqa_ray.measures.pixels import luma


def bands_of(uri: str, size: tuple[int, int]) -> NDArray[np.float64] | None:
    """The band means of one photo; None when it cannot be read."""
    try:
        [pixels_HW3] = read_photo(uri, Bounds(), [size]).pixels
    except ImageError:
        return None
    return band_means(luma(pixels_HW3))


def work(options: argparse.Namespace) -> Iterable[str]:
    """Measure, write, and show the constants."""
    rows = read_manifest(options.results, options.dataset)
    about = schema.metadata(rows.schema)
    uris = [row["uri"] for row in rows.select(["uri", "split"]).to_pylist() if row["split"] == "train"]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(partial(bands_of, size=(options.height, options.width)), uris, chunksize=32))
    read = [each for each in found if each is not None]
    means = np.mean(np.array(read), axis=0)
    assert means.shape == (BANDS,)
    facts = {
        "source": f"training photos of {options.dataset}: {about['source_note']}",
        "photos": len(read),
        "unreadable": len(found) - len(read),
        "split_hash": about["split_hash"],
        "height": options.height,
        "width": options.width,
        "band_means": means.tolist(),
    }
    storage.write_json(str(FILE), facts)
    yield f"{len(read):,} training photos of {options.dataset} at {options.height} x {options.width}, in grey levels:"
    yield ", ".join(f"{value:.4f}" for value in means)


if __name__ == "__main__":
    run(__doc__, work, results="results", dataset="biq2021", height=256, width=256)
