"""A disk that fills up while a job writes: the job ends and says so; with room again the same command completes it."""

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from halfiqa_ray import storage
from halfiqa_ray.data.manifest import folder
from halfiqa_ray.tables.stored.reading import read_run
from tests.pipelines.test_rank import BAD, PHOTOS, made, part_rows  # noqa: F401  (a fixture)
from tests.pipelines.test_rank_killed import command

DISK, LEFT = 4 << 20, 120 << 10  # bytes


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of 4 MiB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    told = subprocess.run(mount, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip(f"no file system may be mounted here: {told.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_full_disk_ends_the_run_and_loses_nothing(made, disk, tmp_path):  # noqa: F811
    original, checkpoint, _ = made
    table = storage.read_table(storage.join(folder(str(original), "small"), "manifest.parquet"))
    for output in (disk / "out", tmp_path / "undisturbed"):
        storage.write_table(storage.join(folder(str(output), "small"), "manifest.parquet"), table)

    def run(output):
        flags = ["--rank.measure", "false", "--rank.zero", "false", "--rank.tables", "false"]
        environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
        return subprocess.run(
            command(output, checkpoint, *flags),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - LEFT))
    full = run(disk / "out")
    assert full.returncode == 2
    assert "No space left on device; free some and run the same command again: what is done stays" in full.stderr
    assert "Traceback" not in full.stderr
    before = part_rows(disk / "out")
    assert 0 < len(before) < PHOTOS - len(BAD)
    for file in (disk / "out").rglob("*.parquet"):
        pq.read_table(file, partitioning=None)  # every file that has its name is whole
    assert not [file for file in (disk / "out").rglob(".*") if file.is_file()]

    filler.unlink()
    again = run(disk / "out")
    assert again.returncode == 0, again.stderr
    assert f"{len(before)} finished before" in again.stdout
    assert run(tmp_path / "undisturbed").returncode == 0
    found, expected = read_run(str(disk / "out"), "small"), read_run(str(tmp_path / "undisturbed"), "small")
    assert found.equals(expected)
    assert sorted(part_rows(disk / "out")) == sorted(set(part_rows(disk / "out")))
    print(f"{len(before)} of {PHOTOS - len(BAD)} rows were written before the disk was full", file=sys.stderr)
