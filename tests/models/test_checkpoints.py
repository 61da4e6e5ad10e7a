import hashlib
import json

import pytest
import safetensors.torch
import torch

from halfiqa_ray import storage
from halfiqa_ray.models import backbones
from halfiqa_ray.models.base import Preprocessing
from halfiqa_ray.models.checkpoints import (
    CheckpointError,
    CheckpointRecord,
    checkpoint_uri,
    has_checkpoint,
    load_checkpoint,
    package_versions,
    read_record,
    save_checkpoint,
)
from halfiqa_ray.models.fitting.agreement import Agreement
from tests.models.small import KONIQ, model_settings, small_model, train_settings


def record_of(built, **changes):
    facts = {
        "dataset": "dots",
        "synthetic": True,
        "mos_scale": KONIQ,
        "model": model_settings(),
        "preprocessing": built.preprocessing,
        "run": "a",
        "train": train_settings(),
        "seed": 1,
        "stage": "train",
        "epoch": 2,
        "split_hash": "ab",
        "metrics": {"test": Agreement(n=3, plcc=None, srcc=0.5, rmse=0.1)},
        "versions": package_versions(),
    }
    return CheckpointRecord(**{**facts, **changes})


@pytest.fixture
def saved(tmp_path):
    model = small_model(seed=4)
    uri = checkpoint_uri(str(tmp_path), "dots", "triq", "a")
    return uri, model, save_checkpoint(uri, model, record_of(model))


def same(first, second):
    one, two = first.state_dict(), second.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_round_trip(tmp_path, where, request):
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket")
    model = small_model(seed=4)
    uri = checkpoint_uri(root, "dots", "triq", "a")
    assert not has_checkpoint(uri)
    record = save_checkpoint(uri, model, record_of(model))
    assert has_checkpoint(uri)
    loaded, found = load_checkpoint(uri)
    assert found == record == read_record(uri)
    assert uri.endswith("/checkpoints/dots/triq/a")
    same(model, loaded)
    assert not loaded.training
    weights = storage.read_bytes(storage.join(uri, "model.safetensors"))
    assert hashlib.sha256(weights).hexdigest() == record.weights_sha256


def test_the_record_is_plain_json_with_what_others_need(saved):
    content = storage.read_json(storage.join(saved[0], "model.json"))
    assert content["mos_scale"] == {"low": 1.0, "high": 5.0}
    assert content["preprocessing"]["height"] == 64
    intervals = {"plcc_interval": None, "srcc_interval": None, "rmse_interval": None}
    assert content["metrics"]["test"] == {"n": 3, "plcc": None, "srcc": 0.5, "rmse": 0.1, **intervals}
    assert content["synthetic"] is True
    assert content["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_preprocessing_is_the_records_not_the_backbones(tmp_path):
    model = small_model()
    wanted = Preprocessing(64, 96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    save_checkpoint(str(tmp_path), model, record_of(model, preprocessing=wanted))
    assert load_checkpoint(str(tmp_path))[0].preprocessing == wanted


def test_loading_never_asks_the_hub(tmp_path, monkeypatch):
    model = small_model()
    start = model_settings().backbone.model_copy(update={"weights": "pretrained"})
    settings = model_settings(backbone=start)
    save_checkpoint(str(tmp_path), model, record_of(model, model=settings))
    create = backbones.timm().create_model

    def offline(name, pretrained=False, **rest):
        assert not pretrained
        return create(name, pretrained=False, **rest)

    monkeypatch.setattr(backbones.timm(), "create_model", offline)
    loaded, record = load_checkpoint(str(tmp_path))
    same(model, loaded)
    assert record.model.backbone.weights == "pretrained"


def replace_weights(uri, tensors):
    """Weights with a record that vouches for them: only the tensors themselves are wrong."""
    data = safetensors.torch.save(tensors)
    storage.write_bytes(storage.join(uri, "model.safetensors"), data)
    file = storage.join(uri, "model.json")
    content = storage.read_json(file) | {"weights_sha256": hashlib.sha256(data).hexdigest()}
    storage.write_json(file, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("head_output.bias"), r"model\.safetensors lacks 1 tensors: head_output\.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), r"has, and the model has not, 1 tensors: extra"),
        (
            lambda t: t.update({"project.bias": torch.zeros(3)}),
            r"tensor project\.bias has shape \(3,\), the model of model\.json needs \(8,\)",
        ),
    ],
)
def test_weights_of_another_model_are_refused(saved, change, message):
    uri, model, _ = saved
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    change(tensors)
    replace_weights(uri, tensors)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(uri)


def test_damaged_or_missing_files_are_named(saved):
    uri, _, _ = saved
    file = storage.join(uri, "model.safetensors")
    data = bytearray(storage.read_bytes(file))
    data[-1] ^= 1
    storage.write_bytes(file, bytes(data))
    with pytest.raises(CheckpointError, match=r"model\.safetensors has SHA-256"):
        load_checkpoint(uri)
    storage.delete(file)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        load_checkpoint(uri)
    content = storage.read_json(storage.join(uri, "model.json"))
    storage.write_text(storage.join(uri, "model.json"), json.dumps(content | {"unknown": 1}))
    with pytest.raises(CheckpointError, match=r"model\.json is not a checkpoint record of this version: unknown"):
        read_record(uri)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*nowhere"):
        read_record(uri + "/nowhere")
