"""What is left to do of every photo, from what lies in storage: the rows that a stream begins with.

An image is finished when it is in every output; what a kill left in some of them is not computed again for those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from halfiqa_ray import schema, storage
from halfiqa_ray.stages.score import KNOWN_HALVES
from halfiqa_ray.stages.zeroing import WORK, Halves

CARRIED = ["image_id", "uri", "split", "source_photo", "mos"]


@dataclass(frozen=True)
class Wanted:
    """The outputs of a stream: the folders it fills, and those it only takes halves from.

    ``rankings`` are those whose halves an image's own scores, measures or name give. ``given`` are the others, with
    the half of every image that has one.
    """

    rank: str | None = None
    fill_rank: bool = False
    measures: str | None = None
    fill_measures: bool = False
    zeroed: Sequence[str] = ()  # a folder a model
    zeroed_images: frozenset[str] = frozenset()
    rankings: Sequence[str] = ()
    given: Mapping[str, Halves] = field(default_factory=dict)  # ranking: image: half


def work(rows: pa.Table, wanted: Wanted) -> pa.Table:
    """The manifest rows with something left to do: ``CARRIED``, bools ``rank`` and ``measure``, ``zero``, ``halves``.

    ``zero`` (``WORK``) are the pairs of model and ranking that are missing, ``halves`` the halves that are known.
    """
    ranked = rule_halves(wanted.rank, wanted.rankings)
    measured = measure_halves(wanted.measures, wanted.rankings)
    zeroed = [zeroed_rankings(folder) for folder in wanted.zeroed]
    todo, columns = [], []
    for number, image_id in enumerate(rows["image_id"].to_pylist()):
        missing: list[dict[str, Any]] = []
        known: Halves = {}
        if image_id in wanted.zeroed_images:
            known |= ranked.get(image_id, {}) | measured.get(image_id, {})
            known |= {ranking: halves[image_id] for ranking, halves in wanted.given.items() if image_id in halves}
            rankings = [None, *wanted.rankings, *(r for r, halves in wanted.given.items() if image_id in halves)]
            for model, done in enumerate(zeroed):
                there: Set[str | None] = done.get(image_id, frozenset())
                missing += [{"model": model, "ranking": r} for r in rankings if r not in there]
        rank = wanted.fill_rank and image_id not in ranked
        measure = wanted.fill_measures and image_id not in measured
        if rank or measure or missing:
            todo.append(number)
            halves = [{"ranking": r, "half": half} for r, half in known.items()] if missing else None
            columns.append((rank, measure, missing, halves))
    left = rows.select(CARRIED).take(pa.array(todo, pa.int64()))
    kinds = (("rank", pa.bool_()), ("measure", pa.bool_()), ("zero", WORK), ("halves", KNOWN_HALVES))
    for (name, kind), values in zip(kinds, zip(*columns, strict=True) if columns else [()] * 4, strict=True):
        left = left.append_column(name, pa.array(list(values), kind))
    return left


def rule_halves(folder: str | None, rankings: Sequence[str]) -> dict[str, Halves]:
    """Of every image in a folder of ``rank/`` its important half by those rankings that are rules."""
    rules = [rule for rule in schema.IMAGE_RULES if rule in rankings]
    found: dict[str, Halves] = {}
    for rows in _tables(folder, ["image_id", *(f"important_{rule}" for rule in rules)]):
        for row in rows.to_pylist():
            found[row["image_id"]] = {r: row[f"important_{r}"] for r in rules if row[f"important_{r}"] is not None}
    return found


def measure_halves(folder: str | None, rankings: Sequence[str]) -> dict[str, Halves]:
    """Of every image in a folder of ``measures/`` its high blocks by those rankings that are measures."""
    found: dict[str, Halves] = {}
    for rows in _tables(folder, ["image_id", "measure", "high_blocks"]):
        for image_id in pc.unique(rows["image_id"]).to_pylist():
            found.setdefault(image_id, {})
        for row in rows.filter(pc.is_in(rows["measure"], pa.array(list(rankings), pa.string()))).to_pylist():
            found[row["image_id"]][row["measure"]] = row["high_blocks"]
    return found


def zeroed_rankings(folder: str) -> dict[str, set[str | None]]:
    """Of every image in a folder of ``zeroed/`` the rankings that are there; None for the photo as it is."""
    found: dict[str, set[str | None]] = {}
    for rows in _tables(folder, ["image_id", "ranking"]):
        for image_id, ranking in zip(rows["image_id"].to_pylist(), rows["ranking"].to_pylist(), strict=True):
            found.setdefault(image_id, set()).add(ranking)
    return found


def discard_other_halves(folder: str, given: Mapping[str, Halves]) -> int:
    """Delete rows of ``zeroed/`` whose half is not the one that is given now; returns how many images' it were.

    Halves that hang on other images change when those do: another partner, or more of them behind a correlation.
    """
    stale = 0
    for file in storage.list_files(folder, ".parquet"):
        rows = storage.read_table(file)
        wrong = {
            (row["image_id"], row["ranking"])
            for row in rows.select(["image_id", "ranking", "zeroed_half", "zeroed_blocks"]).to_pylist()
            if row["ranking"] in given
            and row["zeroed_half"] == "important"
            and given[row["ranking"]].get(row["image_id"]) != row["zeroed_blocks"]
        }
        if wrong:
            pairs = zip(rows["image_id"].to_pylist(), rows["ranking"].to_pylist(), strict=True)
            storage.write_table(file, rows.filter(pa.array([pair not in wrong for pair in pairs], pa.bool_())))
            stale += len(wrong)
    return stale


def _tables(folder: str | None, columns: list[str]) -> list[pa.Table]:
    return [storage.read_table(file, columns) for file in storage.list_files(folder, ".parquet")] if folder else []
