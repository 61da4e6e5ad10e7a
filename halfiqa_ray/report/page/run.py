"""What the page says of a run beside its numbers: model, checkpoint, grid, versions, and the photos that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfiqa_ray import storage
from halfiqa_ray.models.checkpoints import CheckpointError, read_record
from halfiqa_ray.report.names import printable
from halfiqa_ray.report.stored import model_title
from halfiqa_ray.tables.stored.reading import Images, Run
from halfiqa_ray.tables.writing import number

OF_RANK_RUN = ("rank", "zero", "export")  # jobs whose errors are filed under the rank run's key


@dataclass(frozen=True)
class Failed:
    """A photo that a job could not use."""

    stage: str
    image_id: str
    error: str
    message: str


def facts(output: str, run: Run, images: Images) -> dict[str, str]:
    """What was run, by name; what is not known is left out or said."""
    about, grid, scale = run.metadata, run.grid, run.metadata["mos_scale"]
    splits = {name: len(at) for name, at in images.scopes().items() if name != "all"}
    with_mos = int(np.isfinite(images.mos_N).sum())
    found = {
        "Data set": f"{run.dataset} (layout {about.get('layout') or 'unknown'})",
        "Photos": f"{len(images):,}" + (f" ({', '.join(f'{n} {s}' for s, n in splits.items())})" if splits else ""),
        "MOS": f"{with_mos:,} photos" if with_mos else "no scores",
        "Model": f"{model_title(about.get('model'))}, backbone {about.get('backbone') or 'unknown'}",
        "Scale": f"{scale['low']:g} (bad) to {scale['high']:g} (excellent)",
        "Blocks": f"{grid.rows} × {grid.columns}, {grid.subsets:,} subsets of every photo",
        "Rank run": f"{run.key}, made {about.get('created') or 'at an unknown time'}",
        "Checkpoint": str(about.get("checkpoint") or "unknown"),
        "Weights (SHA-256)": str(about.get("checkpoint_sha256") or "unknown"),
    }
    if about.get("native"):
        found["Size"] = "photos scored at their own size"
    found["Photos higher than wide"] = {"rotate": "turned a quarter first"}.get(
        str(about.get("portrait")), "as they are" if about.get("native") else "resized to the same landscape input"
    )
    found |= _agreement(about) | _record(output, run)
    return {name: printable(value) for name, value in found.items()}


def failures(output: str, run: Run) -> list[Failed]:
    """Photos of the data set that some job left out, in the order of stages and names.

    Of the jobs whose errors belong to a rank run only those of this one count.
    """
    found = []
    folder = storage.join(output, "errors")
    for file in storage.list_files(folder, ".parquet", recursive=True):
        where = dict(part.split("=", 1) for part in file[len(folder) + 1 :].split("/")[:-1] if "=" in part)
        stage = where.get("stage", "unknown")
        if where.get("dataset") != run.dataset or (stage in OF_RANK_RUN and where.get("run") != run.key):
            continue
        for row in storage.read_table(file).to_pylist():
            said = [printable(row[name] or "") for name in ("image_id", "error", "message")]
            found.append(Failed(stage, *said))
    return sorted(found, key=lambda one: (one.stage, one.image_id))


def _agreement(about: dict[str, Any]) -> dict[str, str]:
    """How well the checkpoint agrees with MOS, as its record says."""
    try:
        record = read_record(str(about.get("checkpoint")))
    except (CheckpointError, OSError, ValueError):
        return {"Agreement with MOS": "unknown: the checkpoint is not at its place any more"}
    if about.get("checkpoint_sha256") not in (None, record.weights_sha256):
        return {"Agreement with MOS": "unknown: another checkpoint is at its place now"}
    said = [
        f"{split}: PLCC {number(found.plcc) or 'none'}, SRCC {number(found.srcc) or 'none'} (n {found.n})"
        for split, found in record.metrics.items()
    ]
    learned = f"trained on {record.dataset}" + (", synthetic scores" if record.synthetic else "")
    return {"Learned from": learned} | ({"Agreement with MOS": "; ".join(said)} if said else {})


def _record(output: str, run: Run) -> dict[str, str]:
    """Device and versions of the newest finished rank job of this run."""
    files = storage.list_files(storage.join(output, "runs"), f"-{run.key}.json")
    for file in sorted((f for f in files if re.search(r"/rank-[^/]*$", f)), reverse=True):
        record = storage.read_json(file)
        if record.get("status") != "finished":
            continue
        versions = ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
        return {"Device": str(record.get("device", "unknown")), "Versions": versions}
    return {"Versions": f"unknown: no record of a finished rank job of run {run.key} below runs/"}
