"""Stored rows that belong to a run of the rank job: its measures, explanations and zeroed scores, model by model.

Readers take the newest run that was made for the rank run (``rank_key`` in the files' metadata), each image once.
Measures and explanations name no rank run: theirs is the newest over the same blocks of photos brought to size in the
same way.
What is not there is not an error: it comes back empty with the reason, to stand in the table.
Shape suffixes: N images of the rank run in order of image id, K blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.config import FILLS
from halfiqa_ray.tables import paper
from halfiqa_ray.tables.stored.reading import Images, Run, created, vectors


@dataclass(frozen=True)
class Measured:
    """One measure of the images of a rank run."""

    name: str
    means_NK: NDArray[np.float64]  # block means, NaN where an image is not measured
    high_N: NDArray[np.int64]  # bit set = block is in the half with the higher means; 0 = not measured
    tied_N: NDArray[np.bool_]


@dataclass(frozen=True)
class Explained(Measured):
    """Explanations of one model's scores by one method; block means are of absolute values."""

    model: str
    method: str
    key: str


@dataclass(frozen=True)
class Zeroed:
    """Scores of one model on the images of a rank run, by one fill; NaN where an image has none."""

    model: str
    key: str | None
    score_N: NDArray[np.float64]  # nothing zeroed
    halves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]  # ranking: important zeroed, trivial zeroed
    single_change_NK: NDArray[np.float64]  # absolute change of the score with one block zeroed: its own importance
    synthetic: bool = False
    note: str = ""
    important: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # ranking: the half itself; 0 = none
    trained_on: str | None = None  # the data set that the model learned from
    fill: str = schema.ZERO  # of the halves and orders
    # Ranking: scores (N, B + 1) with its first 0 .. B blocks filled, and with all but these.
    orders: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    weights: str | None = None  # SHA-256 of the checkpoint's


def read_measures(output: str, run: Run, images: Images) -> tuple[list[Measured], str]:
    """Every stored measure of a rank run, in stored order, and why there is none.

    Raises ValueError naming the folder when a half does not fit the run's grid.
    """
    folder = storage.join(output, "measures", f"dataset={run.dataset}")
    runs, missing = _matching(folder, run, "jobs/measure.py")
    if not runs:
        return [], missing
    return _measured(runs[0][1], "measure", run, images, "jobs/measure.py"), ""


def read_measures_of(folder: str, run: Run, images: Images) -> list[Measured]:
    """Every measure in one folder of ``measures/``; raises as `read_measures`."""
    files = storage.list_files(folder, ".parquet")
    return _measured(files, "measure", run, images, "jobs/measure.py") if files else []


def read_explanations(output: str, run: Run, images: Images, zeroed: Sequence[Zeroed]) -> list[Explained]:
    """Every stored explanation of a rank run's images, in order of the models' names; raises as `read_measures`.

    Of several runs the one whose halves were ``zeroed``, in most images; the newest where none was.
    """
    folder = storage.join(output, "explain", f"dataset={run.dataset}")
    found: list[Explained] = []
    for model in _models(folder):
        runs, _ = _matching(storage.join(folder, f"model={model}"), run, "jobs/explain.py")
        each = [
            [
                Explained(schema.explained(one.name, model), one.means_NK, one.high_N, one.tied_N, model, one.name, key)
                for one in _measured(files, "method", run, images, "jobs/explain.py")
            ]
            for key, files in runs
        ]
        # The first of those with most: they begin with the newest.
        found += max(each, key=lambda explained: sum(_zeroed_by(one, zeroed) for one in explained), default=[])
    return found


def _zeroed_by(explained: Explained, zeroed: Sequence[Zeroed]) -> int:
    """In how many images and models its halves are those that were zeroed."""
    halves = (model.important[explained.name] for model in zeroed if explained.name in model.important)
    return sum(int(((half_N == explained.high_N) & (half_N > 0)).sum()) for half_N in halves)


def read_zeroed(output: str, run: Run, images: Images) -> list[Zeroed]:
    """Zeroed scores of every model that has some for this rank run: the paper's models in its order, then by name.

    Halves are those with the fill ``zero``; a model may have none.
    """
    return [_of_fill(stored, run, images, schema.ZERO) for stored in _stored(output, run)]


def read_fills(output: str, run: Run, images: Images) -> tuple[list[Zeroed], dict[str, list[Zeroed]]]:
    """What `read_zeroed` gives, and by every other fill that is there the models that have halves or orders with it."""
    models = list(_stored(output, run))
    there = {fill for runs in models for one in runs for fill in set(one.fill_R.tolist())}
    found: dict[str, list[Zeroed]] = {}
    for fill in FILLS:
        if fill != schema.ZERO and fill in there:
            filled = [_of_fill(runs, run, images, fill) for runs in models]
            found[fill] = [model for model in filled if model.halves or model.orders]
    return [_of_fill(runs, run, images, schema.ZERO) for runs in models], found


def read_zeroed_rows(file: str, columns: Sequence[str]) -> pa.Table:
    """Columns of a file of ``zeroed/``, in this order; an older one gets its fill from `schema.with_fill`."""
    there = storage.read_schema(file).names
    wanted = [*columns, *(["zeroed_half"] if "fill" not in there and "zeroed_half" not in columns else [])]
    rows = storage.read_table(file, [name for name in wanted if name in there])
    return schema.with_fill(rows).select(list(columns)) if "fill" in columns else rows


def why_not_zeroed(output: str, run: Run, model: str) -> str:
    """Why a model has no zeroed scores for a rank run; empty where it has some."""
    folder = storage.join(output, "zeroed", f"dataset={run.dataset}", f"model={model}")
    return _matching(folder, run, "jobs/zero.py")[1]


@dataclass(frozen=True)
class _Rows:
    """The rows of one model that one run of zeroing stored; R rows."""

    model: str
    key: str
    files: list[str]
    ids: NDArray[np.object_]
    score_R: NDArray[np.float64]
    half_R: NDArray[np.object_]
    blocks_R: NDArray[np.int64]
    ranking_R: NDArray[np.object_]
    fill_R: NDArray[np.object_]


def _stored(output: str, run: Run) -> Iterator[list[_Rows]]:
    """Of every model that has some for this rank run its runs of zeroing, the newest first; models as in the paper."""
    folder = storage.join(output, "zeroed", f"dataset={run.dataset}")
    order = list(paper.MODELS)
    models = _models(folder)
    models.sort(key=lambda model: order.index(known) if (known := paper.paper_model(model)) else len(order))
    for model in models:
        runs = _matching(storage.join(folder, f"model={model}"), run, "jobs/zero.py")[0]
        if runs:
            yield [_read_run(model, key, files) for key, files in runs]


def _read_run(model: str, key: str, files: list[str]) -> _Rows:
    columns = ["image_id", "ranking", "zeroed_half", "zeroed_blocks", "fill", "score"]
    rows = pa.concat_tables([read_zeroed_rows(f, columns).replace_schema_metadata(None) for f in files])
    words = {name: np.asarray(rows[name].to_pylist(), dtype=object) for name in [*columns[:3], "fill"]}
    return _Rows(
        model,
        key,
        files,
        words["image_id"],
        rows["score"].to_numpy().astype(np.float64),
        words["zeroed_half"],
        rows["zeroed_blocks"].to_numpy().astype(np.int64),
        words["ranking"],
        words["fill"],
    )


def _of_fill(runs: Sequence[_Rows], run: Run, images: Images, fill: str) -> Zeroed:
    found = _zeroed(runs[0], run, images, fill)
    # Single blocks may have been zeroed in a run of their own: then the newest that has them is looked for.
    for older in runs[1:]:
        if found.halves and np.isfinite(found.single_change_NK).any():
            break
        next_found = _zeroed(older, run, images, fill)
        if next_found.halves and not found.halves:
            found = replace(next_found, single_change_NK=found.single_change_NK)
        elif not np.isfinite(found.single_change_NK).any():
            found = replace(found, single_change_NK=next_found.single_change_NK)
    return found


def _zeroed(rows: _Rows, run: Run, images: Images, fill: str) -> Zeroed:
    place = {image_id: position for position, image_id in enumerate(images.image_id)}
    ids, score_R, half_R, blocks_R = rows.ids, rows.score_R, rows.half_R, rows.blocks_R
    ranking_R, fill_R = rows.ranking_R, rows.fill_R

    def of(chosen_R: NDArray[np.bool_], value_R: NDArray[Any] = score_R) -> NDArray[np.float64]:
        chosen, value_N = np.flatnonzero(chosen_R), np.full(len(images), np.nan)
        at, taken = _places(ids[chosen].tolist(), place)
        value_N[at] = value_R[chosen[taken]]
        return value_N

    halves, important = {}, {}
    for ranking in dict.fromkeys(ranking_R[fill_R == fill].tolist()):
        if ranking is not None and ranking != schema.SINGLE_BLOCK and not ranking.startswith(schema.ORDER):
            ours = (ranking_R == ranking) & (fill_R == fill)
            halves[ranking] = of(ours & (half_R == "important")), of(ours & (half_R == "trivial"))
            important[ranking] = np.nan_to_num(of(ours & (half_R == "important"), blocks_R)).astype(np.int64)
    none_N, single = of(half_R == "none"), (ranking_R == schema.SINGLE_BLOCK) & (fill_R == schema.ZERO)
    single_NK = np.stack([of(single & (blocks_R == 1 << block)) for block in range(run.grid.blocks)], axis=1)
    counts_R, blocks = np.bitwise_count(blocks_R).astype(np.int64), run.grid.blocks
    orders = {}
    for ranking in sorted({r for r in ranking_R[fill_R == fill].tolist() if r and r.startswith(schema.ORDER)}):
        ours = (ranking_R == ranking) & (fill_R == fill)
        deleted = [none_N, *(of(ours & (half_R == "deletion") & (counts_R == n)) for n in range(1, blocks + 1))]
        kept = [of(ours & (half_R == "insertion") & (counts_R == blocks - n)) for n in range(1, blocks)]
        deleted_NR, inserted_NR = np.stack(deleted, 1), np.stack([deleted[-1], *kept, none_N], 1)
        # Whole or not at all.
        lost_N = ~(np.isfinite(deleted_NR).all(1) & np.isfinite(inserted_NR).all(1))
        deleted_NR[lost_N], inserted_NR[lost_N] = np.nan, np.nan
        orders[ranking.removeprefix(schema.ORDER)] = deleted_NR, inserted_NR
    unknown = len(set(ids.tolist()) - place.keys())
    note = f"{unknown} zeroed images are not in rank run {run.key} and left out" if unknown else ""
    about = schema.metadata(storage.read_schema(rows.files[0]))
    change_NK = np.abs(single_NK - none_N[:, None])
    synthetic, trained_on = bool(about.get("synthetic")), about.get("trained_on")
    return Zeroed(
        rows.model,
        rows.key,
        none_N,
        halves,
        change_NK,
        synthetic,
        note,
        important,
        trained_on,
        fill,
        orders,
        about.get("checkpoint_sha256"),
    )


def _measured(files: list[str], kind: str, run: Run, images: Images, job: str) -> list[Measured]:
    """Block means and halves by every name in the column ``kind``, in stored order."""
    stored = _rows(files, ["image_id", kind, "block_means", "high_blocks", "tied"])
    place = {image_id: position for position, image_id in enumerate(images.image_id)}
    found = []
    for name in dict.fromkeys(stored[kind].to_pylist()):
        rows = stored.filter(pc.equal(stored[kind], name))
        at, taken = _places(rows["image_id"].to_pylist(), place)
        means_RK = vectors(rows["block_means"])
        high_R = rows["high_blocks"].to_numpy().astype(np.int64)
        if means_RK.shape[1] != run.grid.blocks or (np.bitwise_count(high_R) != run.grid.blocks // 2).any():
            raise ValueError(
                f"{files[0].rsplit('/', 1)[0]}: the halves of {name} are not halves of {run.grid.rows} x "
                f"{run.grid.columns} blocks, which rank run {run.key} has; run {job} again"
            )
        means_NK = np.full((len(images), run.grid.blocks), np.nan)
        high_N, tied_N = np.zeros(len(images), np.int64), np.zeros(len(images), np.bool_)
        means_NK[at], high_N[at] = means_RK[taken], high_R[taken]
        tied_N[at] = rows["tied"].to_numpy()[taken]
        found.append(Measured(name, means_NK, high_N, tied_N))
    return found


def _models(folder: str) -> list[str]:
    """The models that have Parquet files below a folder of ``zeroed/`` or ``explain/``, by name."""
    names = {file[len(folder) + 1 :].split("/")[0] for file in storage.list_files(folder, ".parquet", recursive=True)}
    return sorted(name.removeprefix("model=") for name in names if name.startswith("model="))


def _rows(files: list[str], columns: list[str]) -> pa.Table:
    tables = [storage.read_table(file, columns).replace_schema_metadata(None) for file in files]
    return pa.concat_tables(tables).combine_chunks()


def _matching(folder: str, run: Run, job: str) -> tuple[list[tuple[str, list[str]]], str]:
    """Key and files of the runs that were made for a rank run, the newest first; or none, and why."""
    runs: dict[str, list[str]] = {}
    for file in storage.list_files(folder, ".parquet", recursive=True):
        name = file[len(folder) + 1 :].split("/")[0]
        if name.startswith("run="):
            runs.setdefault(name.removeprefix("run="), []).append(file)
    if not runs:
        return [], f"nothing is stored: {job} writes it"
    ours = [(key, files) for key, files in runs.items() if _belongs(files[0], run)]
    if not ours:
        return [], f"there are rows for other rank runs only, none for {run.key}: run {job} again"
    return sorted(ours, key=lambda one: (created(one[1]), one[0]), reverse=True), ""


def _belongs(file: str, run: Run) -> bool:
    return schema.made_for(schema.metadata(storage.read_schema(file)), run.key, run.metadata)


def _places(ids: list[str], place: dict[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the images of some rows, each known image once (its first row), and those rows."""
    first: dict[int, int] = {}
    for row, image_id in enumerate(ids):
        if image_id in place:
            first.setdefault(place[image_id], row)
    return np.array(list(first), dtype=np.int64), np.array(list(first.values()), dtype=np.int64)
