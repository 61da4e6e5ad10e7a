"""An output folder for figures with a known answer: rank rows, photos, manifest, measures, zeroed scores, maps."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.data.manifest import FILE_NAME, Row, folder, to_table
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import build, experiments
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.reading import find_run, read_images
from tests.data.photo_files import jpeg
from tests.tables import planted, planted_derived

GRID = Grid(2, 3)
KEY = "0123abcd"
HOSTILE = (
    "</svg><script>alert(1)</script>.jpg",
    "$x$ $\\frac{1}{0}$.jpg",
    "照片\u202e/a&b\x07.jpg",
    "x" * 300 + ".jpg",
)
MEASURES = ("saliency", "frequency_csf", "frequency_csf_whitened", "objectness_boundary_connectivity")
AVERAGED = "averaged_boundary_connectivity"


def plant(
    output: Path, names=(), count=24, grid=GRID, seed=0, photos=12, levels=True, mos=True, splits=None, **metadata
):
    """Rank rows, manifest and photos of a run; returns the rows and their planted important halves.

    The first images are called ``names``.
    """
    splits = ("train", "test") if splits is None else splits
    table, half = planted.rows(count, grid, seed=seed, photos=photos, levels=levels, mos=mos, splits=splits)
    ids = [*names, *table["image_id"].to_pylist()[len(names) :]]
    table = table.set_column(0, table.schema.field("image_id"), pa.array(ids))
    planted.write(output, table, grid=grid, key=metadata.pop("key", KEY), **metadata)
    dataset = metadata.get("dataset", "planted")
    rows = []
    for number, name in enumerate(ids):
        path = output / "photos" / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.jpg"
        storage.write_bytes(str(path), jpeg(number, 32, 48))
        rows.append(Row(name, str(path)))
    storage.write_table(f"{folder(str(output), dataset)}/{FILE_NAME}", to_table(rows, None, {"dataset": dataset}))
    return table, half


def measure(output: Path, table, half, grid=GRID, **metadata):
    """Measures that agree with the planted halves in half of the images."""
    names = [*MEASURES, AVERAGED]
    means = {name: planted_derived.means_of(half, grid, 0.5, i) for i, name in enumerate(names)}
    planted_derived.write_measures(output, planted_derived.measures(table, means, grid), grid=grid, **metadata)


def zero(output: Path, table, half, grid=GRID, models=("triq", "dbcnn"), **metadata):
    """Zeroed scores of some models."""
    for seed, model in enumerate(models):
        rows = planted_derived.zeroed(
            table, half, grid, (*planted_derived.RANKINGS[:2], AVERAGED, "control_random"), seed=seed
        )
        planted_derived.write_zeroed(output, rows, model, **metadata)


def store_maps(output: Path, ids, methods=("grad_cam", "lime"), models=("triq",), run="aaaabbbb", low=-1.0, **metadata):
    """A map of every measure and of every method and model for some images: (8, 12), from ``low`` to 2."""
    names = [(name, None) for name in (*MEASURES, AVERAGED)] + [(name, model) for model in models for name in methods]
    rows = []
    for seed, (image_id, (name, model)) in enumerate((i, n) for i in ids for n in names):
        pixels = np.random.default_rng(seed).integers(0, 256, 96)
        rows.append(
            {"image_id": image_id, "name": name, "model": model, "height": 8, "width": 12}
            | {"minimum": low if model else 0.0, "maximum": 2.0, "pixels": pixels}
        )
    facts = {"rank_key": KEY + "0" * 56, "created": "2026-01-02T00:00:00+00:00"} | metadata
    table = pa.Table.from_pylist(rows, schema.with_metadata(schema.MAPS, facts))
    storage.write_table(str(output / "maps" / "dataset=planted" / f"run={run}" / "part-0.parquet"), table)
    return rows


def make_tables(output: Path, dataset="planted", rule="level_plcc", key=None):
    """All tables of a run."""
    run = find_run(str(output), dataset, key)
    images, resampling = read_images(run), Resampling(20, 1)
    made = build.make_run_tables(run, rule, resampling, images=images)
    build.write_run_tables(str(output), made)
    found = experiments.make_experiments(str(output), run, images, made, rule, resampling)
    experiments.write_tables(str(output), found)
    return run


def whole(output: Path, **settings):
    """Everything; returns the run and its rows."""
    table, half = plant(output, **settings)
    measure(output, table, half)
    zero(output, table, half)
    return make_tables(output), table
