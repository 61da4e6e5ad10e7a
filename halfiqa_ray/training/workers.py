"""A fit on the workers of Ray Train: how they are started, and what each of them does.

Ray Train restarts workers that fail, and keeps the state of the last epochs, from which they go on.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer, get_device, prepare_model

from halfiqa_ray import machine, schema, storage
from halfiqa_ray.config import Settings, TrainSettings, fingerprint
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.models.backbones import synchronised
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.checkpoints import CheckpointRecord, package_versions, predictions_uri, save_checkpoint
from halfiqa_ray.models.fitting.agreement import Agreement, agreement_with_intervals
from halfiqa_ray.models.fitting.schedule import derived_seed
from halfiqa_ray.models.fitting.scored_photos import Pixels, ScoredPhotos
from halfiqa_ray.models.fitting.training import Fit, TrainingError
from halfiqa_ray.runtime.lock import FolderBusy, holder
from halfiqa_ray.runtime.process_group import OneMachine
from halfiqa_ray.runtime.resources import check_room
from halfiqa_ray.training.history import PublishedProgress, best_plcc
from halfiqa_ray.training.photos import mos_scale_of, photos_by_split, pixels_of
from halfiqa_ray.training.run_folder import RunFolder

STATE_FILE = "fit.pt"
STATES_KEPT = 2
BOOTSTRAP = 1000
# Ray Train takes a worker's report only when it looks at its health, every 2 s by default, and the next report waits.
HEALTH_SECONDS = 0.5
# Torch's threads wait for each other after every operation. By default they spin, and where anything else runs on their
# cores (Ray itself, decoding, another worker) the one that is waited for has to wait for those that spin. Sleeping at
# once costs speed where nothing else wants the cores (benchmarks/waiting_threads.py): so they spin for some
# microseconds. GNU's OpenMP, torch's own on Linux, knows the count, and then not the policy; others know the policy.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000"}
# glibc gives large blocks of memory back to the system as soon as they are free, and each step then pays for every page
# of its maps again: 8.3 against 11.9 images/s on one core where nothing is frozen. Ray calls the worker in a thread,
# and a thread's own arena gives memory back whatever is set (41 against 50 images/s of Swin-IQA): so there is one.
KEEPING = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 28),
    "MALLOC_ARENA_MAX": "1",
}


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
                "env_vars": waiting() | {name: os.environ.get(name, value) for name, value in KEEPING.items()}
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


def waiting() -> dict[str, str]:
    """`WAITING`, or what the environment says of how threads wait, for workers on other machines too: that alone."""
    return {name: os.environ[name] for name in WAITING if name in os.environ} or WAITING


def torch_threads(settings: TrainSettings) -> int:
    """Torch threads of one worker, when every worker is on this machine."""
    return settings.threads or max(1, machine.cores() // settings.workers)


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
        tell=PublishedProgress(folder, settings.compute.progress_seconds) if rank == 0 else lambda progress: None,
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
