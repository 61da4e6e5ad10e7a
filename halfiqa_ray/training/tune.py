"""The search job: settings of a fit tried at random, the best of them kept."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import ray
import ray.util.state

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.fitting.scored_photos import ScoredPhotos
from halfiqa_ray.runtime.capacity import capacity
from halfiqa_ray.runtime.errors import report_errors
from halfiqa_ray.runtime.lock import locked
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.parts import errors_uri, settle_errors
from halfiqa_ray.training.photos import mos_scale_of, photos_by_split
from halfiqa_ray.training.search import DRIVER_CPUS, most_epochs, quiet_tune, search, trial_settings
from halfiqa_ray.training.search_folder import TuneFolder, best_of, trials_text
from halfiqa_ray.training.search_space import Trial, check_space, draw_trials

REFUSALS_SHOWN = 3


class TuningError(RuntimeError):
    """A search that cannot go on or has no result."""


def job(settings: Settings) -> int:
    """`run`, and print the trials. Returns the exit code 0."""
    print(summary(run(settings)))
    return 0


def run(settings: Settings) -> TuneFolder:
    """Search as ``settings`` say, or go on with the search of that name, or return at once when it is finished.

    Raises DataError without a manifest, ValueError for a space or settings that cannot be searched (RunNameTaken where
    the name has other ones), WeightsError without backbone weights, FolderBusy when another job does the search, and
    TuningError when the cluster has no room or every trial failed. A trial that fails is a row with its reason.
    """
    tune, name = settings.tune, f"tune {settings.tune.name}"
    rows = read_manifest(settings.output, settings.data.dataset)
    about, mos_scale = schema.metadata(rows.schema), mos_scale_of(rows, settings)
    photos = photos_by_split(rows, mos_scale)
    check_space(settings)
    folder = TuneFolder.of(settings)
    drawn = folder.draws()
    if drawn is not None:
        folder.claim(settings, about["split_hash"])
    if storage.exists(folder.table):
        print(f"{name}: finished before, in {folder.uri}", flush=True)
        return folder
    trials, refused = drawn or draw_trials(settings, mos_scale)
    planned = {trial.number: trial_settings(settings, trial) for trial in trials}
    epochs = most_epochs(planned)
    if tune.grace_epochs > epochs:
        raise ValueError(f"tune.grace_epochs {tune.grace_epochs} is more than the {epochs} epochs of a trial; lower it")
    # With the weights that trials start from: missing ones show here, before workers are started and restarted.
    build_model(planned[1].model, mos_scale)
    with locked([folder.uri], "tune", settings.force):
        return _run(settings, rows, photos, folder, trials, refused, planned)


def _run(
    settings: Settings,
    rows: pa.Table,
    photos: dict[str, ScoredPhotos],
    folder: TuneFolder,
    trials: list[Trial],
    refused: list[str],
    planned: dict[int, Settings],
) -> TuneFolder:
    tune, name, epochs = settings.tune, f"tune {settings.tune.name}", most_epochs(planned)
    about = schema.metadata(rows.schema)
    folder.claim(settings, about["split_hash"])
    folder.write_draws(trials, refused)
    ended = folder.ended(list(planned))
    lines = [
        f"{name}: {settings.model.name} on {settings.data.dataset}, {len(trials)} trials of at most {epochs} epochs, "
        f"{tune.concurrent} at a time",
        f"  photos with MOS: train {len(photos['train'])}, validation {len(photos['validation'])}; no others are read",
        f"  {len(refused)} combinations were refused and drawn again",
        *(f"    {reason}" for reason in refused[:REFUSALS_SHOWN]),
        f"  {len(ended)} trials ended before",
    ]
    print("\n".join(lines), flush=True)
    errors = errors_uri(settings.output, "tune", settings.data.dataset, fingerprint([settings.model.name, tune.name]))
    session = ray_session(settings, rows["uri"].to_pylist(), dashboard=True)
    with session, RunRecord.of(settings, "tune", fingerprint(settings.tune)) as record:
        check_budget(settings)
        check_dashboard()
        storage.delete_folder(folder.ray)
        with record.timed("tune"), quiet_tune():
            search(settings, folder, trials, ended, errors)
        ended = folder.ended(list(planned))
        if len(ended) < len(trials):
            raise TuningError(f"{len(trials) - len(ended)} trials did not end; the same command goes on with them")
        best = best_of(ended)
        record.note(best=best and {"number": best.number, "plcc": best.plcc}, split_hash=about["split_hash"])
    failed = settle_errors(errors, set())
    folder.write_results(settings, trials, bool(about.get("synthetic")))
    for state in (folder.ray, *(folder.trial(number).state for number in planned)):
        with contextlib.suppress(OSError):  # what a stopped worker still writes is not worth an error
            storage.delete_folder(state)
    report_errors(failed, errors)
    if best is None:
        reasons = sorted({str(one.reason) for one in ended if one.reason}) or ["no validation PLCC is defined"]
        raise TuningError(f"no trial has a result; see {folder.uri}/trials.md. The first reason: {reasons[0]}")
    if settings.strict and failed.num_rows:
        raise TuningError(f"{failed.num_rows} photos could not be read, and settings are strict")
    return folder


def summary(folder: TuneFolder) -> str:
    """The trials of a finished search, best first, and where the best settings are."""
    table = storage.read_table(folder.table)
    lines = [trials_text(table), f"best settings: {folder.best}" if storage.exists(folder.best) else "no best settings"]
    if schema.metadata(table.schema)["synthetic"]:
        lines.append("synthetic scores: these numbers say nothing about human judgement")
    return "\n".join(lines)


def check_budget(settings: Settings) -> None:
    """Raise TuningError when the cluster cannot hold all that runs at the same time: Ray would wait for ever."""
    train, tune = settings.train, settings.tune
    each = {"CPU": DRIVER_CPUS + train.workers * train.cpus_per_worker}
    if train.feed != "memory":
        each["CPU"] += train.decode_cpus
    if train.gpu:
        each["GPU"] = float(train.workers)
    there = capacity()
    for name, share in each.items():
        held = there.most(name)
        if tune.concurrent * share > held and not there.unreadable:
            fitting = int(held / share)
            raise TuningError(
                f"{tune.concurrent} trials at a time need {tune.concurrent * share:g} {name} ({share:g} each: driver, "
                f"{train.workers} workers, decoding), but the cluster has {held:g}; "
                + (f"lower tune.concurrent to {fitting}" if fitting else "lower train.workers or train.cpus_per_worker")
            )


def check_dashboard() -> None:
    """Raise TuningError where Ray's State API does not answer: the CPUs of stopped trials would never be freed.

    It is asked from where Ray Train asks it, by a worker on the head node.
    """
    ask = ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001})(asked_of_dashboard)
    if (said := ray.get(ask.remote())) is not None:
        raise TuningError(
            f"a search needs a Ray cluster with its dashboard (include_dashboard): without it the CPUs of stopped "
            f"trials are never freed. Asking it gave: {said}"
        )


def asked_of_dashboard() -> str | None:
    """What keeps Ray's State API from answering; None when it does."""
    try:
        ray.util.state.list_nodes(limit=1)
    except Exception as error:  # many kinds
        return str(error)
    return None
