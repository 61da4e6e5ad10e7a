"""A small output of two data sets, written by the project's own writers, with everything that queries read."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data import manifest
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.base import MosScale, Preprocessing
from halfiqa_ray.models.checkpoints import CheckpointRecord, checkpoint_uri
from halfiqa_ray.models.fitting.agreement import agreement_with_intervals
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.stages.parts import errors_uri
from tests.tables import planted, planted_derived

GRID = Grid(3, 4)
PHOTOS = {"planted": 48, "tiny": 20}
RUNS = {"planted": "0123abcd", "tiny": "00112233"}  # the second one's key looks like a number
MODELS = ("triq", "koncept")
MEASURES = ("saliency", "averaged_pixel")


def write(output: Path, mos: bool = True) -> dict[str, pa.Table]:
    """Write it; returns the rank rows of each data set."""
    return {dataset: _write_dataset(output, dataset, mos, seed) for seed, dataset in enumerate(PHOTOS)}


def rank_rows(dataset: str, seed: int, mos: bool = True) -> tuple[pa.Table, np.ndarray]:
    """Rank rows of a data set, and the planted important half of each."""
    return planted.rows(PHOTOS[dataset], GRID, seed, splits=("train", "test", "test"), mos=mos)


def zeroed_rows(dataset: str, seed: int, model: str, mos: bool = True) -> pa.Table:
    """Zeroed rows of one model on a data set."""
    return planted_derived.zeroed(*rank_rows(dataset, seed, mos), GRID, noise=0.1, seed=MODELS.index(model))


def _write_dataset(output: Path, dataset: str, mos: bool, seed: int) -> pa.Table:
    count, key = PHOTOS[dataset], RUNS[dataset]
    rows, half = rank_rows(dataset, seed, mos)
    planted.write(output, rows, 3, key, GRID, dataset=dataset)
    means = {name: planted_derived.means_of(half, GRID, 0.7, seed + n) for n, name in enumerate(MEASURES)}
    planted_derived.write_measures(output, planted_derived.measures(rows, means, GRID), "11112222", GRID, dataset)
    for number, model in enumerate(MODELS):
        zeroed = zeroed_rows(dataset, seed, model, mos)
        planted_derived.write_zeroed(output, zeroed, model, f"3333444{number}", key, dataset, grid=_grid())
    _write_manifest(output, dataset, rows)
    _write_errors(output, dataset, key)
    _write_records(output, dataset, key, count)
    _write_checkpoint(output, dataset, rows)
    return rows


def _grid() -> dict[str, int]:
    return {"rows": GRID.rows, "columns": GRID.columns}


def _write_manifest(output: Path, dataset: str, rows: pa.Table) -> None:
    there = rows.select(["image_id", "split", "mos"]).to_pylist()
    table = manifest.to_table([manifest.Row(uri=row["image_id"], **row) for row in there], "own", {"dataset": dataset})
    storage.write_table(storage.join(manifest.folder(str(output), dataset), manifest.FILE_NAME), table)


def _write_errors(output: Path, dataset: str, key: str) -> None:
    failed = [
        {"image_id": f"bad{n}.jpg", "uri": f"/photos/bad{n}.jpg", "error": "unreadable_photo", "message": "not a photo"}
        for n in range(3)
    ]
    table = pa.Table.from_pylist(failed, schema.ERRORS)
    storage.write_table(storage.join(errors_uri(str(output), "rank", dataset, key), "errors.parquet"), table)
    prepare = storage.join(str(output), "errors", "stage=prepare", f"dataset={dataset}", "errors.parquet")
    storage.write_table(prepare, table.slice(0, 1))


def _write_records(output: Path, dataset: str, key: str, count: int) -> None:
    settings = Settings(output=str(output), data={"dataset": dataset})
    with RunRecord.of(settings, "rank", key + "0" * 56) as record:
        record.note(counts={"in": count, "out": count, "failed": 0}, device="cpu")
        with record.timed("score"):
            pass
    try:
        with RunRecord.of(settings, "zero", "ffff" * 16):
            raise ValueError("no checkpoint")
    except ValueError:
        pass


def _write_checkpoint(output: Path, dataset: str, rows: pa.Table) -> None:
    scores, mos = rows["score"].to_numpy(), np.array(rows["mos"].to_pylist(), dtype=float)
    found = agreement_with_intervals(scores, mos, np.arange(len(mos)), 20, 1) if np.isfinite(mos).all() else None
    record = CheckpointRecord(
        dataset=dataset,
        synthetic=True,
        mos_scale=MosScale(low=1, high=5),
        model=Settings().model,
        preprocessing=Preprocessing(96, 128, (0.5,) * 3, (0.5,) * 3),
        run="default",
        train=None,
        seed=1,
        stage="main",
        epoch=3,
        split_hash=None,
        metrics={"test": found} if found else {},
        versions={},
    )
    uri = checkpoint_uri(str(output), dataset, "triq", "default")
    storage.write_json(storage.join(uri, "model.json"), record.model_dump(mode="json"))
