"""Files of settings by path and by name."""

from pathlib import Path

import pytest

from halfiqa_ray.config import files, parse


def test_names_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing here is called so
    assert {"demo", "data/biq2021", "models/triq", "experiments/paper"} <= set(files.names())
    for name in ("data/biq2021", "data/biq2021.yaml", "configs/data/biq2021.yaml", "configs/data/biq2021"):
        assert Path(files.find(name)).read_text().startswith("#")
        assert parse("x", "", ["data"], [f"--config={name}"]).data.dataset == "biq2021"
        assert parse("x", "", ["data"], ["--config", name, "--data.dataset", "own"]).data.dataset == "own"


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/biq2021").write_text("output: mine\n")
    assert parse("x", "", ["data"], ["--config", "data/biq2021"]).output == "mine"


@pytest.mark.parametrize("words", [["--config", "data/nothing"], ["--config=data/nothing"]])
def test_what_is_nowhere_is_named_with_what_there_is(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse("x", "", ["data"], words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "data/nothing" in said
    assert "data/biq2021" in said
