"""What the documents show: Python blocks and the notebook are run, command lines are ones that the jobs take."""

import json
import re
import shlex
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from halfiqa_ray.command import JOBS
from halfiqa_ray.commands.table import OWN
from halfiqa_ray.config import parse
from halfiqa_ray.looking.arguments import make_parser as look_parser
from halfiqa_ray.models import shipped
from tests.queries import results
from tests.stages.test_subsets import write_checkpoint

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "cluster" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


def blocks(text, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(file):
    """The words of every job or `halfiqa` command in the shell blocks of a document, or in the comments of a config."""
    text = file.read_text()
    if file.suffix == ".yaml":
        lines = "\n".join(line.removeprefix("#") for line in text.splitlines() if line.startswith("#"))
        shown = [re.sub(r"\(.*?\)", "", lines)]
    else:
        shown = blocks(text, "(?:sh|bash|console)?")
    for block in shown:
        for line in re.sub(r"\\\n", " ", block).splitlines():
            if found := re.search(r"(?:python jobs/(\w+)\.py|^\s*(?:\.venv/bin/)?halfiqa ([\w-]+))(.*)", line):
                words = found.group(3).split("&&")[0].split(" #")[0]
                # Config headers break a long command between words without a mark.
                yield found.group(1) or found.group(2), shlex.split(words, posix=True)


def filled_in(words):
    """The words with what a reader puts in, and without files of settings that an earlier command writes."""
    last = ""
    for word in words:
        full = word.replace("DATASET", "koniq10k").replace("MODEL", "triq").replace("$PWD", "/here")  # as a shell does
        if full == "--config":
            last = full
        elif last == "--config":
            last = ""
            if not full.startswith("results/"):
                yield from ("--config", full)
        else:
            yield "1" if full == "N" else full


def shown_commands():
    return list(_shown_commands())


def _shown_commands():
    for file in [*DOCUMENTS, *CONFIGS]:
        for name, words in commands(file):
            yield pytest.param(name, words, id=f"{file.relative_to(ROOT)}: {name} {' '.join(words)}"[:100])


def test_commands_are_found():
    names = {parameter.values[0] for parameter in shown_commands()}
    assert {"prepare", "train", "rank", "report"} <= names


@pytest.mark.parametrize(("name", "words"), shown_commands())
def test_a_command_line_is_one_that_the_command_takes(name, words):
    name, words = name.replace("-", "_"), list(filled_in(words))
    if name in JOBS:
        parse(f"{name}.py", "", JOBS[name].sections, words)
    elif name == "look":
        look_parser("halfiqa look").parse_args(words)
    else:
        assert name in ("query", *OWN)


def test_the_librarys_examples_run(tmp_path, monkeypatch, capsys):
    """All Python blocks of docs/api.md in turn, with a small model of 3 x 4 tokens in the place of those it names."""
    folder = Path(write_checkpoint(tmp_path / "model", height=96, width=128))
    record = json.loads((folder / "model.json").read_text())
    record["metrics"] = {"test": {"n": 3, "plcc": 0.5, "srcc": 0.5, "rmse": 1.0}}
    (folder / "model.json").write_text(json.dumps(record))
    monkeypatch.setattr(shipped, "resolve", lambda name: str(folder))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        Image.fromarray(rng.integers(0, 255, (96, 128, 3)).astype(np.uint8)).save(name)
    names: dict[str, object] = {}
    for block in blocks((ROOT / "docs" / "api.md").read_text(), "python"):
        exec(compile(block, "docs/api.md", "exec"), names)
    assert "photo.jpg" in capsys.readouterr().out
    assert names["scores"].shape == (2, 4096)
    assert np.isfinite([names["whole"], names["without_left"]]).all()
    assert names["seen"].important_grid.shape == (3, 4)


def test_the_example_of_reading_files_runs(tmp_path, monkeypatch, capsys):
    results.write(tmp_path / "results" / "demo")
    monkeypatch.chdir(tmp_path)
    (block,) = blocks((ROOT / "docs" / "output.md").read_text(), "python")
    names: dict[str, object] = {}
    exec(compile(block, "docs/output.md", "exec"), names)
    assert int(names["half"]).bit_count() == 6
    assert "important half alone" in capsys.readouterr().out


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(out.text for out in cell.outputs if out.output_type == "stream" and out.name == "stdout")


def kinds(cell):
    return {kind for out in cell.outputs for kind in out.get("data", ())}


@pytest.mark.timeout(900)  # it starts a Python of its own, which imports torch
def test_the_notebook_runs_and_gives_what_it_shows(tmp_path):
    """In a Python of its own; numbers may differ in the last digits, as other processors round otherwise."""
    shown, run = (nbformat.read(ROOT / "docs" / "halfiqa.ipynb", as_version=4) for _ in range(2))
    NotebookClient(run, resources={"metadata": {"path": str(tmp_path)}}).execute()
    nbformat.write(run, tmp_path / "run.ipynb")  # to look into
    number = re.compile(r"\s*([-+]?\d+(?:\.\d*)?)")
    for before, now in zip(code_cells(shown), code_cells(run), strict=True):
        assert number.sub(" N", printed(before)) == number.sub(" N", printed(now))
        found = [[float(text) for text in number.findall(printed(cell))] for cell in (before, now)]
        assert found[1] == pytest.approx(found[0], abs=3e-3)
        assert kinds(before) == kinds(now)
    with_plot = next(cell for cell in code_cells(run) if "seen.plot()" in cell.source)
    assert "image/png" in kinds(with_plot)
