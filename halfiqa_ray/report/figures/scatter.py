"""Points of images: predicted against MOS, and predicted with half of the pixels zeroed against the whole photo's."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from halfiqa_ray import storage
from halfiqa_ray.models.checkpoints import CheckpointError, CheckpointRecord, predictions_uri, read_record
from halfiqa_ray.report.figures import rendering
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import (
    BLUE,
    COLUMN,
    IMPORTANT,
    MOST_POINTS,
    PALE,
    TRIVIAL,
    Look,
    new_figure,
    notes_of,
    styled,
)
from halfiqa_ray.report.stored import SUBSTITUTE, Missing, about, in_order, model_title, sentences, substitute
from halfiqa_ray.statistics.pearson import pearson
from halfiqa_ray.tables.stored.derived import Zeroed, read_zeroed
from halfiqa_ray.tables.stored.reading import ALL, Run, read_images
from halfiqa_ray.tables.table1 import RULES
from halfiqa_ray.tables.writing import number


def write_scatter(uri: str, record: CheckpointRecord) -> list[str]:
    """Draw ``scatter.png`` and ``scatter.svg`` into the checkpoint folder ``uri``; returns their URIs."""
    figure = draw_scatter(storage.read_table(predictions_uri(uri)), record)
    title = f"Predicted quality against MOS: {record.model.name} on {record.dataset}"
    alt = "; ".join(f"{split}: n {found.n}, PLCC {_said(found.plcc)}" for split, found in record.metrics.items())
    files = {"png": rendering.png(figure), "svg": rendering.svg(figure, "scatter", title, alt).encode()}
    for kind, data in files.items():
        storage.write_bytes(storage.join(uri, f"scatter.{kind}"), data)
    return [storage.join(uri, f"scatter.{kind}") for kind in files]


@styled
def draw_scatter(predictions: pa.Table, record: CheckpointRecord) -> Figure:
    """The figure: for every split that was not trained on, predicted against MOS in native units."""
    splits = list(record.metrics)
    notes = [f"{model_title(record.model.name)} on {record.dataset}"]
    figure = new_figure(2.2 * max(len(splits), 1), 2.8, notes_of(record.synthetic) + notes)
    scores = [value for value in predictions["score"].to_pylist() if value is not None]
    low, high = min([record.mos_scale.low, *scores]), max([record.mos_scale.high, *scores])
    if splits:
        for axis, split in zip(figure.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
            rows = predictions.filter(pc.equal(predictions["split"], split))
            _panel(axis, low, high, "MOS", "predicted")
            _points(axis, rows["mos"], rows["score"], Look(BLUE, "o"))
            found = record.metrics[split]
            axis.set_title(f"{split}: n {found.n:,}\nPLCC {_said(found.plcc)}, SRCC {_said(found.srcc)}")
    return figure


@styled
def predictions(output: str, run: Run) -> Drawn:
    """Predicted against MOS, a panel for every model that was trained like the ranking one. Raises Missing."""
    wanted = str(run.metadata.get("checkpoint_run", "default"))
    folder = storage.join(output, "checkpoints", run.dataset)
    found, damaged = [], []
    for model in _models(folder, wanted):
        uri = storage.join(folder, model, wanted)
        try:
            record = read_record(uri)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        found.append((record, storage.read_table(predictions_uri(uri))))
    splits = [split for record, _ in found for split in record.metrics]
    # The test images of all models, or where there are none the images that were left out of their training.
    split = next((s for s in sorted(splits) if s.startswith("test")), splits[0] if splits else "")
    found = [(record, rows.filter(pc.equal(rows["split"], split))) for record, rows in found]
    found = [(record, rows) for record, rows in found if rows.num_rows and split in record.metrics]
    if not found:
        reason = f"no predictions for images with MOS below {folder}/MODEL/{wanted}: jobs/train.py writes them"
        raise Missing("; ".join([reason, *damaged]))
    synthetic = run.synthetic or any(record.synthetic for record, _ in found)
    figure, axes = _panels(len(found), synthetic)
    told = []
    for axis, (record, rows) in zip(axes, found, strict=False):
        scores = [value for value in rows["score"].to_pylist() if value is not None]
        low, high = min([record.mos_scale.low, *scores]), max([record.mos_scale.high, *scores])
        _panel(axis, low, high, "MOS", "predicted")
        _points(axis, rows["mos"], rows["score"], Look(BLUE, "o"))
        metrics = record.metrics[split]
        axis.set_title(f"{model_title(record.model.name)}, n {metrics.n:,}\nPLCC {_said(metrics.plcc)}")
        told.append(f"{model_title(record.model.name)} PLCC {_said(metrics.plcc)}, SRCC {_said(metrics.srcc)}")
    return Drawn(
        "predictions",
        "Predicted quality against MOS",
        sentences(
            "Each point is an image; both axes in the data set's own MOS units, the line is where they are equal.",
            about(run, found[0][0].metrics[split].n, split),
            f"Checkpoints of the training run {wanted}.",
            *(f"Left out: {said}." for said in damaged),
        ),
        f"Scatter plots for {len(found)} models on split {split}: {'; '.join(told)}.",
        figure,
    )


@styled
def zeroed(output: str, run: Run, rule: str) -> Drawn:
    """The prediction with a half zeroed against that on the original, a panel a model. Raises Missing."""
    images = read_images(run)
    models = read_zeroed(output, run, images)
    if not models:
        raise Missing(f"no zeroed scores for rank run {run.key} of {run.dataset}: jobs/zero.py writes them")
    available = {name for model in models for name in model.halves if name in RULES}
    if rule not in available and SUBSTITUTE not in available:
        raise Missing(f"no halves by a rule were zeroed for run {run.key}: run jobs/zero.py with zero.rankings")
    shown, said = substitute(rule, available)
    models = [model for model in models if shown in model.halves]
    scopes = {scope: at for scope, at in images.scopes().items() if scope.startswith("test")}
    scope, at = next(iter(sorted(scopes.items())), (ALL, np.arange(len(images))))
    figure, axes = _panels(len(models), run.synthetic or any(model.synthetic for model in models), said)
    told, most = [], 0
    for axis, model in zip(axes, models, strict=False):
        n, words = _zeroed_panel(axis, model, shown, at)
        most = max(most, n)
        told.append(f"{model_title(model.model)} {words}")
    for look, half in ((TRIVIAL, "trivial"), (IMPORTANT, "important")):
        axes[0].scatter([], [], s=8, color=look.colour, marker=look.marker, label=f"{half} half zeroed")
    figure.legend(loc="outside lower center", ncols=2)
    return Drawn(
        "zeroed_predictions",
        "Predictions with half of the pixels zeroed",
        sentences(
            f"Prediction with the important or the trivial half (by {shown}) set to zero against the prediction on the "
            "original, each point an image, in MOS units; on the line nothing changed.",
            about(run, most, scope),
            f"{said}." if said else "",
        ),
        f"Scatter plots for {len(models)} models. {'; '.join(told)}.",
        figure,
    )


def _zeroed_panel(axis: Axes, model: Zeroed, ranking: str, at: np.ndarray) -> tuple[int, str]:
    """Draw one model; returns how many images it shows, and its correlations in words."""
    original = model.score_N[at]
    important, trivial = (half[at] for half in model.halves[ranking])
    there = np.isfinite(original) & np.isfinite(important) & np.isfinite(trivial)
    n, every = int(there.sum()), np.concatenate([half[there] for half in (original, important, trivial)])
    plcc = ["none", "none"]
    if n:
        edge = 0.04 * (every.max() - every.min())
        _panel(axis, every.min() - edge, every.max() + edge, "original", "half zeroed")
        _points(axis, original[there], trivial[there], TRIVIAL)
        _points(axis, original[there], important[there], IMPORTANT)
        plcc = [number(float(pearson(half[there], original[there]))) or "none" for half in (important, trivial)]
    axis.set_title(f"{model_title(model.model)}, n {n:,}\nPLCC imp. {plcc[0]}, triv. {plcc[1]}", fontsize=6.5)
    return n, f"PLCC {plcc[0]} with the important, {plcc[1]} with the trivial half zeroed"


def _models(folder: str, wanted: str) -> list[str]:
    """Models that have predictions of a training run."""
    files = storage.list_files(folder, "/predictions.parquet", recursive=True)
    parts = [file[len(folder) + 1 :].split("/") for file in files]
    return in_order({part[0] for part in parts if len(part) == 3 and part[1] == wanted})


def _panels(count: int, synthetic: bool, said: str = "") -> tuple[Figure, list[Axes]]:
    down, across = math.ceil(count / 2), min(count, 2)
    figure = new_figure(COLUMN, 0.4 + 1.75 * down if across == 2 else 3.6, notes_of(synthetic, said))
    axes: list[Axes] = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes


def _panel(axis: Axes, low: float, high: float, across: str, up: str) -> None:
    axis.plot([low, high], [low, high], color=PALE, linewidth=1, zorder=1)
    axis.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel=across, ylabel=up)


def _points(axis: Axes, across: ArrayLike, up: ArrayLike, look: Look) -> None:
    axis.scatter(
        across, up, s=8, color=look.colour, marker=look.marker, alpha=0.5, linewidths=0,
        rasterized=len(np.asarray(across)) > MOST_POINTS,
    )  # fmt: skip


def _said(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
