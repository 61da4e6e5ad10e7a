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
from halfiqa_ray.stages.explain import EXPLAIN_WORK
from halfiqa_ray.stages.parts import finished_ids
from halfiqa_ray.stages.score import KNOWN_HALVES
from halfiqa_ray.stages.zeroing import ORDERS, WORK, Halves
from halfiqa_ray.tables.stored.derived import read_zeroed_rows

CARRIED = ["image_id", "uri", "split", "source_photo", "mos"]


@dataclass(frozen=True)
class Explainer:
    """A model whose scores are explained, and where to."""

    number: int  # in the stream
    name: str
    folder: str
    methods: tuple[str, ...] = schema.EXPLANATIONS  # that can explain it


@dataclass(frozen=True)
class Wanted:
    """The outputs of a stream: the folders it fills, and those it only takes halves from.

    ``rankings`` are those whose halves an image's own scores, measures, explanations or name give. ``given`` are the
    others, with the half of every image that has one. Of rankings in ``own`` only one model is asked, by its number.
    Every ranking is asked with all ``fills``, but single blocks with the paper's alone. Along ``orders`` (masks of the
    first 1 .. B blocks), the images that have one are asked with ``order_fills``.
    """

    rank: str | None = None
    fill_rank: bool = False
    measures: str | None = None
    fill_measures: bool = False
    zeroed: Sequence[str] = ()  # a folder a model
    zeroed_images: frozenset[str] = frozenset()
    rankings: Sequence[str] = ()
    given: Mapping[str, Halves] = field(default_factory=dict)  # ranking: image: half
    own: Mapping[str, int] = field(default_factory=dict)
    fills: Sequence[str] = (schema.ZERO,)
    orders: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)  # ranking: image: its first blocks
    order_fills: Sequence[str] = ()
    explainers: Sequence[Explainer] = ()
    methods: Sequence[str] = ()
    explained_images: frozenset[str] = frozenset()
    maps: str | None = None
    mapped_images: frozenset[str] = frozenset()


def work(rows: pa.Table, wanted: Wanted) -> pa.Table:
    """The manifest rows with something left to do: ``CARRIED``, and what that is.

    Bools ``rank``, ``measure`` and ``mapped``; ``explain`` (``EXPLAIN_WORK``) and ``zero`` (``WORK``), the pairs of
    model and method, and of model, ranking and fill, that are missing; ``halves`` and
    ``orders`` (``ORDERS``), the halves and orders that are known. An image
    whose pixel maps are missing is explained again: they are stored before, and nowhere else.
    """
    ranked = rule_halves(wanted.rank, wanted.rankings)
    measured = measure_halves(wanted.measures, wanted.rankings)
    explained = explained_halves(wanted.explainers)
    mapped = finished_ids(wanted.maps) if wanted.maps else set()
    zeroed = [zeroed_rankings(folder) for folder in wanted.zeroed]
    fills: dict[str | None, Sequence[str]] = {None: (schema.NOT_FILLED,), schema.SINGLE_BLOCK: (schema.ZERO,)}
    for ranking in wanted.orders:
        fills[ranking] = wanted.order_fills
    todo, columns = [], []
    for number, image_id in enumerate(rows["image_id"].to_pylist()):
        missing: list[dict[str, Any]] = []
        known: Halves = {}
        if image_id in wanted.zeroed_images:
            known |= ranked.get(image_id, {}) | measured.get(image_id, {}) | explained.get(image_id, {})
            known |= {ranking: halves[image_id] for ranking, halves in wanted.given.items() if image_id in halves}
            rankings = [None, *wanted.rankings, *(r for r, halves in wanted.given.items() if image_id in halves)]
            rankings += [ranking for ranking, of_image in wanted.orders.items() if image_id in of_image]
            for model, done in enumerate(zeroed):
                there: Set[tuple[str | None, str]] = done.get(image_id, frozenset())
                ours = (r for r in rankings if r is None or wanted.own.get(r, model) == model)
                asked = ((r, fill) for r in ours for fill in fills.get(r, wanted.fills))
                missing += [{"model": model, "ranking": r, "fill": f} for r, f in asked if (r, f) not in there]
        rank = wanted.fill_rank and image_id not in ranked
        measure = wanted.fill_measures and image_id not in measured
        draw = image_id in wanted.mapped_images and image_id not in mapped
        explain = [
            {"model": each.number, "method": method}
            for each in wanted.explainers
            for method in wanted.methods
            if image_id in wanted.explained_images
            and method in each.methods
            and (draw or schema.explained(method, each.name) not in explained.get(image_id, {}))
        ]
        if rank or measure or explain or missing:
            todo.append(number)
            halves = [{"ranking": r, "half": half} for r, half in known.items()] if missing else None
            along = {m["ranking"] for m in missing} & wanted.orders.keys()
            orders = [{"ranking": r, "first": wanted.orders[r][image_id]} for r in sorted(along)] or None
            columns.append((rank, measure, draw, explain, missing, halves, orders))
    left = rows.select(CARRIED).take(pa.array(todo, pa.int64()))
    flags = (("rank", pa.bool_()), ("measure", pa.bool_()), ("mapped", pa.bool_()))
    kinds = (*flags, ("explain", EXPLAIN_WORK), ("zero", WORK), ("halves", KNOWN_HALVES), ("orders", ORDERS))
    for (name, kind), values in zip(kinds, zip(*columns, strict=True) if columns else [()] * 7, strict=True):
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


def explained_halves(explainers: Sequence[Explainer]) -> dict[str, Halves]:
    """Of every image in folders of ``explain/`` its high blocks by every method and model, as rankings are named."""
    found: dict[str, Halves] = {}
    for each in explainers:
        for rows in _tables(each.folder, ["image_id", "method", "high_blocks"]):
            for row in rows.to_pylist():
                ranking = schema.explained(row["method"], each.name)
                found.setdefault(row["image_id"], {})[ranking] = row["high_blocks"]
    return found


def zeroed_rankings(folder: str) -> dict[str, set[tuple[str | None, str]]]:
    """Of every image in a folder of ``zeroed/`` the rankings that are there, with their fills.

    The photo as it is is the ranking None with the fill ``NOT_FILLED``.
    """
    found: dict[str, set[tuple[str | None, str]]] = {}
    for file in storage.list_files(folder, ".parquet"):
        rows = read_zeroed_rows(file, ["image_id", "ranking", "fill"])
        for image_id, *done in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True):
            found.setdefault(image_id, set()).add((done[0], done[1]))
    return found


def discard_other_halves(folder: str, given: Mapping[str, Halves], images: Set[str]) -> int:
    """Delete rows of ``zeroed/`` of these images whose half is not the one that is given now, or that have none now.

    Halves that hang on other images change when those do: another partner, or more of them behind a correlation.
    Returns how many images' it were.
    """
    stale = 0
    for file in storage.list_files(folder, ".parquet"):
        rows = storage.read_table(file)
        wrong = {
            (row["image_id"], row["ranking"])
            for row in rows.select(["image_id", "ranking", "zeroed_half", "zeroed_blocks"]).to_pylist()
            if row["ranking"] in given
            and row["image_id"] in images
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
