"""The search job: what it refuses, what it selects and writes, and a real search, killed and run again."""

import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ray.tune.schedulers import ASHAScheduler
from tensorboardX.proto import event_pb2

from benchmarks.faults import titled
from benchmarks.memory import descendants
from halfiqa_ray import schema, storage
from halfiqa_ray.config import TuneSettings, parse
from halfiqa_ray.models.fitting.training import EpochReport, TrainingError
from halfiqa_ray.runtime.capacity import Capacity
from halfiqa_ray.training import search, tune
from halfiqa_ray.training.run_folder import MACHINE, RunFolder, RunNameTaken
from halfiqa_ray.training.search_folder import Ended, TuneFolder, best_of, best_report, best_yaml, trials_table
from halfiqa_ray.training.search_space import SearchSpaceError, Trial, with_values
from tests.training.test_train import SPLIT_HASH, SPLITS, make_data, settings_for, strip

ROOT = Path(__file__).parents[2]
MODELS = ("aihiqnet", "dbcnn", "koncept", "swin_iqa", "triq")
RATE = "train.main.learning_rate"
DROPOUT = "model.triq.dropout"


def search_settings(root, train=None, **changes):
    space = {"space": {RATE: {"log_uniform": [1e-4, 1e-2]}, DROPOUT: {"choice": [0.0, 0.1]}}}
    settings = settings_for(root, **(train or {}))
    return settings.model_copy(update={"tune": TuneSettings(**{"trials": 2, "grace_epochs": 1, **space, **changes})})


def history(*plccs):
    """Epochs with these validation PLCCs, the best so far marked as a fit marks them."""
    reports, best = [], -math.inf
    for number, plcc in enumerate(plccs, 1):
        better = number == 1 or (plcc is not None and plcc > best)
        best = plcc if better and plcc is not None else best
        reports.append(EpochReport("main", number, 9, 1.0, 1e-3, plcc, plcc, 0.1, better, 5.0, 2.0, 9 - number, 0.0))
    return reports


def test_the_best_is_the_best_epoch_of_the_best_trial_that_did_not_fail():
    ended = [
        Ended.of(1, "stopped", None, history(0.2, 0.1)),
        Ended.of(2, "finished", None, history(0.3, 0.8, 0.5)),
        Ended.of(3, "failed", "the loss became nan", history(0.9)),
        Ended.of(4, "finished", None, history(0.8)),
        Ended.of(5, "finished", None, history(None)),
        Ended.of(6, "failed", "out of memory", []),
    ]
    best = best_of(ended)
    assert (best.number, best.stage, best.epoch, best.plcc, best.epochs, best.seconds) == (2, "main", 2, 0.8, 3, 6.0)
    assert best_of([one for one in ended if one.number in (3, 5, 6)]) is None
    assert best_report([]) is None
    assert best_report(history(None, 0.1)).epoch == 2


@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_best_yaml_is_what_train_takes(model, synthetic, tmp_path):
    files = ["--config", str(ROOT / "configs" / "models" / f"{model}.yaml")]
    settings = parse("tune.py", "", ["tune"], [*files, "--tune.name", "mine", "--train.workers", "3"])
    values = {RATE: 1.23e-05, "train.main.decay": "none", "model.koncept.hidden": [64, 8], "model.options.a": 1}
    text = best_yaml(settings, values, Ended.of(7, "finished", None, history(0.5, 0.8125)), synthetic)
    path = tmp_path / "best.yaml"
    path.write_text(text)
    read = parse("train.py", "", ["model", "train"], ["--config", str(path)])
    wanted = with_values(settings, values)
    assert read.model == wanted.model
    assert read.train == wanted.train.model_copy(update={"run": "mine", "workers": 1})
    assert not MACHINE & yaml.safe_load(text)["train"].keys()
    header = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
    assert "Trial 7 of 16 of the search mine" in header
    assert "validation PLCC 0.812 at epoch 2 of stage main" in header
    assert ("SYNTHETIC DATA" in header) == synthetic


def test_the_table_has_a_column_for_every_setting_whatever_its_kind():
    values = [{RATE: 1e-3, "model.options.a": 1}, {RATE: 2e-3, "model.options.a": "b"}]
    trials = [Trial(number, each) for number, each in enumerate(values, 1)]
    ended = [Ended.of(1, "finished", None, history(0.5)), Ended.of(2, "failed", "why | not", [])]
    table = trials_table(trials, ended, synthetic=True)
    assert table.column_names[: len(schema.TRIALS)] == schema.TRIALS.names
    assert table[RATE].to_pylist() == [1e-3, 2e-3]
    assert [json.loads(value) for value in table["model.options.a"].to_pylist()] == [1, "b"]
    assert table["plcc"].to_pylist() == [0.5, None]


def test_a_name_used_with_another_search_is_refused_with_the_differences(tmp_path):
    first = search_settings(tmp_path)
    folder = TuneFolder.of(first)
    folder.claim(first, SPLIT_HASH)
    folder.claim(search_settings(tmp_path, {"workers": 2}, concurrent=3), SPLIT_HASH)  # the machine may change
    other = search_settings(tmp_path, {"batch_size": 2}, space={RATE: {"uniform": [1e-4, 1e-2]}})
    with pytest.raises(RunNameTaken, match=r"tune\.name 'default' was started with other settings") as told:
        folder.claim(other, "1" * 64)
    for line in (
        f"tune.space.{RATE}.log_uniform: [0.0001, 0.01] then, None now",
        "tune.space.model.triq.dropout: {'choice': [0.0, 0.1]} then, None now",
        "train.batch_size: 4 then, 2 now",
        "split_hash",
        "choose another tune.name",
    ):
        assert line in str(told.value)


def test_mistakes_are_told_before_ray_starts_and_leave_nothing(tmp_path, monkeypatch):
    make_data(tmp_path)
    monkeypatch.setattr(tune, "ray_session", None)
    with pytest.raises(SearchSpaceError, match="did you mean"):
        tune.run(search_settings(tmp_path, space={"train.main.learning_rat": {"choice": [1]}}))
    with pytest.raises(ValueError, match="grace_epochs 9 is more than the 5 epochs"):
        tune.run(search_settings(tmp_path, grace_epochs=9))
    assert not (tmp_path / "out" / "tune").exists()
    make_data(tmp_path, mos_scale=None)
    with pytest.raises(ValueError, match="'dots' has no MOS to train on"):
        tune.run(search_settings(tmp_path))


@pytest.mark.parametrize(
    ("train", "concurrent", "message"),
    [
        ({}, 2, None),
        ({"workers": 2, "feed": "memory"}, 1, None),
        ({}, 3, r"3 trials at a time need 4.8 CPU \(1.6 each.* has 4; lower tune.concurrent to 2"),
        ({"workers": 4}, 1, "lower train.workers or train.cpus_per_worker"),
        ({"gpu": True}, 2, "2 trials at a time need 2 GPU .* has 1; lower tune.concurrent to 1"),
    ],
)
def test_what_can_never_run_at_the_same_time_is_told(train, concurrent, message, tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "capacity", lambda: Capacity(({"CPU": 4.0, "GPU": 1.0},)))
    settings = search_settings(tmp_path, train, concurrent=concurrent)
    if message is None:
        tune.check_budget(settings)
        return
    with pytest.raises(tune.TuningError, match=message):
        tune.check_budget(settings)


def test_a_cluster_without_its_dashboard_is_refused(cluster):
    with pytest.raises(tune.TuningError, match="needs a Ray cluster with its dashboard"):
        tune.check_dashboard()


def stand_in(number):
    return SimpleNamespace(trial_id=f"id-{number}", config={"number": number})


def test_a_resumed_scheduler_decides_as_one_that_saw_everything():
    """Trials 1 to 4 ended before the stop, 5 goes on at epoch 3, 6 is new; Ray's own scheduler lives through all."""
    plccs = {
        1: [0.5, 0.4, 0.3, 0.9],
        2: [0.1],
        3: [0.6, 0.7, 0.7, 0.8],
        4: [0.55, 0.1],
        5: [0.6, 0.2, 0.65, 0.7],
        6: [0.3, 0.9, 0.9, 0.9],
    }
    parts = {number: history(*values) for number, values in plccs.items()}
    before, started = {n: parts[n] for n in (1, 2, 3, 4)}, {5: parts[5][:2]}
    resumed = search.Halving(4, 1, 2, before, started)
    lived = ASHAScheduler("epoch", "best_plcc", "max", 4, 1, 2, stop_last_trials=False)

    def decisions(scheduler, number, epochs):
        return [
            scheduler.on_trial_result(None, stand_in(number), {"epoch": epoch, "best_plcc": max(plccs[number][:epoch])})
            for epoch in epochs
        ]

    for number in (1, 2, 3, 4, 5):
        lived.on_trial_add(None, stand_in(number))
        decisions(lived, number, range(1, len(plccs[number] if number < 5 else parts[5][:2]) + 1))
    resumed.on_trial_add(None, stand_in(5))
    for scheduler in (resumed, lived):
        scheduler.on_trial_add(None, stand_in(6))
    assert decisions(resumed, 5, (3, 4)) == decisions(lived, 5, (3, 4))
    found = decisions(resumed, 6, (1, 2, 3, 4))
    assert found == decisions(lived, 6, (1, 2, 3, 4))
    assert found[0] == "STOP"  # 0.3 is below the better half at epoch 1: a scheduler that forgot would go on
    forgot = search.Halving(4, 1, 2, {}, {})
    forgot.on_trial_add(None, stand_in(6))
    assert decisions(forgot, 6, (1,)) == ["CONTINUE"]


@pytest.mark.parametrize("state", ["stopped", "finished", "failed"])
def test_how_a_trial_ended_is_written_down(state, tmp_path, capsys):
    folder = TuneFolder(str(tmp_path / "search"))
    where = folder.trial(3)
    where.write_history(history(0.1, 0.3, 0.9))
    if state == "failed":
        where.write_failure("the loss became nan")
    if state == "finished":
        storage.write_text(storage.join(where.state, search.FINISHED), "")
    follow = search.Follow(folder, [Trial(3, {RATE: 1e-3, "model.options.list": [1]})], [], seconds=0)
    follow.on_trial_result(1, [], stand_in(3), {"epoch": 2, "best_plcc": 0.3})
    assert folder.decided(3) == history(0.1, 0.3, 0.9)[:2]
    assert "running: trial 3 epoch 2 (PLCC 0.300); 0 of 1 trials ended" in capsys.readouterr().out
    follow.on_trial_complete(1, [], stand_in(3))
    (ended,) = folder.ended([1, 2, 3])
    # A stopped trial's workers may have gone on after the epoch that it was stopped for.
    expected = {"stopped": (2, 0.3), "finished": (3, 0.9), "failed": (3, 0.9)}[state]
    assert (ended.state, ended.epochs, ended.plcc) == (state, *expected)
    assert ended.reason == ("the loss became nan" if state == "failed" else None)
    assert not storage.exists(where.state)
    out = capsys.readouterr().out
    assert f"trial 3 {state} after {expected[0]} epochs in {2 * expected[0]} s" in out
    assert "1 of 1 trials ended" in out
    tags = event_values(where.tensorboard)
    assert [value for _, value in tags["validation/plcc"]] == pytest.approx([0.1, 0.3, 0.9][: expected[0]])
    assert tags["validation/best_plcc"] == [(expected[0], pytest.approx(expected[1]))]


def test_workers_that_died_once_too_often_end_their_trial_and_are_not_started_again(tmp_path, monkeypatch):
    def die(*_, **__):
        raise TrainingError("workers died (after 3 restarts)")

    monkeypatch.setattr(search, "fit_on_workers", die)
    monkeypatch.setattr(search, "TuneReportCallback", lambda: None)
    folder = TuneFolder(str(tmp_path / "search"))
    planned = {3: search_settings(tmp_path).model_dump(mode="json")}
    search.trial({"number": 3}, planned, folder.uri, str(tmp_path / "errors"))
    search.Follow(folder, [Trial(3, {RATE: 1e-3})], [], seconds=0).on_trial_complete(1, [], stand_in(3))
    (ended,) = folder.ended([3])
    assert (ended.state, ended.reason) == ("failed", "workers died (after 3 restarts)")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_trial_whose_process_is_killed_goes_on(tmp_path):
    make_data(tmp_path)
    settings = search_settings(
        tmp_path,
        {"main": {"epochs": 8, "warmup_epochs": 0}, "finetune": {"epochs": 0}},
        name="lost",
        trials=1,
        space={RATE: {"choice": [1e-3]}},
    )
    folder, config = TuneFolder.of(settings), tmp_path / "settings.yaml"
    sections = settings.model_dump(mode="json", include={"output", "seed", "data", "model", "train", "tune"})
    config.write_text(yaml.safe_dump(sections))
    process = start_job(config)
    try:
        deadline = time.monotonic() + 300
        while len(folder.trial(1).history()) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (waiting,) = titled(descendants(process.pid), b"ray::ImplicitFunc")
        os.kill(waiting, signal.SIGKILL)
        before = folder.trial(1).history()
        out = process.communicate(timeout=300)[0]
    finally:
        process.kill()
    assert process.returncode == 0, out
    (row,) = storage.read_table(folder.table).to_pylist()
    assert (row["state"], row["epochs"]) == ("finished", 8)
    after = folder.trial(1).history()
    assert after[:1] == before[:1]  # with its time: it was not run again
    assert len(after) == 8


def test_a_trial_whose_process_died_once_too_often_has_failed(tmp_path):
    folder = TuneFolder(str(tmp_path / "search"))
    follow = search.Follow(folder, [Trial(3, {RATE: 1e-3})], [], seconds=0)
    broken = stand_in(3)
    broken.get_pickled_error = lambda: RuntimeError("first\nthe actor died")
    follow.on_trial_error(1, [], broken)
    (ended,) = folder.ended([3])
    assert (ended.state, ended.reason, ended.epochs) == ("failed", "the actor died", 0)


def event_values(uri):
    """(step, value) by tag of an event file, read by the protocol's own classes."""
    (file,) = storage.list_files(uri)
    data, place, found = storage.read_bytes(file), 0, {}
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = event_pb2.Event.FromString(data[place + 12 : place + 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        place += 16 + length
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_killed_and_run_again(tmp_path):
    """Four trials, one of them hopeless; the driver is killed in the second trial or later, and started again.

    A worker takes three of the four CPUs, so that one leaked from a stopped trial would leave the rest waiting. The
    photos of the test splits are not there: a search that looked at them would have rows of errors.
    """
    make_data(tmp_path)
    for number, split in enumerate(SPLITS):
        if split.startswith("test"):
            (tmp_path / f"{number}.png").unlink()
    machine = {"cpus_per_worker": 3, "feed": "memory"}
    settings = search_settings(
        tmp_path,
        {"main": {"epochs": 8, "warmup_epochs": 0}, "finetune": {"epochs": 0}, **machine},
        name="killed",
        trials=4,
        reduction=2,
        space={RATE: {"choice": [1e-4, 1e-3, 4e-3, 1e30]}},
    )
    folder = TuneFolder.of(settings)
    config = tmp_path / "settings.yaml"
    sections = settings.model_dump(mode="json", include={"output", "seed", "data", "model", "train", "tune"})
    config.write_text(yaml.safe_dump(sections))
    numbers = range(1, 5)

    process = start_job(config)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        ended = {one.number for one in folder.ended(numbers)}
        running = [n for n in numbers if n not in ended and len(folder.trial(n).history()) >= 2]
        if ended and running:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    print(process.communicate()[0])
    (going_on,) = running
    half = folder.trial(going_on).history()
    kept = {n: storage.read_bytes(storage.join(folder.trial(n).uri, "trial.json")) for n in ended}

    code, out = run_job(config)
    assert code == 0
    assert f"{len(ended)} trials ended before" in out
    assert all(storage.read_bytes(storage.join(folder.trial(n).uri, "trial.json")) == kept[n] for n in ended)
    whole = folder.trial(going_on).history()
    assert whole[:2] == half[:2]  # with their times: these epochs were not run again
    assert len(whole) > len(half) or len(half) == 8

    table = storage.read_table(folder.table)
    rows = table.to_pylist()
    assert [row["number"] for row in rows] == list(numbers)
    assert sorted(row[RATE] for row in rows) == [1e-4, 1e-3, 4e-3, 1e30]
    (hopeless,) = (row for row in rows if row[RATE] == 1e30)
    assert hopeless["state"] == "failed"
    assert "lower train.main.learning_rate" in hopeless["reason"]
    assert {row["state"] for row in rows} <= {"finished", "stopped", "failed"}
    for row in rows:
        if row["state"] != "failed":
            found = best_report(folder.trial(row["number"]).history()[: row["epochs"]])
            assert (row["plcc"], row["epoch"]) == (found.plcc, found.epoch)
    assert "0 photos failed" in out
    assert not storage.exists(folder.ray)
    assert not any(storage.exists(folder.trial(n).state) for n in numbers)
    assert not (tmp_path / "out" / "checkpoints").exists()

    # The same command again, then the name for another search.
    code, out = run_job(config)
    assert code == 0
    assert "finished before" in out
    code, out = run_job(config, "--tune.trials", "3")
    assert code == 2
    assert "tune.trials: 4 then, 3 now" in out

    # jobs/train.py takes best.yaml, and does what the trial did.
    for number, split in enumerate(SPLITS):
        if split.startswith("test"):
            (tmp_path / f"{number}.png").write_bytes((tmp_path / "0.png").read_bytes())
    more = ("--config", folder.best)
    code, _ = run_job(config, *more, job="train.py")
    assert code == 0
    best = max((row for row in rows if row["state"] != "failed"), key=lambda row: row["plcc"])
    read = parse("train.py", "", ["train"], ["--config", str(config), *more])
    assert (read.train.run, read.train.main.learning_rate) == ("killed", best[RATE])
    steps = [strip(report) for report in RunFolder.of(read).history()]
    assert len(steps) == 8
    assert steps[: best["epochs"]] == [strip(r) for r in folder.trial(best["number"]).history()[: best["epochs"]]]


def start_job(config, *flags, job="tune.py"):
    """A job as a user starts it."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "jobs" / job), "--config", str(config), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
    )


def run_job(*words, seconds=400, **job):
    """A job from start to end: its exit code and what it prints."""
    process = start_job(*words, **job)
    try:
        out = process.communicate(timeout=seconds)[0]
    finally:
        process.kill()
    print(out)
    return process.returncode, out
