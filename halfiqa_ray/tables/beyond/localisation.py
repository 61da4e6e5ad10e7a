"""Planted defects: are the blocks that a rule finds the damaged ones, or the clean ones, or neither?

Only images that are damaged in part count. Chance is the mean share of damaged blocks: what a block drawn at random
would hit. The same rows from an untrained model of the same shape are the control.

A rule "finds" the damaged (or the clean) blocks only where its most important block is a damaged one more (or less)
often than chance by both intervals: Wilson's, over images, and the bootstrap over source photos, since crops of one
photo are not independent. Shape suffixes: N images, K blocks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.statistics.binomial import binomial_interval
from halfiqa_ray.statistics.bootstrap import no_interval, percentile_interval, resampled_mean
from halfiqa_ray.tables.stored.reading import ALL, SPLIT_ORDER, vectors
from halfiqa_ray.tables.writing import table_of

Finds = Literal["damaged", "clean", "neither"]
COLUMNS = [
    *("image_id", "split", "source_photo"),
    *(f"{kind}_{rule}" for rule in schema.IMAGE_RULES for kind in ("importance", "important")),
]


def read_truth(uri: str, grid: Grid) -> dict[str, int]:
    """Images damaged in part, from a CSV with columns image_name and damaged_blocks (bit b set = block b damaged).

    Images with no or only damaged blocks are left out. Raises ValueError naming file and row for a bad value.
    """
    reader = csv.DictReader(io.StringIO(storage.read_bytes(uri).decode("utf-8-sig"), newline=""))
    missing = {"image_name", "damaged_blocks"} - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"{uri} has no column {' or '.join(sorted(missing))}")
    truth = {}
    for number, row in enumerate(reader, start=2):
        text = row["damaged_blocks"] or ""
        if not text.strip().isdecimal() or int(text) > grid.full:
            raise ValueError(
                f"{uri}, row {number}: damaged_blocks is {text!r}, "
                f"not a bit mask of {grid.rows} x {grid.columns} blocks"
            )
        if 0 < int(text) < grid.full:
            truth[row["image_name"]] = int(text)
    return truth


def localise(
    rank: pa.Table,
    truth: Mapping[str, int],
    grid: Grid,
    untrained: pa.Table | None = None,
    dataset: str = "",
    run: str = "",
    synthetic: bool = True,
    resamples: int = 2000,
    seed: int = 1,
) -> pa.Table:
    """How often each rule's blocks are damaged ones: columns of ``schema.LOCALISATION``.

    ``rank`` and ``untrained`` hold `COLUMNS` of rank rows; ``truth`` maps image ids, or their file names, to damaged
    blocks. Scopes are all images, then each split. A row without images has n = 0 and nulls.
    """
    ours, theirs = _images(rank, truth), _images(untrained, truth) if untrained is not None else None
    rows = []
    for scope in _scopes(ours):
        for rule in schema.IMAGE_RULES:
            control = _found(theirs, scope, rule, grid) if theirs is not None else None
            trained = _found(ours, scope, rule, grid)
            said = {"dataset": dataset, "run": run, "scope": scope, "rule": rule, "synthetic": synthetic}
            rows.append(
                said
                | {"model": "trained"}
                | _row(trained, grid, resamples, seed)
                | _minus(trained, control, resamples, seed)
            )
            if control is not None:
                rows.append(said | {"model": "untrained"} | _row(control, grid, resamples, seed))
    return table_of(rows, schema.LOCALISATION)


def verdict(row: Mapping[str, Any]) -> Finds:
    """What a row of the table says of the most important block; "neither" where an interval holds chance."""
    names = ("most_low", "most_high", "most_photo_low", "most_photo_high")
    ends = [float("nan") if row.get(name) is None else float(row[name]) for name in names]
    if row["n"] == 0 or np.isnan(ends).any():
        return "neither"
    if min(ends) > row["chance"]:
        return "damaged"
    return "clean" if max(ends) < row["chance"] else "neither"


@dataclass(frozen=True)
class _Images:
    """Rank rows of the images damaged in part."""

    image_id: list[str]
    split: list[str | None]
    photo: list[str]
    damaged_N: NDArray[np.int64]
    rows: pa.Table


@dataclass(frozen=True)
class _Found:
    """What one rule says of some images: whether the block is damaged (0 or 1), and shares; all float64 (N,)."""

    image_id: list[str]
    photos_N: NDArray[np.int64]
    most_N: NDArray[np.float64]
    least_N: NDArray[np.float64]
    important_share_N: NDArray[np.float64]
    damaged_share_N: NDArray[np.float64]


def _images(rank: pa.Table, truth: Mapping[str, int]) -> _Images:
    ids = rank["image_id"].to_pylist()
    names = [image_id if image_id in truth else image_id.rsplit("/", 1)[-1] for image_id in ids]
    rows = [row for row, name in enumerate(names) if name in truth]
    if len({names[row] for row in rows}) < len(rows):
        raise ValueError("two images have the same file name: the truth must name them by their whole image_id")
    taken = rank.take(pa.array(rows, pa.int64()))
    photos = taken["source_photo"].to_pylist()
    return _Images(
        image_id=[ids[row] for row in rows],
        split=taken["split"].to_pylist(),
        photo=[ids[row] if photo is None else photo for row, photo in zip(rows, photos, strict=True)],
        damaged_N=np.array([truth[names[row]] for row in rows], dtype=np.int64),
        rows=taken,
    )


def _scopes(images: _Images) -> list[str]:
    known = {s for s in images.split if s is not None}
    return [ALL, *(s for s in SPLIT_ORDER if s in known), *sorted(known - set(SPLIT_ORDER))]


def _found(images: _Images, scope: str, rule: str, grid: Grid) -> _Found:
    importance_NK = vectors(images.rows[f"importance_{rule}"]).astype(np.float64)
    in_scope_N = np.array([scope in (ALL, split) for split in images.split], dtype=bool)
    at = np.flatnonzero(in_scope_N & np.isfinite(importance_NK).all(1))
    importance_NK = importance_NK[at]
    half_N = images.rows[f"important_{rule}"].fill_null(0).to_numpy().astype(np.int64)[at]
    damaged_NK = images.damaged_N[at][:, None] >> np.arange(grid.blocks) & 1
    half_NK = half_N[:, None] >> np.arange(grid.blocks) & 1
    # Of equal blocks the lower number is more important, so the least important of them is the highest number.
    most_N = np.argmax(importance_NK, axis=1) if len(at) else np.zeros(0, np.intp)
    least_N = grid.blocks - 1 - np.argmin(importance_NK[:, ::-1], axis=1) if len(at) else np.zeros(0, np.intp)
    each = np.arange(len(at))
    photos = np.asarray([images.photo[i] for i in at], dtype=str)
    return _Found(
        image_id=[images.image_id[i] for i in at],
        photos_N=np.unique(photos, return_inverse=True)[1].astype(np.int64),
        most_N=damaged_NK[each, most_N].astype(np.float64),
        least_N=damaged_NK[each, least_N].astype(np.float64),
        important_share_N=(damaged_NK * half_NK).sum(1) / np.maximum(damaged_NK.sum(1), 1),
        damaged_share_N=damaged_NK.mean(1),
    )


def _row(found: _Found, grid: Grid, resamples: int, seed: int) -> dict[str, Any]:
    n = len(found.image_id)
    photos = len(np.unique(found.photos_N))
    row: dict[str, Any] = {"n": n, "photos": photos, "most_hits": 0, "least_hits": 0, "finds": "neither"}
    if n == 0:
        return row
    row |= {"chance": float(found.damaged_share_N.mean())}
    for name, hits_N in (("most", found.most_N), ("least", found.least_N)):
        hits = int(hits_N.sum())
        low, high = binomial_interval(hits, n)
        row |= {f"{name}_hits": hits, name: hits / n, f"{name}_low": low, f"{name}_high": high}
    row |= {
        "important_share": float(found.important_share_N.mean()),
        "important_share_chance": (grid.blocks // 2) / grid.blocks,
    }
    ends = _over_photos(
        np.stack([found.most_N, found.least_N, found.important_share_N], axis=1), found.photos_N, resamples, seed
    )
    names = ("most_photo", "least_photo", "important_share")
    row |= {f"{name}_low": low for name, low in zip(names, ends[0], strict=True)}
    row |= {f"{name}_high": high for name, high in zip(names, ends[1], strict=True)}
    return row | {"finds": verdict(row)}


def _minus(trained: _Found, control: _Found | None, resamples: int, seed: int) -> dict[str, float]:
    """Hits of the trained model less those of the untrained one, on the images that both have."""
    if control is None:
        return {}
    place = {image_id: i for i, image_id in enumerate(control.image_id)}
    ours = [i for i, image_id in enumerate(trained.image_id) if image_id in place]
    if not ours:
        return {}
    theirs = [place[trained.image_id[i]] for i in ours]
    more_N = trained.most_N[ours] - control.most_N[theirs]
    photos_N = np.unique(trained.photos_N[ours], return_inverse=True)[1]
    low, high = _over_photos(more_N[:, None], photos_N, resamples, seed)
    name = "most_minus_untrained"
    return {name: float(more_N.mean()), f"{name}_low": low[0], f"{name}_high": high[0]}


def _over_photos(
    values_NR: NDArray[np.float64], photos_N: NDArray[np.integer], resamples: int, seed: int
) -> tuple[list[float], list[float]]:
    """Interval of the mean of every column, source photos resampled; NaN for too few."""
    if no_interval(len(photos_N), int(photos_N.max()) + 1):
        nothing = [float("nan")] * values_NR.shape[1]
        return nothing, nothing
    low, high = percentile_interval(resampled_mean(values_NR, photos_N, resamples, seed))
    return low.tolist(), high.tolist()
