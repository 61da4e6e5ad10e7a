"""The command `halfiqa`: its subcommands, their help, and what it does with mistakes."""

import os
import subprocess
import sys
import time

import pytest

from halfiqa_ray import __version__, command, main
from halfiqa_ray.command import JOBS

NAMES = [*main.OWN, *main.jobs()]


def halfiqa(*words, code="", **options):
    """What the command prints, and its exit code, in a process of its own."""
    text = f"import sys; {code}\nfrom halfiqa_ray.main import main\nsys.exit(main())"
    return subprocess.run([sys.executable, "-c", text, *words], capture_output=True, text=True, **options)


def test_every_job_is_a_subcommand(capsys):
    assert len(main.jobs()) == 13
    assert main.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in NAMES)
    assert max(map(len, told.splitlines())) <= 102
    assert main.main([]) == 2
    assert main.main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_help_needs_neither_torch_nor_ray(name):
    code = "import atexit; atexit.register(lambda: print(*sys.modules))"
    done = halfiqa(name, "--help", code=code)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: halfiqa {name} ")
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint({"torch", "ray", "matplotlib", "scipy"})
    if name in main.OWN:
        assert loaded.isdisjoint({"pydantic", "jsonargparse", "numpy"})


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_help_is_there_in_half_a_second(name):
    """Of the processor's time, the best of three: a busy machine takes longer by the clock."""
    times = []
    for _ in range(3):
        before = os.times()
        halfiqa(name, "--help")
        after = os.times()
        times.append(after.children_user - before.children_user + after.children_system - before.children_system)
        time.sleep(0.1)
    assert min(times) < 0.6  # half a second here, with room for a slower machine


def test_a_mistyped_command_is_named_with_the_nearest(capsys):
    assert main.main(["rnk"]) == 2
    assert "no command rnk; did you mean rank?" in capsys.readouterr().err


def test_names_may_have_underscores(capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["import_checkpoint", "--help"])
    assert ended.value.code == 0
    assert "usage: halfiqa import-checkpoint" in capsys.readouterr().out


def test_a_job_says_in_one_line_that_ray_is_missing_and_looking_does_not_need_it():
    code = "sys.modules['ray'] = None  # as if it were not installed"
    done = halfiqa("rank", "--data.root", "nowhere", code=code.split("  #")[0])
    assert done.returncode == 2
    assert done.stderr.startswith("halfiqa rank: this job needs Ray (pip install")
    assert len(done.stderr.splitlines()) == 1
    done = halfiqa("look", "nowhere.jpg", "--model", "no/such", code=code.split("  #")[0])
    assert done.returncode == 2
    assert "no model no/such" in done.stderr


def test_another_missing_module_is_no_missing_ray(monkeypatch):
    monkeypatch.setitem(JOBS, "odd", command.Job("", (), "halfiqa_ray.no_such_module:run"))
    with pytest.raises(ModuleNotFoundError):
        command.run_job("odd", [])


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "run_job", interrupted)
    assert main.main(["rank"]) == 130
    assert capsys.readouterr().err == "halfiqa: interrupted\n"


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m halfiqa_ray --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout == "usage: halfiqa COMMAND ...\n"
    assert done.stderr == ""
