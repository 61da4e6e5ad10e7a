"""From a published file to a checkpoint, as the job does it."""

import hashlib
import runpy
import sys

import numpy as np
import pytest
import torch

from halfiqa_ray.models.checkpoints import load_checkpoint
from tests.models.published import keras_models


def job(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["import_checkpoint.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path("jobs/import_checkpoint.py", run_name="__main__")
    return ended.value.code


def test_the_job_writes_a_checkpoint_that_gives_kerass_scores(tmp_path, monkeypatch, capsys):
    values = keras_models.run("triq_score", tmp_path)
    file = tmp_path / "whole.h5"
    arguments = ["--published.file", file, "--published.size", "[64, 96]", "--published.dataset", "spaq"]
    assert job(monkeypatch, "--output", tmp_path, *arguments, "--published.mos_scale", "[0, 100]") == 0
    said = capsys.readouterr().out
    assert "358 tensors matched, none missing, none left over" in said
    assert "encoder: 32 (as encoder.0.attention.query.weight <- dense/kernel)" in said
    assert "https://github.com/junyongyou/triq; licence of that code: MIT" in said
    folder = said.split("checkpoint: ")[1].strip()
    model, record = load_checkpoint(folder)
    pixels_NHWC = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    assert model.normalise(pixels_NHWC).permute(0, 2, 3, 1).numpy() == pytest.approx(
        pixels_NHWC.numpy() / 127.5 - 1, abs=1e-6
    )
    with torch.inference_mode():
        score_N = model(torch.from_numpy(values["images_NHWC"]).permute(0, 3, 1, 2)).score_N
    np.testing.assert_allclose(score_N, (values["output0"][:, 0] - 1) * 25, rtol=1e-4, atol=1e-3)
    assert (record.dataset, record.model.name, record.metrics) == ("spaq", "triq", {})
    assert record.train is record.seed is record.stage is record.epoch is record.split_hash is None
    assert record.source.file_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_job_says_what_is_wrong_and_writes_nothing(tmp_path, monkeypatch, capsys):
    assert job(monkeypatch, "--output", tmp_path / "out") == 2
    assert "set published.file" in capsys.readouterr().err
    (tmp_path / "a.h5").write_bytes(b"no weights")
    assert job(monkeypatch, "--output", tmp_path / "out", "--published.file", tmp_path / "a.h5") == 2
    assert f"cannot read {tmp_path}/a.h5" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
