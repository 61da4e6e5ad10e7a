"""Models that come with the package."""

from pathlib import Path

import pytest

from halfiqa_ray.models import shipped
from halfiqa_ray.models.checkpoints import has_checkpoint, load_checkpoint


@pytest.fixture
def weights(tmp_path, monkeypatch):
    for name in ("biq2021/triq", "biq2021/dbcnn"):
        (tmp_path / "weights" / name).mkdir(parents=True)
        (tmp_path / "weights" / name / "model.json").write_text("{}")
    (tmp_path / "weights" / "biq2021" / "unfinished").mkdir()
    monkeypatch.setattr(shipped, "files", lambda package: tmp_path)
    return tmp_path / "weights"


def test_names_are_those_of_complete_folders(weights):
    assert shipped.names() == ["biq2021/dbcnn", "biq2021/triq"]
    assert shipped.resolve("biq2021/triq") == str(weights / "biq2021/triq")


@pytest.mark.parametrize("name", ["./biq2021/triq", "biq2021/unfinished", "s3://a/biq2021/triq", "/biq2021/triq", "x"])
def test_everything_else_is_a_path(weights, name):
    assert shipped.resolve(name) == name


def test_what_is_shipped_can_be_loaded():
    for name in shipped.names():
        folder = shipped.resolve(name)
        assert Path(folder).is_dir()
        assert has_checkpoint(folder)
        _, record = load_checkpoint(folder)
        assert not record.synthetic
