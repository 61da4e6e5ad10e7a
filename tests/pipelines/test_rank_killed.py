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
from halfiqa_ray.tables.reading import read_run
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
    ]
    return [sys.executable, str(ROOT / "jobs" / "rank.py"), *flags, *more]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_minus_nine_of_the_driver_loses_and_doubles_nothing(made, tmp_path):  # noqa: F811
    original, checkpoint, _ = made
    outputs = {name: tmp_path / name for name in ("killed", "undisturbed")}
    table = storage.read_table(storage.join(folder(str(original), "small"), "manifest.parquet"))
    for output in outputs.values():
        storage.write_table(storage.join(folder(str(output), "small"), "manifest.parquet"), table)
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    process = subprocess.Popen(command(outputs["killed"], checkpoint), env=environment, start_new_session=True)
    deadline = time.monotonic() + 200
    while not part_rows(outputs["killed"]) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    cut = len(part_rows(outputs["killed"]))
    assert cut > 0
    for output in outputs.values():
        subprocess.run(command(output, checkpoint), env=environment, check=True, timeout=250)
    killed, undisturbed = (read_run(str(output), "small") for output in outputs.values())
    assert sorted(part_rows(outputs["killed"])) == sorted(set(part_rows(outputs["killed"])))
    assert killed.num_rows == PHOTOS - len(BAD)
    assert killed.equals(undisturbed)
    print(f"killed with {cut} of {PHOTOS - len(BAD)} rows written")


def test_bad_settings_end_at_once_and_say_why(tmp_path):
    told = subprocess.run(command(tmp_path, "nowhere"), capture_output=True, text=True, check=False, timeout=120)
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
    for words in ("--rank.grid.rows", "Block rows", "--compute.actors", "--strict", "go on after a stop"):
        assert words in told.stdout
    assert "==SUPPRESS==" not in told.stdout
