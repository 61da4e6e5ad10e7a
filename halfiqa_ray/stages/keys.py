"""Which run settings mean: the checkpoint that ranks, and the keys that rows are stored under.

A key is the hash of everything that decides the numbers: rows of another key are never mixed in or skipped over.
"""

from __future__ import annotations

from collections.abc import Sequence

from halfiqa_ray.config import LimeSettings, MeasureSettings, RankSettings, Settings, fingerprint
from halfiqa_ray.models.build import OUTSIDE
from halfiqa_ray.models.checkpoints import CheckpointRecord, checkpoint_uri, read_record

# Numbers of another version of the code that makes them are another run.
SCORES_VERSION = MEASURES_VERSION = ZEROED_VERSION = EXPLAIN_VERSION = 1


def checkpoint_of(settings: Settings) -> str:
    """The checkpoint: the folder or shipped model that is named, or the folder of the training run below the output."""
    if settings.rank.checkpoint:
        return settings.rank.checkpoint
    if settings.model.name == OUTSIDE:
        raise ValueError(
            f"model.name is {OUTSIDE}, and block subsets are scored with triq: name its checkpoint in rank.checkpoint, "
            f"such as one that halfiqa models lists"
        )
    return checkpoint_uri(settings.output, settings.data.dataset, settings.model.name, settings.train.run)


def key_of_run(settings: Settings, checkpoint: str | None) -> str:
    """Key of the run of a checkpoint folder (None: the settings' own). Raises CheckpointError when there is none."""
    return run_key(read_record(checkpoint or checkpoint_of(settings)), settings.rank)


def run_key(record: CheckpointRecord, rank: RankSettings) -> str:
    """Full key of a run (hex): its weights, preprocessing, grid and how photos are brought to size."""
    return fingerprint(
        {
            "version": SCORES_VERSION,
            "weights": record.weights_sha256,
            "preprocessing": _preprocessing(record),
            "grid": [rank.grid.rows, rank.grid.columns],
            "native": rank.native,
            "portrait": rank.portrait,
        }
    )


def photos_key(record: CheckpointRecord, rank: RankSettings, image_ids: Sequence[str]) -> str:
    """Key of these photos at the size to score (hex); that of the band means over them."""
    size = None if rank.native else [record.preprocessing.height, record.preprocessing.width]
    return fingerprint(
        {"version": MEASURES_VERSION, "size": size, "portrait": rank.portrait, "images": sorted(image_ids)}
    )


def measures_key(
    record: CheckpointRecord,
    rank: RankSettings,
    measure: MeasureSettings,
    objectness_sha256: str | None,
    band_means: Sequence[float],
    seed: int,
) -> str:
    """Full key of measures (hex): the size they are taken at, grid, settings, band means and the seed of ties."""
    return fingerprint(
        {
            "photos": photos_key(record, rank, ()),
            "grid": [rank.grid.rows, rank.grid.columns],
            "saliency": measure.saliency.recipe,
            "frequency": measure.frequency.combination,
            "band_means": list(band_means),
            "objectness": [measure.objectness.model, objectness_sha256],
            "seed": seed,
        }
    )


def zeroed_key(
    record: CheckpointRecord, rank_key: str, measure_key: str | None, seed: int, precision: str = "float32"
) -> str:
    """Full key of a model's zeroed scores (hex): the model, what its halves came from, the controls' seed, and a
    precision below float32.

    Fills are no part of it: rows of any fill stand side by side and are told apart by their column ``fill``.
    """
    return fingerprint(
        ({} if precision == "float32" else {"precision": precision})
        | {
            "version": ZEROED_VERSION,
            "weights": record.weights_sha256,
            "preprocessing": _preprocessing(record),
            "rank": rank_key,
            "measures": measure_key,
            "seed": seed,
        }
    )


def explain_key(record: CheckpointRecord, rank: RankSettings, lime: LimeSettings, seed: int) -> str:
    """Full key of explanations of a model's scores (hex)."""
    layer = record.model.outside.layer  # of a model that is not ours; the others have one map for Grad-CAM
    # As it was before there was a choice of fills: what is explained stays explained.
    of_lime = lime.model_dump(mode="json", exclude={"fill"} if lime.fill == "zero" else None)
    return fingerprint(
        ({} if layer is None else {"layer": layer})
        | {
            "version": EXPLAIN_VERSION,
            "weights": record.weights_sha256,
            "preprocessing": _preprocessing(record),
            "grid": [rank.grid.rows, rank.grid.columns],
            "portrait": rank.portrait,
            "lime": of_lime,
            "seed": seed,
        }
    )


def maps_key(explain_keys: Sequence[str], methods: Sequence[str], rank_key: str, measure_key: str | None) -> str:
    """Full key of pixel maps (hex): the explanations and measures that they are of, and the size of these."""
    return fingerprint(
        {
            "version": EXPLAIN_VERSION,
            "explain": sorted(explain_keys),
            "methods": sorted(methods),
            "rank": rank_key,
            "measures": measure_key,
        }
    )


def _preprocessing(record: CheckpointRecord) -> list[object]:
    size = record.preprocessing
    return [size.height, size.width, list(size.mean), list(size.std)]
