"""Every job with an object store in place of folders: what it writes there, and what it says when that cannot be."""

import runpy
import sys
from pathlib import Path

import pytest

from benchmarks import small_experiment
from halfiqa_ray import storage

ROOT = Path(__file__).parents[2]
JOBS = sorted(file.stem for file in (ROOT / "jobs").glob("*.py"))
LOCAL = {"demo_data"}  # writes photos where they are to be read, into a folder
MORE = {"import_checkpoint": ["--published.file", "s3://no-such-bucket-0/weights.h5"], "query": ["--list"]}


@pytest.mark.parametrize("job", [job for job in JOBS if job not in LOCAL])
def test_no_bucket_ends_every_job_with_a_sentence(cluster, s3_server, job, tmp_path, monkeypatch, capsys):
    small_experiment.write_photos(str(tmp_path / "photos"), 3)
    settings = small_experiment.write_settings(tmp_path / "settings.yaml", str(tmp_path / "photos"))
    more = MORE.get(job, [])
    if job == "reproduce":
        more = ["--reproduce.experiments", f"[{{'data': ['{settings}'], 'models': [['{settings}']]}}]"]
    code = run_job(monkeypatch, job, settings, "s3://no-such-bucket-0/out", *more)
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert told.startswith(f"{job}.py: ")
    assert "s3://no-such-bucket-0" in told
    assert "has no bucket 'no-such-bucket-0'; create it, or correct the name or AWS_ENDPOINT_URL" in told


def run_job(monkeypatch, job, settings, output, *flags):
    """The job in this process, as its command line calls it."""
    monkeypatch.setattr(sys, "argv", small_experiment.command(job, settings, output, *flags)[2:])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "jobs" / f"{job}.py"), run_name="__main__")
    return ended.value.code


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_bucket_holds_the_rows_that_a_folder_holds(cluster, bucket, tmp_path, monkeypatch, capsys):
    """All jobs from photos to report, with photos, checkpoints and output in a bucket, and in a folder."""
    outputs = [str(tmp_path), bucket]
    for place in outputs:
        root, output = f"{place}/my photos", f"{place}/out"
        small_experiment.write_photos(root, 40)
        small_experiment.write_models(output)
        settings = small_experiment.write_settings(tmp_path / "settings.yaml", root)
        for job, flags in small_experiment.IN_TURN:
            assert run_job(monkeypatch, job, settings, output, *flags) == 0, capsys.readouterr().err
    kinds = [kind for kind in small_experiment.KEYS if kind != "tune"]
    first, second = (f"{place}/out" for place in outputs)
    assert all(small_experiment.stored(first, kind) for kind in kinds)
    found = small_experiment.compared(first, second, kinds)
    assert found.equal, found
    names = [
        sorted(file.removeprefix(output) for file in storage.list_files(output, "", True) if "/runs/" not in file)
        for output in (first, second)
    ]
    assert names[0] == names[1]
