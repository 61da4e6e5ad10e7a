"""Measures and zeroed scores with a known answer, for the rank rows of ``planted.py``.

A model's score with blocks zeroed is middle + (quality - middle) * (weight of what is left) + noise, with the same
weights as the rank rows: `share` for the planted half, the rest for the others.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.masking.controls import centre_half, other_images, random_halves
from halfiqa_ray.masking.grid import Grid
from tests.tables import planted

RANKINGS = ("level_plcc", "score_change", "averaged_pixel", "control_random", "control_centre", "control_other")


def means_of(half, grid=Grid(3, 4), agree=1.0, seed=0):
    """Block means that are higher in the planted half for a share of the images, and random for the others."""
    draw = np.random.default_rng(seed)
    inside = half[:, None] >> np.arange(grid.blocks) & 1
    noise = draw.random(inside.shape)
    return np.where((draw.random(len(half)) < agree)[:, None], inside + 0.5 * noise, noise).astype(np.float32)


def measures(table, means, grid=Grid(3, 4), tied=None):
    """Rows of ``schema.measures``: `means` maps names to block means (N, B)."""
    parts = []
    for name, values in means.items():
        order = np.argsort(-values, axis=1, kind="stable")[:, : grid.blocks // 2]
        columns = {
            "image_id": table["image_id"],
            "split": table["split"],
            "source_photo": table["source_photo"],
            "measure": pa.array([name] * len(values)),
            "block_means": planted.lists(values),
            "high_blocks": pa.array((1 << order).sum(1), pa.uint16()),
            "tied": pa.array(np.zeros(len(values), bool) if tied is None else tied),
        }
        parts.append(pa.table(columns, schema=schema.measures(grid.blocks)))
    return pa.concat_tables(parts)


def zeroed(
    table,
    half,
    grid=Grid(3, 4),
    rankings=RANKINGS,
    share=0.9,
    noise=0.01,
    seed=0,
    single=False,
    where=None,
    by=None,
    fill="zero",
):
    """Rows of ``schema.ZEROED`` for the images where `where` is true (default: the test split, or all).

    `by` maps rankings to important halves that are not the planted one.
    """
    draw = np.random.default_rng(seed)
    ids = table["image_id"].to_pylist()
    inside = half[:, None] >> np.arange(grid.blocks) & 1
    weights = np.where(inside, share / (grid.blocks // 2), (1 - share) / (grid.blocks - grid.blocks // 2))
    quality = table["score"].to_numpy().astype(float)
    halves = dict.fromkeys(rankings, half) | {
        "control_random": random_halves(grid, ids, 1).astype(int),
        "control_centre": np.full(len(ids), centre_half(grid)),
        "control_other": half[other_images(ids, ids, 1)],
        **(by or {}),
    }
    wanted = [(None, "none", np.zeros(len(ids), int))]
    for ranking in rankings:
        wanted += [(ranking, "important", halves[ranking]), (ranking, "trivial", grid.full ^ halves[ranking])]
    if single:
        wanted += [("single_block", "important", np.full(len(ids), 1 << block)) for block in range(grid.blocks)]
    splits = table["split"].to_pylist()
    where = np.array([s in (None, "test") for s in splits]) if where is None else where
    rows = []
    for ranking, name, blocks in wanted:
        left = 1 - (weights * (blocks[:, None] >> np.arange(grid.blocks) & 1)).sum(1)
        score = planted.MIDDLE + (quality - planted.MIDDLE) * left + noise * draw.normal(size=len(ids))
        columns = {name: table[name] for name in ("image_id", "split", "source_photo", "mos")}
        columns |= {
            "ranking": pa.array([ranking] * len(ids), pa.string()),
            "zeroed_half": pa.array([name] * len(ids)),
            "zeroed_blocks": pa.array(blocks, pa.uint16()),
            "fill": pa.array([fill if ranking else "none"] * len(ids)),
            "score": pa.array(score.astype(np.float32)),
        }
        rows.append(pa.table(columns, schema=schema.ZEROED).filter(pa.array(where)))
    return pa.concat_tables(rows)


def write_measures(output: Path, table, key="11112222", grid=Grid(3, 4), dataset="planted", **metadata):
    facts = {"run_key": key, "grid": {"rows": grid.rows, "columns": grid.columns}} | metadata
    return _write(output / "measures" / f"dataset={dataset}" / f"run={key}", table, facts)


def write_zeroed(
    output: Path, table, model="triq", key="33334444", rank_key="0123abcd", dataset="planted", files=2, **metadata
):
    facts = {"run_key": key, "rank_key": rank_key + "0" * 56, "model": model, "synthetic": True} | metadata
    folder = output / "zeroed" / f"dataset={dataset}" / f"model={model}" / f"run={key}"
    return _write(folder, table, facts, files)


def _write(folder, table, facts, files=2):
    table = table.replace_schema_metadata(schema.with_metadata(table.schema, facts).metadata)
    edges = np.linspace(0, table.num_rows, files + 1).astype(int)
    paths = [str(folder / f"part-{i}.parquet") for i in range(files)]
    for path, start, stop in zip(paths, edges, edges[1:], strict=False):
        storage.write_table(path, table.slice(start, stop - start))
    return paths
