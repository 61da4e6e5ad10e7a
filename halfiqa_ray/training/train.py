"""The training job: a model fitted to the scored photos of a manifest, by workers of Ray Train.

The science is in ``halfiqa_ray.models.fitting.training``; each worker runs one `Fit`.
"""

from __future__ import annotations

import threading

import pyarrow as pa
import torch

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import CheckpointRecord, has_checkpoint, read_record, save_checkpoint
from halfiqa_ray.models.fitting.optimisers import frozen_parameters
from halfiqa_ray.models.fitting.schedule import stages
from halfiqa_ray.models.fitting.training import TrainingError
from halfiqa_ray.report.figures.scatter import write_scatter
from halfiqa_ray.runtime.errors import report_errors
from halfiqa_ray.runtime.lock import locked
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.parts import errors_uri, settle_errors
from halfiqa_ray.training.history import printed_history
from halfiqa_ray.training.photos import feeding, mos_scale_of, photos_by_split
from halfiqa_ray.training.run_folder import RunFolder
from halfiqa_ray.training.workers import checkpoint_record, fit_on_workers, torch_threads

ONE_AT_A_TIME = threading.Lock()  # torch's generator and matplotlib's style are those of the whole process


def job(settings: Settings) -> int:
    """`run`, and print the agreement with MOS. Returns the exit code 0."""
    print(summary(run(settings)))
    return 0


def run(settings: Settings, name: str = "") -> CheckpointRecord:
    """Train as ``settings`` say, or go on with the run of that name, or return at once when it is finished.

    ``name`` goes before the line of every epoch, where several models are trained at the same time. Raises DataError
    without a manifest, ValueError for settings that fit no run (RunNameTaken where its name has other settings),
    WeightsError without backbone weights, TrainingError when the fit cannot go on, and FolderBusy when another job
    trains the run.
    """
    rows = read_manifest(settings.output, settings.data.dataset)
    mos_scale, folder = mos_scale_of(rows, settings), RunFolder.of(settings)
    with locked([folder.uri], "train", settings.force) as check_locks:
        try:
            return _run(settings, rows, mos_scale, folder, name)
        except TrainingError:
            check_locks()  # when another job has taken the run, that is what is wrong
            raise


def _run(settings: Settings, rows: pa.Table, mos_scale: MosScale, folder: RunFolder, name: str) -> CheckpointRecord:
    about = schema.metadata(rows.schema)
    folder.claim(settings, about["split_hash"])
    if has_checkpoint(folder.uri):
        print(f"train {settings.train.run}: finished before, in {folder.uri}", flush=True)
        return read_record(folder.uri)
    # Every mistake in the settings shows here, before workers are started and restarted.
    photos = photos_by_split(rows, mos_scale)
    with ONE_AT_A_TIME:
        torch.manual_seed(settings.seed)
        model = build_model(settings.model, mos_scale)
    frozen_parameters(model, settings.train.frozen)
    planned = stages(settings.train)
    folder.clear_failure()
    counts = ", ".join(f"{split} {len(chosen)}" for split, chosen in photos.items())
    threads = torch_threads(settings.train)
    print(
        f"train {settings.train.run}: {settings.model.name} on {settings.model.backbone.name} "
        f"({settings.model.backbone.weights}), {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{settings.model.height} x {settings.model.width} pixels\n  photos with MOS: {counts}\n"
        f"  {settings.train.workers} worker{'s' * (settings.train.workers > 1)}, "
        f"{'GPU' if settings.train.gpu else f'{threads} torch thread' + 's' * (threads > 1)} each\n"
        f"  {feeding(settings, rows)}\n",
        end="",
        flush=True,
    )
    if not planned:
        save_checkpoint(folder.uri, model.eval(), checkpoint_record(settings, rows, model, "untrained", 0, {}))
        return read_record(folder.uri)
    errors = train_errors_uri(settings)
    if not folder.history():  # else the photos that a run before could not read are not all read again
        storage.delete_folder(errors)
    uris = rows["uri"].to_pylist()
    with ray_session(settings, uris), RunRecord.of(settings, "train", fingerprint(settings.train)) as record:
        record.note(split_hash=about["split_hash"], counts={split: len(chosen) for split, chosen in photos.items()})
        with record.timed("train"), printed_history(folder, name):
            fit_on_workers(settings, folder, errors)
        found = read_record(folder.uri)
        failed = settle_errors(errors, set())
        record.note(metrics=found.model_dump(mode="json")["metrics"], failed=failed.num_rows)
    storage.delete_folder(folder.state)
    with ONE_AT_A_TIME:
        write_scatter(folder.uri, found)
    report_errors(failed, errors)
    if settings.strict and failed.num_rows:
        raise TrainingError(f"{failed.num_rows} photos could not be read, and settings are strict")
    return found


def train_errors_uri(settings: Settings) -> str:
    """Folder of the photos that the training run could not read."""
    return errors_uri(
        settings.output, "train", settings.data.dataset, fingerprint([settings.model.name, settings.train.run])
    )


def summary(record: CheckpointRecord) -> str:
    """The agreement with MOS on every split, a line each, for a person."""
    if not record.metrics:
        return "untrained model saved"
    lines = [f"best weights: epoch {record.epoch} of stage {record.stage}, agreement with MOS [95% bootstrap interval]"]
    for split, found in record.metrics.items():
        values = (
            f"{name.upper()} {'none' if value is None else f'{value:.3f}'}"
            + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
            for name, value, interval in (
                ("plcc", found.plcc, found.plcc_interval),
                ("srcc", found.srcc, found.srcc_interval),
                ("rmse", found.rmse, found.rmse_interval),
            )
        )
        lines.append(f"  {split:16} n {found.n:5d}  {'  '.join(values)}")
    if record.synthetic:
        lines.append("  synthetic scores: these numbers say nothing about human judgement")
    return "\n".join(lines)
