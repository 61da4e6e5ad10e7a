"""The training job: Ray Train starts the workers, restarts them when they fail, and keeps the resumable state.

The science is in ``halfiqa_ray.models.fitting.training``; each worker runs one `Fit`.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer, get_device, prepare_model

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings, TrainSettings, fingerprint
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.data.photos.cache import PhotoCache
from halfiqa_ray.data.photos.images import Bounds
from halfiqa_ray.models.backbones import synchronised
from halfiqa_ray.models.base import MosScale, QualityModel
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import (
    CheckpointRecord,
    has_checkpoint,
    package_versions,
    predictions_uri,
    read_record,
    save_checkpoint,
)
from halfiqa_ray.models.fitting.agreement import Agreement, agreement_with_intervals
from halfiqa_ray.models.fitting.optimisers import frozen_parameters
from halfiqa_ray.models.fitting.schedule import derived_seed, stages
from halfiqa_ray.models.fitting.scored_photos import Pixels, ScoredPhotos, photos_of
from halfiqa_ray.models.fitting.targets import soft_labels
from halfiqa_ray.models.fitting.training import Fit, TrainingError
from halfiqa_ray.report.figures.scatter import write_scatter
from halfiqa_ray.runtime.errors import report_errors
from halfiqa_ray.runtime.lock import FolderBusy, holder, locked
from halfiqa_ray.runtime.process_group import OneMachine
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.resources import check_room
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.parts import errors_uri, settle_errors
from halfiqa_ray.training.feed import RayDataPixels
from halfiqa_ray.training.tensorboard import write_events
from halfiqa_ray.training.train_run import RunFolder, best_plcc, describe

STATE_FILE = "fit.pt"
STATES_KEPT = 2
BOOTSTRAP = 1000
# Ray Train takes a worker's report only when it looks at its health, every 2 s by default, and the next report waits.
HEALTH_SECONDS = 0.5
# Torch's threads wait for each other after every operation. By default they spin, and where anything else runs on their
# cores (Ray itself, decoding, another worker) the one that is waited for has to wait for those that spin.
WAITING = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
# glibc gives large blocks of memory back to the system as soon as they are free, and each step then pays for every page
# of its maps again: 8.3 against 11.9 images/s on one core where nothing is frozen.
KEEPING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 28)}
ONE_AT_A_TIME = threading.Lock()  # torch's generator and matplotlib's style are those of the whole process
LOOK_SECONDS = 0.5  # between looks at the run's history for a line to print; 10 times as long for object stores


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
        f"{'GPU' if settings.train.gpu else f'{threads} torch thread' + 's' * (threads > 1)} each\n",
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


def checkpoint_record(
    settings: Settings,
    rows: pa.Table,
    model: QualityModel,
    stage: str,
    epoch: int,
    metrics: dict[str, Agreement],
) -> CheckpointRecord:
    """What is to be known of a model of this run."""
    about = schema.metadata(rows.schema)
    return CheckpointRecord(
        dataset=settings.data.dataset,
        synthetic=bool(about.get("synthetic")),
        mos_scale=model.mos_scale,
        model=settings.model,
        preprocessing=model.preprocessing,
        run=settings.train.run,
        train=settings.train,
        seed=settings.seed,
        stage=stage,
        epoch=epoch,
        split_hash=about["split_hash"],
        metrics=metrics,
        versions=package_versions(),
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


def fit_on_workers(
    settings: Settings, folder: RunFolder, errors: str, judged: bool = True, callbacks: Sequence[Any] = ()
) -> None:
    """Run `worker` under Ray Train until the fit is finished. Raises TrainingError, and RuntimeError without room.

    With ``judged`` the best weights are stored with their agreement with MOS on every other split; without, nothing is
    stored but the history, and no photo outside of training and validation is read. Photos that cannot be read become
    rows below ``errors``.
    """
    train = settings.train
    resources = {"CPU": train.cpus_per_worker} | ({"GPU": 1.0} if train.gpu else {})
    there = check_room("training", resources, train.workers, "set train.workers, cpus_per_worker or gpu otherwise")
    needed = train.workers * train.cpus_per_worker + train.decode_cpus
    if train.feed == "ray_data" and not there.unreadable and there.most("CPU") < needed:
        raise TrainingError(
            f"{train.workers} workers with {train.cpus_per_worker:g} CPU each and one decoding task need {needed:g} "
            f"CPU, but the cluster has {there.most('CPU'):g}: set train.workers or train.cpus_per_worker otherwise"
        )
    if there.grows:
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(settings.compute.node_seconds))
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(HEALTH_SECONDS))
    absolute = settings.model_copy(update={"output": storage.absolute(settings.output)})
    store, path = storage.filesystem(folder.uri)
    one_machine = len(there.nodes) == 1 and not there.grows
    trainer = TorchTrainer(
        worker,
        torch_config=OneMachine() if one_machine else None,
        train_loop_config={
            "settings": absolute.model_dump(mode="json"),
            "folder": storage.absolute(folder.uri),
            "errors": storage.absolute(errors),
            "judged": judged,
            "holder": holder(folder.uri),
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=train.workers, use_gpu=train.gpu, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]  # Ray's stubs show the older one
            name=folder.state.rsplit("/", 1)[-1],
            storage_path=path,
            storage_filesystem=store,
            failure_config=ray.train.FailureConfig(max_failures=train.maximum_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=STATES_KEPT),
            callbacks=list(callbacks),
            worker_runtime_env={
                "env_vars": WAITING | {name: os.environ.get(name, value) for name, value in KEEPING.items()}
            },
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        reasons = getattr(error, "worker_failures", {}).values()
        said = "; ".join(sorted({str(reason).strip().splitlines()[-1] for reason in reasons})) or str(error)
        raise TrainingError(
            folder.failure()
            or f"{said} (after {train.maximum_failures} restarts; the same command goes on from the "
            f"last finished epoch)"
        ) from error
    if message := folder.failure():
        raise TrainingError(message)


def mos_scale_of(rows: pa.Table, settings: Settings) -> MosScale:
    """The MOS scale of a manifest. Raises ValueError when the data set has no scores to learn from."""
    scale = schema.metadata(rows.schema).get("mos_scale")
    if not scale:
        raise ValueError(
            f"data set {settings.data.dataset!r} has no MOS to train on (data.layout {settings.data.layout!r}); "
            f"prepare one with a score list"
        )
    return MosScale(**scale)


def photos_by_split(rows: pa.Table, mos_scale: MosScale) -> dict[str, ScoredPhotos]:
    """The manifest's photos that have MOS, split by split; their places are manifest rows."""
    columns = {
        name: rows[name].to_pylist() for name in ("image_id", "mos", "levels", "mos_std", "split", "source_photo")
    }
    scored = [row for row, mos in enumerate(columns["mos"]) if mos is not None]
    mos = [0.0 if value is None else value for value in columns["mos"]]
    labels = soft_labels(mos, columns["levels"], columns["mos_std"], mos_scale)
    sources = columns["source_photo"]
    splits = sorted({columns["split"][row] for row in scored} - {None})
    if "train" not in splits or "validation" not in splits:
        raise ValueError(
            f"training needs splits named train and validation with MOS; the manifest has {', '.join(splits) or 'none'}"
        )
    return {
        split: photos_of(
            columns["image_id"], mos, labels, [row for row in scored if columns["split"][row] == split], sources
        )
        for split in splits
    }


def torch_threads(settings: TrainSettings) -> int:
    """Torch threads of one worker, when every worker is on this machine."""
    return settings.threads or max(1, len(os.sched_getaffinity(0)) // settings.workers)


def worker(config: dict[str, Any]) -> None:
    """What each Ray Train worker does: its part of the fit, and a state for every epoch."""
    settings = Settings.model_validate(config["settings"])
    folder = RunFolder(config["folder"])
    if folder.failure():
        return
    try:
        _fit(settings, folder, config["errors"], config["judged"], config["holder"])
    except (MemoryError, RuntimeError) as error:
        told = out_of_memory(settings, error) or (error if isinstance(error, TrainingError) else None)
        if told is None:
            raise
        folder.write_failure(str(told))
        raise told from error
    except ValueError as error:  # would come back after a restart
        folder.write_failure(str(error))
        raise


def out_of_memory(settings: Settings, error: BaseException) -> TrainingError | None:
    """What to do when the error is a lack of memory; None when it is another."""
    if not (isinstance(error, MemoryError) or re.search(r"out of memory|can't allocate memory", str(error))):
        return None
    model, train = settings.model, settings.train
    where = "GPU" if train.gpu else "CPU"
    return TrainingError(
        f"out of {where} memory: lower train.batch_size (now {train.batch_size}) or model.height and model.width (now "
        f"{model.height} x {model.width})"
        + (", or set train.precision to bfloat16" if train.gpu else f", or train.cache_bytes (now {train.cache_bytes})")
        + f". It was: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
    )


def pixels_of(settings: Settings, rows: pa.Table) -> Pixels:
    """The photos of a manifest for one worker: kept in memory, or from Ray Data, as ``train.feed`` says."""
    model, train, uris = settings.model, settings.train, rows["uri"].to_pylist()
    scored = rows["mos"].length() - rows["mos"].null_count
    fits = scored * model.height * model.width * 3 <= train.cache_bytes
    if train.feed == "memory" or (train.feed == "auto" and fits):
        return PhotoCache(uris, model.height, model.width, Bounds.of(settings.data), train.cache_bytes)
    return RayDataPixels(uris, model.height, model.width, Bounds.of(settings.data), train.decode_cpus)


def _fit(settings: Settings, folder: RunFolder, errors: str, judged: bool, held_by: str | None) -> None:
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(torch_threads(settings.train))
    torch.backends.cudnn.deterministic = True
    rows = read_manifest(settings.output, settings.data.dataset)
    mos_scale = mos_scale_of(rows, settings)
    photos = photos_by_split(rows, mos_scale)
    torch.manual_seed(settings.seed)
    model = build_model(settings.model, mos_scale).to(get_device())
    if settings.train.sync_batchnorm:
        if not settings.train.gpu:
            raise ValueError("train.sync_batchnorm needs train.gpu: torch synchronises BatchNorm on GPUs only")
        synchronised(model)
    pixels = pixels_of(settings, rows)
    fit = Fit(
        model,
        settings.train,
        settings.seed,
        photos["train"],
        photos["validation"],
        pixels,
        wrap=lambda model: prepare_model(model, move_to_device=False),
        rank=rank,
        world=world,
        add_up=torch.distributed.all_reduce if world > 1 else lambda tensor: None,
    )
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as where:
            fit.load_state(torch.load(Path(where) / STATE_FILE, map_location=get_device(), weights_only=True))
    for report in fit.epochs():
        write_problems(errors, rows, pixels, rank)
        _check_holder(folder, held_by, rank)
        with tempfile.TemporaryDirectory() as where:
            kept = None
            if rank == 0:
                torch.save(fit.state(), Path(where) / STATE_FILE)
                kept = ray.train.Checkpoint.from_directory(where)
            ray.train.report(
                {
                    "epoch": len(fit.history),
                    "loss": report.loss,
                    "plcc": report.plcc,
                    "srcc": report.srcc,
                    "best_plcc": best_plcc(fit.best_report),
                },
                checkpoint=kept,
                checkpoint_dir_name=f"epoch{len(fit.history):05d}",
            )
        if rank == 0:
            folder.write_history(fit.history)
    if rank == 0:
        folder.write_history(fit.history)  # of a fit that was killed after its last state
    others: dict[str, ScoredPhotos] = {}
    if judged:
        fit.restore_best()
        others = {split: chosen for split, chosen in photos.items() if split != "train"}
    scores = {split: fit.scores(chosen) for split, chosen in others.items()}
    write_problems(errors, rows, pixels, rank)
    _check_holder(folder, held_by, rank)
    if judged and rank == 0:
        finish(settings, folder, rows, fit, others, scores)


def _check_holder(folder: RunFolder, held_by: str | None, rank: int) -> None:
    """Raise FolderBusy when another job has taken the run: what this one would write is no longer its own."""
    if rank == 0 and holder(folder.uri) not in (held_by, None):
        raise FolderBusy(f"{folder.uri} was taken over by another job: this one stops")


def finish(
    settings: Settings,
    folder: RunFolder,
    rows: pa.Table,
    fit: Fit,
    judged: dict[str, ScoredPhotos],
    scores: dict[str, np.ndarray],
) -> None:
    """Store the best weights, the predictions they make for the splits not trained on, and the agreement with MOS."""
    best = fit.best_report
    assert best is not None  # noqa: S101  (there is at least one epoch)
    metrics, tables = {}, []
    for split, chosen in judged.items():
        read = np.isfinite(scores[split])
        metrics[split] = agreement_with_intervals(
            scores[split][read],
            chosen.mos_N[read],
            chosen.groups_N[read],
            BOOTSTRAP,
            derived_seed("bootstrap", settings.seed, split),
        )
        columns = [
            pa.array(chosen.image_ids),
            pa.array([split] * len(chosen)),
            pa.array(chosen.mos_N),
            pa.array(scores[split], from_pandas=True),  # NaN becomes null
        ]
        tables.append(pa.table(columns, schema=schema.PREDICTIONS))
    storage.write_table(predictions_uri(folder.uri), pa.concat_tables(tables))
    record = checkpoint_record(settings, rows, fit.model, best.stage, best.epoch, metrics)
    save_checkpoint(folder.uri, fit.model, record)


def write_problems(errors: str, rows: pa.Table, pixels: Pixels, rank: int) -> None:
    """Store what this worker could not read as rows of the errors table."""
    found = [
        {"image_id": rows["image_id"][place].as_py(), "uri": rows["uri"][place].as_py(), "error": kind, "message": said}
        for place, (kind, said) in sorted(pixels.problems.items())
    ]
    if found:
        # A file for each set of photos: a worker that goes on after another does not read all of them again.
        name = f"part-{rank}-{fingerprint([row['image_id'] for row in found])[:8]}.parquet"
        storage.write_table(storage.join(errors, name), pa.Table.from_pylist(found, schema.ERRORS))


@contextmanager
def printed_history(folder: RunFolder, name: str = "") -> Iterator[None]:
    """Print a line for every epoch that the workers publish while the block runs."""
    seen, stop = len(folder.history()), threading.Event()

    def print_new() -> None:
        nonlocal seen
        history = folder.history()
        for report in history[seen:]:
            print(f"{name}{describe(report)}\n", end="", flush=True)  # one write: others may print at the same time
        if len(history) > seen:
            write_events(folder.tensorboard, history)
        seen = len(history)

    def look() -> None:
        while not stop.wait(LOOK_SECONDS * (10 if storage.is_remote(folder.uri) else 1)):
            try:
                print_new()
            except (OSError, ValueError):  # a store that is away for a moment must not end the fit
                continue

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        stop.set()
        looking.join()
        print_new()
