"""The frame of the jobs: what every one of them has, and what it does with mistakes."""

import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from halfiqa_ray.command import JOBS, Job, run_job
from halfiqa_ray.config import Settings

FOLDER = Path(__file__).parents[1] / "jobs"


def test_every_file_of_the_jobs_is_in_the_table_and_the_other_way_round():
    assert {file.stem for file in FOLDER.glob("*.py")} == {*JOBS, "query"}  # query has its own command line


@pytest.mark.parametrize("name", JOBS)
def test_the_work_of_a_job_is_where_the_table_says(name):
    module, function = JOBS[name].entry.split(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert set(JOBS[name].sections) <= set(Settings.model_fields)


def test_help_and_mistakes_wait_for_no_heavy_import():
    code = (
        "import sys; from halfiqa_ray.command import JOBS, run_job\n"
        "for name in JOBS:\n"
        "    for words in (['--help'], ['--no.such', '1']):\n"
        "        try: run_job(name, words)\n"
        "        except SystemExit: pass\n"
        "print([name for name in ('ray', 'torch', 'pyarrow', 'numpy') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert all(f"usage: {JOBS[name].program or name + '.py'} [--config" in done.stdout for name in JOBS)


@pytest.mark.parametrize(("error", "ends"), [(OSError("no disk"), 2), (ValueError("no such"), 2), (KeyError(1), None)])
def test_what_a_user_can_mend_is_one_line_and_the_rest_a_traceback(error, ends, monkeypatch, capsys):
    def work(settings):
        raise error

    monkeypatch.setitem(JOBS, "odd", Job("", (), f"{__name__}:work"))
    monkeypatch.setattr(sys.modules[__name__], "work", work, raising=False)
    if ends is None:
        with pytest.raises(KeyError):
            run_job("odd", [])
        return
    assert run_job("odd", []) == ends
    assert capsys.readouterr().err == f"odd.py: {error}\n"
    assert run_job("odd", [], "halfiqa odd") == ends
    assert capsys.readouterr().err == f"halfiqa odd: {error}\n"


def test_a_job_takes_the_words_of_its_own_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rank.py", "--no.such", "1"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / "rank.py"), run_name="__main__")
    assert ended.value.code == 2
    assert "--no.such" in capsys.readouterr().err
