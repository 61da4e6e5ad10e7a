"""The training job on Ray, with the smallest model: whole run, resume after a kill, and what it refuses."""

import contextlib
import json
import os
import signal
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboardX.proto import event_pb2

from halfiqa_ray import storage
from halfiqa_ray.config import DataSettings, Settings
from halfiqa_ray.data import manifest
from halfiqa_ray.data.photos.images import open_photo, resize
from halfiqa_ray.models.checkpoints import load_checkpoint, predictions_uri, read_record
from halfiqa_ray.models.fitting.training import TrainingError
from halfiqa_ray.training import train, workers
from halfiqa_ray.training.run_folder import RunFolder, RunNameTaken, differences
from tests.models.fitting.test_training import NONE, TIMES
from tests.models.small import model_settings, train_settings

SPLITS = ["train"] * 8 + ["validation"] * 4 + ["test"] * 4 + ["test_same_photo"] * 2
SPLIT_HASH = "0" * 64


def make_data(root, **metadata):
    """Photos whose brightness is their quality, one without MOS, and their manifest."""
    rng = np.random.default_rng(0)
    rows = []
    for number, split in enumerate([*SPLITS, "test"]):
        mos = float(rng.uniform(1.2, 4.8)) if number < len(SPLITS) else None
        pixels = rng.uniform(0, 55, (70, 100, 3)) + 50 * ((mos or 3) - 1)
        file = root / f"{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(file)
        rows.append(manifest.Row(file.name, str(file), mos=mos, split=split))
    about = {"mos_scale": {"low": 1.0, "high": 5.0}, "synthetic": True, "split_hash": SPLIT_HASH, **metadata}
    table = manifest.to_table(rows, "file", about)
    storage.write_table(storage.join(manifest.folder(str(root / "out"), "dots"), manifest.FILE_NAME), table)


def settings_for(root, **train_changes):
    return Settings(
        output=str(root / "out"),
        data=DataSettings(dataset="dots", root=str(root), layout="koniq10k"),
        model=model_settings(),
        train=train_settings(run="a", threads=1, **train_changes),
    )


@pytest.fixture
def data(tmp_path):
    make_data(tmp_path)
    return tmp_path


def test_trains_resumes_and_returns(cluster, data, capsys):
    settings = settings_for(data, main={"epochs": 10})
    folder = RunFolder.of(settings)
    whole = train.run(settings)
    printed = capsys.readouterr().out
    assert printed.count("validation PLCC") == 12
    assert "main  10/10" in printed
    assert "finetune   2/2" in printed
    assert whole.synthetic
    assert {split: found.n for split, found in whole.metrics.items()} == {
        "validation": 4,
        "test": 4,
        "test_same_photo": 2,
    }
    assert not storage.exists(folder.state)

    # The record's numbers are those of the stored weights.
    model, record = load_checkpoint(folder.uri)
    assert record == whole
    for split in whole.metrics:
        scores, mos = stored_scores(model, data, settings, split)
        assert record.metrics[split].rmse == pytest.approx(np.sqrt(np.mean((scores - mos) ** 2)), rel=1e-5)

    assert train.run(settings) == whole
    assert "finished before" in capsys.readouterr().out
    with pytest.raises(RunNameTaken, match=r"train\.main\.learning_rate: 0\.001 then, 0\.002 now"):
        train.run(settings_for(data, main={"epochs": 10, "learning_rate": 2e-3}))

    # The same run, its worker killed for good in the third epoch or later, then started again: the same weights.
    other = settings.model_copy(update={"output": str(data / "again")})
    table = manifest.read_manifest(settings.output, "dots")
    storage.write_table(storage.join(manifest.folder(other.output, "dots"), manifest.FILE_NAME), table)
    broken = RunFolder.of(other)
    kill_worker_after(broken, 2)
    with pytest.raises(TrainingError, match="the same command goes on from the last finished epoch"):
        train.run(other.model_copy(update={"train": other.train.model_copy(update={"maximum_failures": 0})}))
    before = len(broken.history())
    assert 2 <= before < 12
    again = train.run(other)
    assert again.weights_sha256 == whole.weights_sha256
    assert [strip(report) for report in broken.history()] == [strip(report) for report in folder.history()]
    assert again.metrics == whole.metrics
    assert tensorboard_steps(broken) == tensorboard_steps(folder) == list(range(1, 13))


def tensorboard_steps(folder):
    """Steps of the validation PLCC in the event file, read by the protocol's own classes."""
    (file,) = storage.list_files(folder.tensorboard)
    data, place, steps = storage.read_bytes(file), 0, []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = event_pb2.Event.FromString(data[place + 12 : place + 12 + length])
        steps += [event.step for value in event.summary.value if value.tag == "validation/plcc"]
        place += 16 + length
    return steps


def strip(report):
    """Without times."""
    return {k: v for k, v in vars(report).items() if k not in TIMES}


def kill_worker_after(folder, epochs):
    """SIGKILL to the Ray Train worker of this run once so many epochs are published."""

    def watch():
        while len(folder.history()) < epochs:
            time.sleep(0.005)
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cmdline").read_bytes().startswith(b"ray::RayTrainWorker"):
                    os.kill(int(process.name), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def test_settings_that_fit_no_run_are_told_before_ray_starts(data, monkeypatch):
    monkeypatch.setattr(train, "ray_session", None)
    with pytest.raises(ValueError, match=r"warmup_epochs 9 .* do not fit into train\.main\.epochs 3"):
        train.run(settings_for(data, main={"warmup_epochs": 9}))
    make_data(data, mos_scale=None)
    with pytest.raises(ValueError, match="'dots' has no MOS to train on"):
        train.run(settings_for(data))


def test_differences_name_every_setting():
    before = {"seed": 1, "model": {"height": 64, "triq": {"width": 8}}, "gone": 2}
    now = {"seed": 1, "model": {"height": 96, "triq": {"width": 9}}}
    assert list(differences(before, now)) == [
        "gone: 2 then, None now",
        "model.height: 64 then, 96 now",
        "model.triq.width: 8 then, 9 now",
    ]


def test_machine_settings_may_change_between_resumes(tmp_path):
    first = settings_for(tmp_path, workers=1)
    RunFolder.of(first).claim(first, SPLIT_HASH)
    second = settings_for(tmp_path, workers=2, cache_bytes=5)
    RunFolder.of(second).claim(second, SPLIT_HASH)
    with pytest.raises(RunNameTaken, match="split_hash"):
        RunFolder.of(second).claim(second, "1" * 64)
    assert "workers" not in json.loads((tmp_path / "out/checkpoints/dots/triq/a/settings.json").read_text())["train"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "s3"])
def test_two_workers_share_the_work(cluster, data, where, request):
    """Gradients averaged, validation shared: the stored metrics are those of the stored weights. Also on S3."""
    settings = settings_for(data, main={"epochs": 2, "hold_epochs": 0}, finetune=NONE, workers=2)
    if where == "s3":
        table = manifest.read_manifest(settings.output, "dots")
        settings = settings.model_copy(update={"output": request.getfixturevalue("bucket") + "/out"})
        storage.write_table(storage.join(manifest.folder(settings.output, "dots"), manifest.FILE_NAME), table)
    record = train.run(settings)
    model, _ = load_checkpoint(RunFolder.of(settings).uri)
    for split in ("validation", "test", "test_same_photo"):
        scores, mos = stored_scores(model, data, settings, split)
        assert record.metrics[split].rmse == pytest.approx(np.sqrt(np.mean((scores - mos) ** 2)), rel=1e-4)
    assert not storage.exists(RunFolder.of(settings).state)


def stored_scores(model, data, settings, split):
    """Scores and MOS of a split's photos, from the stored model alone."""
    rows = [r for r in manifest.read_manifest(settings.output, "dots").to_pylist() if r["split"] == split and r["mos"]]
    photos = [resize(open_photo(row["uri"], 10**6), 64, 96) for row in rows]
    with torch.inference_mode():
        scores = model(model.normalise(torch.from_numpy(np.stack(photos)))).score_N.numpy()
    return scores, np.array([row["mos"] for row in rows])


def test_no_epochs_save_the_model_as_it_starts(data):
    """The untrained control of the localisation table: the seed's weights, and no claim about MOS."""
    settings = settings_for(data, main=NONE, finetune=NONE)
    record = train.run(settings)
    assert (record.stage, record.epoch, record.metrics) == ("untrained", 0, {})
    model, _ = load_checkpoint(RunFolder.of(settings).uri)
    torch.manual_seed(settings.seed)
    start = train.build_model(settings.model, model.mos_scale).state_dict()
    assert all(torch.equal(start[name], tensor) for name, tensor in model.state_dict().items())


def test_photos_that_cannot_be_read_are_rows_of_the_errors_table(cluster, data, capsys):
    """One in training, one in the test split: the run goes on without them, and in the end says so, or fails."""
    with pytest.raises(TrainingError, match="2 photos could not be read, and settings are strict"):
        train_without_two(data, "ray_data", strict=True)
    assert_two_are_missing(data, "ray_data")
    assert "2 photos failed (2 not_a_photo)" in capsys.readouterr().out


@pytest.mark.slow
def test_photos_that_cannot_be_read_change_nothing_between_feeds(cluster, data):
    weights = {train_without_two(data, feed).weights_sha256 for feed in ("memory", "ray_data")}
    assert len(weights) == 1
    assert_two_are_missing(data, "memory")


def fed(data, feed, **changes):
    settings = settings_for(data, main={"epochs": 2, "hold_epochs": 0}, finetune=NONE, feed=feed)
    return settings.model_copy(update={"train": settings.train.model_copy(update={"run": feed}), **changes})


def train_without_two(data, feed, **changes):
    """Train on the photos with two of them broken."""
    for number in (0, 13):
        (data / f"{number}.png").write_bytes(b"not a photo")
    return train.run(fed(data, feed, **changes))


def assert_two_are_missing(data, feed):
    """From the metrics, the predictions and nowhere else; and that they are rows of the errors table."""
    settings = fed(data, feed)
    assert read_record(RunFolder.of(settings).uri).metrics["test"].n == 3
    errors = storage.read_table(storage.join(train.train_errors_uri(settings), "errors.parquet")).to_pylist()
    assert [(row["image_id"], row["error"]) for row in errors] == [("0.png", "not_a_photo"), ("13.png", "not_a_photo")]
    predictions = storage.read_table(predictions_uri(RunFolder.of(settings).uri)).to_pylist()
    assert {row["image_id"] for row in predictions if row["score"] is None} == {"13.png"}


@pytest.mark.slow
def test_threads_of_training_workers_spin_briefly_and_then_sleep(cluster, data, monkeypatch):
    told = data / "told.json"
    names = list(workers.WAITING)
    for name in names:
        monkeypatch.delenv(name, raising=False)

    def look(config):
        told.write_text(json.dumps({name: os.environ.get(name) for name in names}))

    monkeypatch.setattr(workers, "worker", look)
    settings = settings_for(data)
    workers.fit_on_workers(settings, RunFolder.of(settings), str(data / "errors"))
    assert json.loads(told.read_text()) == workers.WAITING


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_how_threads_wait_is_left_to_an_environment_that_says_it(name, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert workers.waiting() == workers.WAITING
    monkeypatch.setenv(name, "ACTIVE")
    assert workers.waiting() == {name: "ACTIVE"}  # and nothing of ours, which could overrule it


def test_lack_of_memory_says_which_setting_to_lower():
    settings = Settings(train=train_settings(gpu=True, batch_size=64))
    for error in (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()):
        told = str(workers.out_of_memory(settings, error))
        assert "lower train.batch_size (now 64) or model.height and model.width (now 768 x 1024)" in told
        assert "train.precision to bfloat16" in told
    cpu = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried")
    assert "train.cache_bytes" in str(workers.out_of_memory(Settings(), cpu))
    assert workers.out_of_memory(settings, RuntimeError("shape mismatch")) is None


@pytest.mark.slow
def test_one_and_two_workers_have_the_same_loss_curve(cluster, data):
    """Equal global batches, BatchNorm standing still, no dropout, float32; with live BatchNorm the curves part."""
    curves = {}
    for frozen in ("all", "none"):
        for count in (1, 2):
            settings = settings_for(data, freeze_batchnorm=frozen, workers=count, patience=9)
            still = settings.model.model_copy(update={"triq": settings.model.triq.model_copy(update={"dropout": 0.0})})
            named = settings.train.model_copy(update={"run": f"{frozen}-{count}"})
            settings = settings.model_copy(update={"train": named, "model": still})
            train.run(settings)
            curves[frozen, count] = [report.loss for report in RunFolder.of(settings).history()]
    np.testing.assert_allclose(curves["all", 1], curves["all", 2], rtol=1e-4)
    assert np.abs(np.array(curves["none", 1]) - curves["none", 2]).max() > 1e-3
