"""Predicted quality against MOS, a panel a split, from the predictions that training stores with a checkpoint."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from halfiqa_ray import storage
from halfiqa_ray.models.checkpoints import CheckpointRecord, predictions_uri

INK = "#0072b2"  # of Okabe and Ito's colour-blind safe palette


def write_scatter(uri: str, record: CheckpointRecord) -> list[str]:
    """Draw ``scatter.png`` and ``scatter.svg`` into the checkpoint folder ``uri``; returns their URIs."""
    figure = draw_scatter(storage.read_table(predictions_uri(uri)), record)
    written = []
    for kind in ("png", "svg"):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=130)
        written.append(storage.join(uri, f"scatter.{kind}"))
        storage.write_bytes(written[-1], stream.getvalue())
    return written


def draw_scatter(predictions: pa.Table, record: CheckpointRecord) -> Figure:
    """The figure: for every split that was not trained on, predicted against MOS in native units."""
    splits = list(record.metrics)
    figure = Figure(figsize=(3.6 * len(splits), 4.5), layout="constrained")
    scores = [value for value in predictions["score"].to_pylist() if value is not None]
    low, high = min([record.mos_scale.low, *scores]), max([record.mos_scale.high, *scores])
    for axis, split in zip(figure.subplots(1, len(splits), squeeze=False)[0], splits, strict=True):
        rows = predictions.filter(pc.equal(predictions["split"], split))
        axis.plot([low, high], [low, high], color="0.7", linewidth=1, zorder=1)
        axis.scatter(rows["mos"], rows["score"], s=14, color=INK, alpha=0.6, linewidths=0)
        found = record.metrics[split]
        plcc, srcc = ("none" if value is None else f"{value:.3f}" for value in (found.plcc, found.srcc))
        axis.set_title(f"{split}: n {found.n}\nPLCC {plcc}, SRCC {srcc}", fontsize=10)
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="MOS", ylabel="predicted")
    said = f"{record.model.name} on {record.dataset}"
    if record.synthetic:
        said += " (synthetic demo data)"
    figure.suptitle(said, fontsize=11)
    return figure
