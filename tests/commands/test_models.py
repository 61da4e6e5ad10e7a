"""`halfiqa models`, on planted checkpoints."""

import json

import pytest

from halfiqa_ray.commands import models
from halfiqa_ray.models import shipped
from tests.stages.test_subsets import write_checkpoint


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "files", lambda package: tmp_path)
    return tmp_path / "weights"


def plant(folder, card=None, **record):
    write_checkpoint(folder)
    stored = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(stored | record))
    if card is not None:
        (folder / "README.md").write_text(card)


def test_a_row_a_model(weights, capsys):
    metrics = {"validation": {"n": 9, "plcc": 0.1, "srcc": 0.2}, "test": {"n": 200, "plcc": 0.8768, "srcc": 0.8}}
    plant(weights / "d/one", "# One\n\n- Licence: CC BY 4.0\n", dataset="d", synthetic=False, metrics=metrics)
    plant(weights / "d/two", "---\nlicense: apache-2.0\n---\n", metrics={"test_a": {"n": 3, "plcc": None, "srcc": 0.5}})
    plant(weights / "e/three", "# nothing said")
    plant(weights / "e/four")
    assert models.run([], "halfiqa models") == 0
    header, four, one, three, two = [line.split("  ") for line in sorted_lines(capsys.readouterr().out)]
    cells = {row[0]: [cell.strip() for cell in row if cell.strip()] for row in (header, one, two, three, four)}
    assert cells["d/one"] == ["d/one", "triq", "d", "200", "0.877", "0.800", "CC BY 4.0"]
    assert cells["d/two"] == ["d/two", "triq", "demo (made-up scores)", "3", "0.500", "apache-2.0"]
    assert cells["e/three"][-1] == "see README.md"
    assert cells["e/four"][-1] == "not stated"


def sorted_lines(out):
    header, *rows = out.split("\n\n")[0].splitlines()
    return [header, *sorted(rows, key=lambda row: row.split()[0].split("/")[1])]


def test_none_is_said_and_is_no_success(weights, capsys):
    assert models.run([], "halfiqa models") == 1
    assert "No model" in capsys.readouterr().out


def test_models_of_other_packages_are_listed(weights, capsys, monkeypatch):
    plant(weights / "d/one")
    monkeypatch.setattr(models, "offered", lambda: {"sharp": "their-metrics 1.2"})
    assert models.run([], "halfiqa models") == 0
    assert "\noutside:sharp  (their-metrics 1.2)\n" in capsys.readouterr().out
