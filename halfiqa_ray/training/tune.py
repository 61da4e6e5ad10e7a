"""The search job: Ray Tune runs the trials, each a fit by Ray Train, and stops those that fall behind (ASHA).

ASHA is L. Li et al., "A system for massively parallel hyperparameter tuning" (arXiv 1810.05934).

A search resumes from its own files, not by ``Tuner.restore``: that unpickles what it finds in the folder, does not
bring back what the scheduler knew, and fails when the search was killed before Ray's first snapshot. What ended is not
run again, but told to the scheduler; what had started goes on from the state of its last epoch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import ray
import ray.tune
import ray.util.state
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import ASHAScheduler

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.fitting.schedule import stages
from halfiqa_ray.models.fitting.scored_photos import ScoredPhotos
from halfiqa_ray.models.fitting.training import EpochReport, TrainingError
from halfiqa_ray.runtime.capacity import capacity
from halfiqa_ray.runtime.errors import report_errors
from halfiqa_ray.runtime.lock import locked
from halfiqa_ray.runtime.progress import duration
from halfiqa_ray.runtime.record import RunRecord
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.parts import errors_uri, settle_errors
from halfiqa_ray.training.search_space import Trial, check_space, draw_trials, with_values
from halfiqa_ray.training.tensorboard import write_events
from halfiqa_ray.training.train import fit_on_workers, mos_scale_of, photos_by_split, torch_threads
from halfiqa_ray.training.train_run import best_plcc
from halfiqa_ray.training.tune_run import Ended, State, TuneFolder, best_of, trials_text

DRIVER_CPUS = 0.1  # of the process that looks after a trial; it waits
REFUSALS_SHOWN = 3
FINISHED = "finished.txt"  # in the state of a trial that came to its end


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


def most_epochs(planned: Mapping[int, Settings]) -> int:
    """The epochs of the longest trial, in all stages."""
    return max(sum(stage.settings.epochs for stage in stages(settings.train)) for settings in planned.values())


def trial_settings(settings: Settings, trial: Trial) -> Settings:
    """The settings of one trial; those that run at the same time share the cores."""
    values = dict(trial.values)
    if not settings.train.threads:
        values["train.threads"] = max(1, torch_threads(settings.train) // settings.tune.concurrent)
    return with_values(settings, values)


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


@contextlib.contextmanager
def quiet_tune() -> Iterator[None]:
    """Without Ray Tune's log files, tables and warnings, and its own answer to Ctrl-C, which is to look finished."""
    added = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # a trial's error is a row of the table
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def search(
    settings: Settings, folder: TuneFolder, trials: Sequence[Trial], ended: Sequence[Ended], errors: str
) -> None:
    """Run all trials that have not ended, and write down how each ends."""
    planned = {trial.number: trial_settings(settings, trial) for trial in trials}
    left = sorted(planned.keys() - {one.number for one in ended})
    if not left:
        return
    tune = settings.tune
    decided = {number: folder.decided(number) for number in planned}
    before = {one.number: decided.pop(one.number) for one in ended}
    store, path = storage.filesystem(folder.uri)
    trainable = ray.tune.with_parameters(
        trial,
        planned={number: planned[number].model_dump(mode="json") for number in left},
        folder=storage.absolute(folder.uri),
        errors=storage.absolute(errors),
    )
    ray.tune.Tuner(
        ray.tune.with_resources(trainable, {"CPU": DRIVER_CPUS}),
        param_space={"number": ray.tune.grid_search(left)},
        tune_config=ray.tune.TuneConfig(
            scheduler=Halving(most_epochs(planned), tune.grace_epochs, tune.reduction, before, decided),
            max_concurrent_trials=tune.concurrent,
            trial_dirname_creator=trial_name,
            trial_name_creator=trial_name,
        ),
        run_config=ray.tune.RunConfig(
            name=folder.ray.rsplit("/", 1)[-1],
            storage_path=path,
            storage_filesystem=store,
            callbacks=[Follow(folder, trials, ended, settings.compute.progress_seconds)],
            # Of a trial's own process, which waits on any node: it goes with its node, and the trial goes on elsewhere.
            failure_config=ray.tune.FailureConfig(max_failures=settings.train.maximum_failures),
            verbose=0,
        ),
    ).fit()


def trial_name(trial: Any) -> str:
    """A trial's name in Ray's lists."""
    return f"{trial.config['number']:04d}"


def trial(config: dict[str, Any], planned: dict[int, dict[str, Any]], folder: str, errors: str) -> None:
    """What each process of Ray Tune does: the fit of one trial, from its last state if it has one."""
    number = config["number"]
    where = TuneFolder(folder).trial(number)
    settings = Settings.model_validate(planned[number])
    try:
        fit_on_workers(settings, where, errors, judged=False, callbacks=[TuneReportCallback()])
    except TrainingError as error:
        if where.failure() is None:  # its workers died once too often: Ray has started them anew, Tune shall not again
            where.write_failure(str(error))
        return
    storage.write_text(storage.join(where.state, FINISHED), "")


class Halving(ASHAScheduler):
    """ASHA on the validation PLCC of the best epoch so far, that knows the epochs of an earlier start of the search.

    ``before`` has the epochs of trials that have ended, ``started`` of those that go on, by number, as far as an
    earlier start decided on them.
    """

    def __init__(
        self,
        epochs: int,
        grace: int,
        reduction: int,
        before: Mapping[int, Sequence[EpochReport]],
        started: Mapping[int, Sequence[EpochReport]],
    ) -> None:
        super().__init__("epoch", "best_plcc", "max", epochs, grace, reduction, stop_last_trials=False)
        self.started = {**before, **started}
        for number in before:
            self.on_trial_add(None, SimpleNamespace(trial_id=f"before-{number}", config={"number": number}))

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        """Begin to follow a trial, with all epochs that it has run before."""
        super().on_trial_add(controller, trial)
        best = -1.0
        for epoch, report in enumerate(self.started.get(trial.config["number"], ()), 1):
            best = best_plcc(report) if report.best else best
            self.on_trial_result(controller, trial, {"epoch": epoch, "best_plcc": best})


class Follow(TrialProgressCallback):
    """Writes down how each trial ends, and prints it with how far the search is, in place of what Ray Tune prints."""

    def __init__(self, folder: TuneFolder, trials: Sequence[Trial], ended: Sequence[Ended], seconds: float) -> None:
        super().__init__()
        self.folder, self.ended, self.seconds = folder, list(ended), seconds
        self.values = {trial.number: trial.values for trial in trials}
        self.running: dict[int, dict[str, Any]] = {}
        self.printed = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is over."""
        number = trial.config["number"]
        self.running[number] = result
        with contextlib.suppress(OSError):  # a store that is away for a moment must not end the trial
            self.folder.decide(number, result["epoch"])
            write_events(self.folder.trial(number).tensorboard, self.folder.trial(number).history())
        if time.monotonic() - self.printed >= self.seconds:
            self.printed = time.monotonic()
            said = (
                f"trial {number} epoch {one['epoch']} (PLCC {one['best_plcc']:.3f})"
                for number, one in sorted(self.running.items())
            )
            print(f"running: {', '.join(said)}; {self._so_far()}", flush=True)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial came to its end, failed for a reason of its own, or was stopped."""
        number = trial.config["number"]
        where = self.folder.trial(number)
        history, reason = where.history(), where.failure()
        state: State = "failed" if reason else "finished"
        if not (reason or storage.exists(storage.join(where.state, FINISHED))):
            history = self.folder.decided(number)
            state = "stopped" if not history or history[-1].epochs_left else "finished"
        self._end(number, state, reason, history)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's own process died once too often."""
        number = trial.config["number"]
        error = trial.get_pickled_error() or trial.get_error()
        reason = str(error).strip().splitlines()[-1] if error else "unknown"
        self._end(number, "failed", reason, self.folder.trial(number).history())

    def _end(self, number: int, state: State, reason: str | None, history: list[EpochReport]) -> None:
        ended = Ended.of(number, state, reason, history)
        write_events(self.folder.trial(number).tensorboard, history, self.values[number], ended.plcc)
        self.folder.end(ended)
        self.running.pop(number, None)
        self.ended.append(ended)
        # What a search keeps on disk must not grow with its trials. A stopped one may still be writing: then it is the
        # end of the search that clears it.
        with contextlib.suppress(OSError):
            storage.delete_folder(self.folder.trial(number).state)
        found = "none" if ended.plcc is None else f"{ended.plcc:.3f} at {ended.stage} {ended.epoch}"
        why = f" ({reason})" if reason else ""
        epochs = f"{ended.epochs} epoch{'s' * (ended.epochs != 1)}"
        print(
            f"trial {number} {state} after {epochs} in {duration(ended.seconds)}{why}: validation PLCC "
            f"{found}; {self._so_far()}",
            flush=True,
        )

    def _so_far(self) -> str:
        best = best_of(self.ended)
        said = f", best PLCC {best.plcc:.3f} (trial {best.number})" if best else ""
        return f"{len(self.ended)} of {len(self.values)} trials ended{said}"
