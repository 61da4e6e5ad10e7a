"""The jobs as a user submits them to a cluster: logs and exit codes that come back, a stop, and the going on after it.

Photos, checkpoint and output are in an S3 server on loopback (moto); the cluster is a head on this machine that asks
for a token. With ``--ray`` a second head is started from an environment that has Ray and nothing else, and the job
brings its packages along (cluster/runtime_env.yaml): how long that takes at first, and later. ``--photos 0`` leaves
failing, stopping and going on out.

    make reproduce-demo    # photos and checkpoint
    python -m benchmarks.submit --output benchmarks/results/submit.md [--ray OTHER_VENV/bin/ray]
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from benchmarks.local_ray import LocalRay, local_ray
from benchmarks.printing import machine, run
from benchmarks.s3_server import make_bucket, s3_server, use
from halfiqa_ray import storage
from halfiqa_ray.stages.parts import finished_ids

BUCKET = "s3://demo"
DATASET = "koniq10k-demo"
CHECKPOINT = f"{BUCKET}/checkpoints/{DATASET}/triq/default"
PHOTOS = f"{BUCKET}/data/koniq10k"
DATA = f"--config configs/made_up/koniq10k.yaml --data.root {PHOTOS} --data.split_file {PHOTOS}/split.csv"
RANK = f"{DATA} --rank.checkpoint {CHECKPOINT} --rank.zero false --rank.measure false --rank.tables false"
MANIFEST = f"manifest/dataset={DATASET}/manifest.parquet"
# Of Ray's command line only how a job ended is shown, and nothing of its core's warnings.
RAYS_OWN = re.compile(r"(INFO|WARNING) \w+\.py:\d+ -- |SUCC .* -- (-+$|Job .* submitted)|\[\d{4}-\d\d-\d\d ")
NOISE = re.compile(r"\x1b\[[0-9;]*m|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\s+")


def store(demo: Path) -> None:
    """Put the demo's photos and checkpoint into the bucket."""
    for below in ("data/koniq10k", f"checkpoints/{DATASET}/triq/default"):
        for file in (demo / below).rglob("*"):
            if file.is_file():
                storage.write_bytes(f"{BUCKET}/{file.relative_to(demo)}", file.read_bytes())


class Transcript:
    """What was typed and what came back, with times."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        """Note and print a line."""
        self.lines.append(f"{time.monotonic() - self.start:6.1f} s  {text}")
        print(self.lines[-1], flush=True)

    def type(self, command: str, head: LocalRay) -> tuple[int, str, float]:
        """Run a command line as a user would; its exit code, output and seconds."""
        self.say(f"$ {command}")
        words = [head.ray if word == "ray" else word for word in shlex.split(command)]
        started = time.monotonic()
        ran = subprocess.run(
            words, env=head.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        told = [NOISE.sub("", line).rstrip() for line in ran.stdout.splitlines()]
        for line in told:
            if line and not RAYS_OWN.match(line):
                self.lines.append(f"          {line}")
        self.say(f"exit code {ran.returncode}")
        return ran.returncode, "\n".join(told), time.monotonic() - started


def submit(job: str, flags: str, output: str, name: str, brought: str = "--working-dir .") -> str:
    """The command line that submits a job; ``brought`` is what it brings along, and how it is waited for."""
    return f"ray job submit --submission-id {name} {brought} -- python jobs/{job}.py {flags} --output {output}"


def exact_code(head: LocalRay, name: str) -> str:
    """Status and the driver's own exit code, from Ray's Python client (the command line knows 0 and 1 only)."""
    asked = "from ray.job_submission import JobSubmissionClient; import sys; "
    asked += "info = JobSubmissionClient().get_job_info(sys.argv[1]); print(info.status.value, info.driver_exit_code)"
    python = str(Path(head.ray).with_name("python"))
    ran = subprocess.run([python, "-c", asked, name], env=head.environment, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def rank_rows(output: str) -> pa.Table:
    """Every rank row of an output in S3, by image id; no image may be there twice."""
    files = storage.list_files(f"{output}/rank", ".parquet", recursive=True)
    rows = pa.concat_tables([storage.read_table(file) for file in files]).sort_by("image_id")
    assert len(set(rows["image_id"].to_pylist())) == rows.num_rows
    return rows.replace_schema_metadata(None)


def stopped_and_resumed(told: Transcript, head: LocalRay, flags: str, outputs: tuple[str, str], photos: int) -> None:
    """A rank job stopped in the middle, submitted again, and compared with one that was left alone.

    ``outputs`` hold the same manifest, of so many photos or more, and nothing else.
    """
    stopped, alone = outputs
    rank = f"{flags} --rank.limit {photos} --rank.rows_per_file 8"
    told.type(submit("rank", rank, stopped, "rank-stopped", "--no-wait --working-dir ."), head)
    folder = None
    while folder is None or len(finished_ids(folder)) < photos // 4:
        time.sleep(0.2)
        if files := storage.list_files(f"{stopped}/rank", ".parquet", recursive=True):
            folder = files[0].rsplit("/", 1)[0]
    told.type("ray job stop rank-stopped", head)
    status = exact_code(head, "rank-stopped")
    record = storage.list_files(f"{stopped}/runs", ".json")[-1]
    before = rank_rows(stopped)
    told.say(
        f"JobSubmissionClient: {status}; the run record says {storage.read_json(record)['status']!r}; "
        f"{before.num_rows} of {photos} rows are in whole files"
    )
    assert 0 < before.num_rows < photos
    for output, name in ((stopped, "rank-again"), (alone, "rank-alone")):
        code, text, _ = told.type(submit("rank", rank, output, name), head)
        assert code == 0, text
    same = rank_rows(stopped).equals(rank_rows(alone))
    told.say(f"rows of the stopped and resumed run and of the undisturbed one: {'equal' if same else 'DIFFERENT'}")
    assert same
    assert rank_rows(alone).num_rows == photos


def prepared(told: Transcript, head: LocalRay) -> None:
    """Submit the job whose manifest all others need."""
    told.type(submit("prepare", DATA, f"{BUCKET}/results", "prepare"), head)
    told.say(f"JobSubmissionClient: {exact_code(head, 'prepare')}")


def core(told: Transcript, head: LocalRay, photos: int) -> None:
    """Submit, fail, stop, resume."""
    output = f"{BUCKET}/results"
    rank = f"{RANK} --rank.limit 48"
    code, text, _ = told.type(submit("rank", rank, output, "rank"), head)
    told.say(f"JobSubmissionClient: {exact_code(head, 'rank')}")
    assert code == 0
    assert "photos scored: 48 of 48" in text
    code, text, _ = told.type(submit("rank", f"{rank} --compute.device cuda", output, "no-gpu"), head)
    told.say(f"JobSubmissionClient: {exact_code(head, 'no-gpu')} (2: a mistake in the settings, or what cannot be had)")
    assert code == 1
    assert "the cluster has 0 GPUs" in text
    assert exact_code(head, "no-gpu") == "FAILED 2"
    outputs = f"{BUCKET}/stopped", f"{BUCKET}/alone"
    for each in outputs:
        storage.write_bytes(f"{each}/{MANIFEST}", storage.read_bytes(f"{output}/{MANIFEST}"))
    stopped_and_resumed(told, head, RANK, outputs, photos)


def with_its_packages(told: Transcript, head: LocalRay) -> None:
    """The same job on nodes that have Ray only, twice: packages are installed for the first one."""
    took = []
    for name in ("first", "second"):
        output = f"{BUCKET}/{name}"
        storage.write_bytes(f"{output}/{MANIFEST}", storage.read_bytes(f"{BUCKET}/results/{MANIFEST}"))
        brought = "--working-dir . --runtime-env cluster/runtime_env.yaml"
        code, text, seconds = told.type(submit("rank", f"{RANK} --rank.limit 24", output, name, brought), head)
        assert code == 0, text
        took.append(seconds)
    told.say(f"with cluster/runtime_env.yaml: {took[0]:.0f} s at first use, {took[1]:.0f} s at the second")


def work(options: argparse.Namespace) -> Iterable[str]:
    """The whole transcript."""
    told = Transcript()
    with s3_server() as url:
        use(url)
        make_bucket(url, BUCKET.removeprefix("s3://"))
        store(Path(options.demo))
        with local_ray(4) as head:
            prepared(told, head)
            if options.photos:
                core(told, head, options.photos)
        if options.ray:
            with local_ray(4, ray=options.ray) as head:
                with_its_packages(told, head)
    lines = [line.replace(options.ray or "\0", "ray") for line in told.lines]
    return [
        f"{machine()}; S3 is moto on loopback; AWS_... and RAY_AUTH_... are set in the shell.",
        "",
        "```",
        *lines,
        "```",
    ]


if __name__ == "__main__":
    run(__doc__, work, demo="results/made_up", photos=240, ray="")
