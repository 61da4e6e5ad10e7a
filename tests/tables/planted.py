"""Rank rows with a known answer: the score of an image hangs on some of its blocks and hardly on the others.

score(kept) = middle + (quality - middle) * (weight of the kept blocks) + noise, and exactly the middle when nothing
is kept, like a model that is left with its quality token.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.masking import games, importance
from halfiqa_ray.masking.grid import Grid

MIDDLE = 3.0
METADATA = {
    "dataset": "planted",
    "layout": "koniq10k",
    "model": "triq",
    "mos_scale": {"low": 1, "high": 5},
    "synthetic": True,
    "created": "2026-01-01T00:00:00+00:00",
}


def rows(
    count, grid=Grid(3, 4), seed=0, noise=0.01, share=0.9, splits=("train", "test"), photos=None, levels=True, mos=True
):
    """A rank table of `count` images, and the planted important half of each."""
    draw = np.random.default_rng(seed)
    blocks, subsets = grid.blocks, grid.subsets
    quality = draw.normal(MIDDLE, 0.6, count)
    picked = np.argsort(draw.random((count, blocks)), axis=1)[:, : blocks // 2]
    half = (1 << picked).sum(1)
    weights = np.full((count, blocks), (1 - share) / (blocks - blocks // 2))
    np.put_along_axis(weights, picked, share / (blocks // 2), axis=1)
    kept_weight = weights @ grid.kept().T
    scores = MIDDLE + (quality[:, None] - MIDDLE) * kept_weight + noise * draw.normal(size=(count, subsets))
    scores[:, 0] = MIDDLE
    scores = scores.astype(np.float32)
    level_plcc = (kept_weight + 0.01 * draw.normal(size=kept_weight.shape)).clip(-1, 1)
    level_plcc[:, 0] = np.nan
    values = {
        "level_plcc": importance.level_plcc_importance(grid, level_plcc),
        "score_change": importance.score_change_importance(grid, scores),
        "shapley": importance.shapley_importance(scores),
        "banzhaf": importance.banzhaf_importance(scores),
    }
    columns = {
        "image_id": [f"folder/{i:06d}.jpg" for i in draw.permutation(count)],
        "split": [splits[i % len(splits)] if splits else None for i in range(count)],
        "source_photo": [None if photos is None else f"photo{i % photos}" for i in range(count)],
        "mos": (quality + 0.2 * draw.normal(size=count)).tolist() if mos else [None] * count,
        "score": scores[:, -1],
        "levels": lists(np.full((count, 5), 0.2), levels),
        "subset_scores": lists(scores),
        "level_plcc": lists(level_plcc, levels),
        "shapley": lists(games.shapley(scores)),
        "banzhaf": lists(games.banzhaf(scores)),
    }
    for name in ("original_height", "original_width", "scored_height", "scored_width"):
        columns[name] = [96] * count
    for rule, value in values.items():
        there = levels or rule != "level_plcc"
        columns[f"importance_{rule}"] = lists(value, there)
        columns[f"important_{rule}"] = pa.array(importance.important_half(value), mask=np.full(count, not there))
    wanted = schema.rank(blocks)
    arrays = [c if isinstance(c := columns[f.name], pa.Array) else pa.array(c, f.type) for f in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted), half


def lists(values, there=True):
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel(), from_pandas=True)
    mask = pa.array(np.full(len(values), not there))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask)


def write(output: Path, table, files=3, key="0123abcd", grid=Grid(3, 4), **metadata):
    """Write rows as a run of the rank job, cut into `files` files; returns their paths."""
    facts = METADATA | {"grid": {"rows": grid.rows, "columns": grid.columns}} | metadata
    table = table.replace_schema_metadata(schema.with_metadata(table.schema, facts).metadata)
    folder = output / "rank" / f"dataset={facts['dataset']}" / f"run={key}"
    edges = np.linspace(0, table.num_rows, files + 1).astype(int)
    paths = [str(folder / f"part-{i}.parquet") for i in range(files)]
    for path, start, stop in zip(paths, edges, edges[1:], strict=False):
        storage.write_table(path, table.slice(start, stop - start), 64)
    return paths
