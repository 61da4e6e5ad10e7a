"""The photos of the page: which of a run's, and all that the block explorer knows of each.

All 2^B scores of a photo go into the page (`packing`), so that it can answer for any subset at once.
Shape suffixes: N images, P photos of the page, S = 2^B subsets, K blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data.manifest import sample
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.figures.choose import Halved
from halfiqa_ray.report.names import printable
from halfiqa_ray.report.page.packing import number, numbers, packed, picture_uri, quantise, restore
from halfiqa_ray.report.photos import photo_uris, small_photo
from halfiqa_ray.report.stored import Missing
from halfiqa_ray.tables.beyond.localisation import read_truth
from halfiqa_ray.tables.stored.derived import Zeroed, read_measures, read_zeroed
from halfiqa_ray.tables.stored.reading import Images, Run, vectors

TELLING_SHARE = 4  # at most one in so many photos is there because its halves differ most
READERS = 4  # photos read and decoded at a time
BATCH_ROWS = 512
# The importance by the Shapley rule is the magnitude of the Shapley values, which are there.
IMPORTANCE = {rule: f"importance_{rule}" for rule in schema.IMAGE_RULES if rule != "shapley"}
COLUMNS = ["original_height", "original_width", "levels", "shapley", *IMPORTANCE.values(), "subset_scores"]


@dataclass(frozen=True)
class Choice:
    """Positions of the chosen images, in the order of the groups that they were chosen in, and the size of each."""

    positions: tuple[int, ...]
    groups: dict[str, int]  # in words: how many


@dataclass(frozen=True)
class Photos:
    """What the page knows of its photos: for the gallery, and one by one for the explorer."""

    gallery: list[dict[str, Any]]
    explorer: list[dict[str, Any]]
    choice: Choice
    largest_error: float  # of any stored score, MOS units
    unreadable: dict[str, str] = field(default_factory=dict)  # image id: why there is no picture


def choose(halved: Halved, named: Sequence[str], count: int, seed: int) -> Choice:
    """Up to ``count`` images, but all named ones: those, then images whose halves differ most, test images, others.

    Those whose halves differ most are of different source photos, and at most a quarter of ``count``; after them, and
    after the test splits, images are drawn with the seed.
    """
    images = halved.images
    chosen: dict[int, None] = {}
    groups: dict[str, int] = {}

    def add(positions: Sequence[int], words: str) -> None:
        fresh = [p for p in dict.fromkeys(positions) if p not in chosen][: count - len(chosen)]
        chosen.update(dict.fromkeys(fresh))
        if fresh:
            groups[words] = len(fresh)

    def drawn(positions: Sequence[int], words: str) -> None:
        free = [images.image_id[p] for p in positions if p not in chosen]
        add(halved.named(sample(free, count - len(chosen), seed, "page")), words)

    there = halved.named(named)
    count = max(count, len(there))
    add(there, "named in report.images")
    add(halved.first(halved.gap_N, count // TELLING_SHARE), "whose two halves differ most")
    tests = [p for p, split in enumerate(images.split) if split is not None and split.startswith("test")]
    drawn(tests, "drawn from the test splits")
    drawn(range(len(images)), "drawn from the others" if chosen else "drawn from all")
    return Choice(tuple(chosen), groups)


def read_photos(settings: Settings, halved: Halved, halves: dict[str, NDArray[np.int64]]) -> Photos:
    """Choose photos, read their rows and pictures. ``halves`` are the important ones by every rule, (N,)."""
    run, images, gap_N = halved.run, halved.images, halved.gap_N
    choice = choose(halved, settings.report.images, settings.report.photos, settings.seed)
    measures, _ = read_measures(settings.output, run, images)
    models = read_zeroed(settings.output, run, images)
    damage = _damage(settings, run)
    pictures = _pictures(settings, run, [images.image_id[p] for p in choice.positions])
    rows = {position: (row, scores_S) for position, row, scores_S in _rows(images, choice.positions, run.grid)}
    gallery, explorer, largest = [], [], 0.0
    for position in choice.positions:
        image_id = images.image_id[position]
        row, scores_S = rows[position]
        low, high, steps_S = quantise(scores_S)
        largest = max(largest, float(np.abs(restore(low, high, steps_S) - scores_S).max()))
        picture = pictures[image_id]
        shape = (row["original_height"], row["original_width"])
        turned = run.metadata.get("portrait") == "rotate" and None not in shape and shape[0] > shape[1]
        shape = shape[::-1] if turned else shape
        gallery.append(
            {
                "id": image_id,
                "name": printable(image_id),
                "split": images.split[position],
                "score": number(images.score_N[position]),
                "mos": number(images.mos_N[position]),
                "gap": number(gap_N[position]),
                "damage": damage.get(image_id, damage.get(image_id.rsplit("/", 1)[-1])),
            }
        )
        explorer.append(
            {
                "picture": picture.data_uri,
                "note": printable(picture.problem) or ("turned a quarter, as the model saw it" if turned else ""),
                "shape": picture.shape or shape,  # height, width
                "low": low,
                "high": high,
                "scores": packed(steps_S),
                "levels": numbers(row["levels"]),
                "shapley": numbers(row["shapley"]),
                "importance": {rule: numbers(row[name]) for rule, name in IMPORTANCE.items() if row[name]},
                "halves": {name: int(half_N[position]) for name, half_N in halves.items() if half_N[position]},
                "measures": {m.name: numbers(m.means_NK[position]) for m in measures if m.high_N[position]},
                "zeroed": _zeroed(models, halves, position),
            }
        )
    unreadable = {image_id: picture.problem for image_id, picture in pictures.items() if picture.data_uri is None}
    return Photos(gallery, explorer, choice, largest, unreadable)


@dataclass(frozen=True)
class _Picture:
    """A photo as the page carries it, or why it does not."""

    data_uri: str | None
    shape: tuple[int, ...] | None  # height, width
    problem: str  # "" where there is none


def _pictures(settings: Settings, run: Run, image_ids: Sequence[str]) -> dict[str, _Picture]:
    try:
        uris = photo_uris(settings.output, run.dataset)
    except Missing as missing:
        return {image_id: _Picture(None, None, str(missing)) for image_id in image_ids}

    def picture(image_id: str) -> _Picture:
        photo = small_photo(image_id, uris, run, settings.data.maximum_pixels, settings.report.thumbnail)
        if photo.pixels is None:
            return _Picture(None, None, photo.problem)
        return _Picture(picture_uri(photo.pixels), photo.pixels.shape[:2], photo.problem)

    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(image_ids, pool.map(picture, image_ids), strict=True))


def _rows(
    images: Images, positions: Sequence[int], grid: Grid
) -> Iterator[tuple[int, dict[str, Any], NDArray[np.float32]]]:
    """Position, stored columns and subset scores (S,) of the chosen images."""
    chosen = set(positions)
    for part in images.parts:
        wanted = [(row, place) for row, place in zip(part.rows.tolist(), part.positions.tolist(), strict=True)]
        wanted = [(row, place) for row, place in wanted if place in chosen]
        start = 0
        for batch in storage.iterate_table(part.uri, COLUMNS, BATCH_ROWS) if wanted else ():
            here = [(row - start, place) for row, place in wanted if start <= row < start + batch.num_rows]
            start += batch.num_rows
            if not here:
                continue
            taken = pa.table(batch).take(pa.array([row for row, _ in here], pa.int64()))
            scores_PS = vectors(taken["subset_scores"])
            for (_, place), row, scores_S in zip(here, taken.select(COLUMNS[:-1]).to_pylist(), scores_PS, strict=True):
                yield place, row, scores_S


def _zeroed(
    models: Sequence[Zeroed], halves: dict[str, Any], position: int
) -> dict[str, dict[str, list[float | None]]]:
    """By rule and model the scores with nothing, the important and the trivial half set to zero."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for model in models:
        for rule in halves:
            if rule in model.halves:
                scores = [model.score_N[position], *(half_N[position] for half_N in model.halves[rule])]
                if np.isfinite(scores).all():
                    found.setdefault(rule, {})[model.model] = numbers(scores)
    return found


def _damage(settings: Settings, run: Run) -> dict[str, int]:
    """Damaged blocks of the images with planted defects, where the settings name their list."""
    if settings.tables.damage is None or settings.data.dataset != run.dataset:
        return {}
    truth = settings.below_output(settings.tables.damage)
    if not storage.exists(truth):
        print(f"the page marks no planted damage: tables.damage is {truth}, and there is no such file", flush=True)
        return {}
    return read_truth(truth, run.grid)
