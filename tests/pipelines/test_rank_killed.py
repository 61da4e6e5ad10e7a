"""The rank job as a user runs it, killed, and run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halfiqa_ray import storage
from halfiqa_ray.data.manifest import folder
from halfiqa_ray.tables.stored.reading import read_run
from tests.pipelines.small_data import everything, write_data
from tests.pipelines.test_rank import BAD, PHOTOS, made, part_rows  # noqa: F401  (a fixture)

ROOT = Path(__file__).parents[2]


def command(output, checkpoint, *more):
    flags = ["--output", str(output), "--data.dataset", "small", "--rank.checkpoint", checkpoint]
    flags += [
        "--rank.grid.rows",
        "2",
        "--rank.grid.columns",
        "3",
        "--rank.rows_per_file",
        "2",
        "--rank.bootstrap",
        "50",
        "--compute.actors",  # few photos are worked on in the job's own process unless asked otherwise
        "1",
    ]
    return [sys.executable, str(ROOT / "jobs" / "rank.py"), *flags, *more]


def _now(seen):
    try:
        return seen()
    except FileNotFoundError:  # compacted between listing and reading
        return False


def run_and_kill(flags, seen):
    """Start the job as a user does, and kill -9 it with all its workers as soon as ``seen`` is true."""
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    process = subprocess.Popen(flags, env=environment, start_new_session=True)
    deadline = time.monotonic() + 200
    try:
        while not _now(seen) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert seen()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_minus_nine_of_the_driver_loses_and_doubles_nothing(made, tmp_path):  # noqa: F811
    original, checkpoint, _ = made
    outputs = {name: tmp_path / name for name in ("killed", "undisturbed")}
    table = storage.read_table(storage.join(folder(str(original), "small"), "manifest.parquet"))
    for output in outputs.values():
        storage.write_table(storage.join(folder(str(output), "small"), "manifest.parquet"), table)
    alone = ["--rank.measure", "false", "--rank.zero", "false"]
    run_and_kill(command(outputs["killed"], checkpoint, *alone), lambda: part_rows(outputs["killed"]))
    cut = len(part_rows(outputs["killed"]))
    for output in outputs.values():
        environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
        subprocess.run(command(output, checkpoint, *alone), env=environment, check=True, timeout=250)
    killed, undisturbed = (read_run(str(output), "small") for output in outputs.values())
    assert sorted(part_rows(outputs["killed"])) == sorted(set(part_rows(outputs["killed"])))
    assert killed.num_rows == PHOTOS - len(BAD)
    assert killed.equals(undisturbed)
    print(f"killed with {cut} of {PHOTOS - len(BAD)} rows written")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_stream_killed_three_times_gives_the_rows_of_an_undisturbed_run(together, tmp_path):
    """With the first rank rows, with the first zeroed rows of the last model, and in the second pass."""
    output = tmp_path / "killed"
    write_data(output, tmp_path / "photos")
    flags = command(output, str(output / "checkpoints" / "small" / "triq" / "default"), "--rank.tables", "false")
    flags += ["--rank.rows_per_file", "24", "--compute.device", "cpu"]
    flags += ["--measure.frequency.whitening", "data_set", "--measure.frequency.sample", "5"]
    flags += ["--compute.threads", "1"]

    def count(table, ranking=None):
        files = storage.list_files(str(output / table), ".parquet", recursive=True)
        rows = [row for file in files for row in storage.read_table(file).to_pylist()]
        return sum(ranking is None or row["ranking"] == ranking for row in rows)

    points = (lambda: count("rank"), lambda: count("zeroed") > 60, lambda: count("zeroed", "control_other"))
    for seen in points:
        run_and_kill(flags, seen)
        print({table: count(table) for table in ("rank", "measures", "zeroed")})
    subprocess.run(flags, env=os.environ | {"RAY_AUTH_MODE": "disabled"}, check=True, timeout=250)
    assert everything(output) == everything(together)


def test_bad_settings_end_at_once_and_say_why(tmp_path):
    flags = command(tmp_path, "nowhere", "--data.layout", "koniq10k")
    told = subprocess.run(flags, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 2
    assert "jobs/prepare.py" in told.stderr
    assert "Traceback" not in told.stderr


def test_help_explains_every_setting_of_the_job():
    told = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "rank.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for words in (
        "--zero.rankings",
        "jobs/zero.py",
        "--measure.frequency.sample",
        "--rank.grid.rows",
        "Block rows",
        "--compute.actors",
        "--strict",
        "go on after a stop",
    ):
        assert words in " ".join(told.stdout.split())
    assert "==SUPPRESS==" not in told.stdout
