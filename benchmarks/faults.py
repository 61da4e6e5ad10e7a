"""kill -9 of every kind of process, in every stage: what is lost, what is doubled, how long it takes to go on.

A trial copies what its stage needs from an undisturbed run of a small experiment, starts the job as a user does, kills
a process when the job has said that a number of photos (epochs, trials) drawn from the seed is done, and gives the same
command again where the job has ended with it. Then its rows are compared with those of the undisturbed run.

    python -m benchmarks.faults --stages rank --faults driver                        # one cell of the table
    python -m benchmarks.faults --output benchmarks/results/faults.md                # all of it; hours on 2 cores

Every trial is a line of ``trials.jsonl`` in ``--folder``; the table is made of all lines there. What is killed:

- worker: a scoring actor, a decoding task or a training worker, in the job's own Ray;
- driver: the job's own process; its Ray ends with it. driver_twice: and again when it has gone on;
- node: one of two worker nodes of a cluster, with all of its processes; another one is added;
- head: the head of a cluster, with all of its processes; the cluster is started anew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import small_experiment
from benchmarks.local_ray import LocalRay, launch_node, local_ray, processes_of, wait_for
from benchmarks.memory import descendants
from benchmarks.printing import machine, run
from benchmarks.small_experiment import ALONE, DATASET, FITTED, Rows, command
from halfiqa_ray.models.checkpoints import checkpoint_uri, read_record
from halfiqa_ray.training.run_folder import RunFolder

FAULTS = ("worker", "driver", "driver_twice", "node", "head")
WAIT_SECONDS = 900  # for anything: beyond it a trial has failed
NODE_CPUS = 3
PHOTOS_DONE = re.compile(r"^photos (?:decoded|scored|measured|zeroed|explained): ([\d,]+) of", re.MULTILINE)
EPOCH_DONE = re.compile(r"validation PLCC", re.MULTILINE)
TRIAL_MOVED = re.compile(r"^running: |^trial \d+ (?:finished|stopped)", re.MULTILINE)


@dataclass(frozen=True)
class Stage:
    """A job: what it needs of an undisturbed run, what it makes, and how far it may be when something is killed."""

    job: str
    needs: tuple[str, ...]  # folders of the output
    makes: tuple[str, ...]  # kinds of rows
    last: int  # photos, epochs ... done at the latest
    worker: bytes  # the beginning of its process title
    flags: tuple[str, ...] = ()
    done: Callable[[str], int] = lambda said: int((PHOTOS_DONE.findall(said) or ["0"])[-1].replace(",", ""))


STAGES: dict[str, Stage] = {
    "prepare": Stage("prepare", ("checkpoints",), ("manifest",), 16, b"ray::MapBatches"),
    "rank": Stage("rank", ("checkpoints", "manifest"), ("rank",), 24, b"ray::MapWorker", ALONE),
    "measure": Stage("measure", ("checkpoints", "manifest"), ("measures",), 24, b"ray::MapBatches"),
    "zero": Stage("zero", ("checkpoints", "manifest", "rank", "measures"), ("zeroed",), 24, b"ray::MapWorker"),
    "explain": Stage(
        "explain",
        ("checkpoints", "manifest", "rank", "measures"),
        ("explain", "maps"),
        8,
        b"ray::MapWorker",
        ("--explain.zero", "false"),
    ),
    "train": Stage(
        "train", ("manifest",), (), 7, b"ray::RayTrainWorker", FITTED, lambda said: len(EPOCH_DONE.findall(said))
    ),
    "tune": Stage(
        "tune", ("manifest",), ("tune",), 12, b"ray::RayTrainWorker", (), lambda said: len(TRIAL_MOVED.findall(said))
    ),
}


@dataclass(frozen=True)
class Trial:
    """What came of one."""

    stage: str
    fault: str
    seed: int
    at: list[int]  # done when something was killed
    runs: int  # of the command
    rows: int
    lost: int
    doubled: int
    changed: int
    added: int
    seconds: list[float]  # from each kill until more was done than before


class Job:
    """A job that runs, and what it has said so far."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log, self.before = log, log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                arguments, stdout=stream, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True
            )

    @property
    def said(self) -> str:
        """Its output."""
        return self.log.read_bytes()[self.before :].decode(errors="replace")

    def ended(self) -> bool:
        """Whether it has come to an end."""
        return self.process.poll() is not None


def wait(until: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Until it is true; RuntimeError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := until()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s: {what}")
        time.sleep(0.02)
    return found


def titled(pids: Iterable[int], title: bytes) -> list[int]:
    """Those processes whose title begins like this."""
    found = []
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title):
                found.append(pid)
    return sorted(found)


def kill(pids: Iterable[int]) -> None:
    """kill -9, of those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Cluster:
    """A head without CPUs and two worker nodes, all processes of this machine."""

    def __init__(self, head: LocalRay) -> None:
        self.head = head
        self.nodes: list[subprocess.Popen[bytes]] = []

    def join(self) -> None:
        """Start both nodes, one after the other: of two at once on one address one would end after 30 s."""
        for _ in range(2):
            wait_for(*self._launch(), "started")

    def _launch(self) -> tuple[subprocess.Popen[bytes], Path]:
        process, log = launch_node(self.head, NODE_CPUS)
        self.nodes.append(process)
        return process, log

    def lose_node(self, number: int) -> None:
        """Kill a worker node with all of its processes, and add another one."""
        lost = self.nodes.pop(number)
        kill(descendants(lost.pid))
        lost.wait()
        self._launch()

    def lose_head(self) -> None:
        """Kill the head with all of its processes."""
        (control,) = [pid for pid in processes_of(self.head.folder) if b"gcs_server" in _command(pid).split(b"\0")[0]]
        parent = int(Path(f"/proc/{control}/stat").read_text().rsplit(")", 1)[1].split()[1])
        kill(descendants(parent))

    def end(self) -> None:
        """End what is left of it."""
        kill(processes_of(self.head.folder))
        for node in self.nodes:
            kill(descendants(node.pid))
            node.wait()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A `Cluster` for a ``with`` block."""
    # Nodes and drivers give up a dead head after 5 s, not a minute.
    with local_ray(0, environment={"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}, token=False) as head:
        started = Cluster(head)
        try:
            started.join()
            yield started
        finally:
            started.end()


@dataclass
class Bench:
    """The undisturbed run, and a place for trials."""

    folder: Path
    photos: int

    @property
    def settings(self) -> Path:
        """The settings of all jobs."""
        return self.folder / "settings.yaml"

    @property
    def undisturbed(self) -> Path:
        """The output that is compared with."""
        return self.folder / "undisturbed"

    def prepare(self, stages: Iterable[str]) -> None:
        """Run what is not there yet of the undisturbed run, each stage after those that it needs."""
        if not self.settings.exists():
            small_experiment.write_photos(str(self.folder / "photos"), self.photos)
            small_experiment.write_models(str(self.undisturbed))
            small_experiment.write_settings(self.settings, str(self.folder / "photos"))
        wanted = {kind for name in stages for kind in (*STAGES[name].needs, *STAGES[name].makes)}
        for name, stage in STAGES.items():
            done = self.folder / f"{name}.done"
            if not done.exists() and (wanted & set(stage.makes) or name in stages):
                print(f"undisturbed: {name}", flush=True)
                self._finish(Job(self.arguments(stage, self.undisturbed), self.folder / "undisturbed.txt", os.environ))
                done.touch()

    def arguments(self, stage: Stage, output: Path) -> list[str]:
        """The command of a stage."""
        return command(stage.job, self.settings, str(output), *stage.flags)

    def _finish(self, job: Job) -> None:
        wait(job.ended, f"{job.log}: the job should end")
        if job.process.returncode:
            raise RuntimeError(f"exit code {job.process.returncode}:\n{job.said[-3000:]}")

    def rows(self, name: str, output: Path) -> Rows:
        """What a stage has made."""
        if name == "train":
            return fit_rows(output)
        return {
            key: rows for kind in STAGES[name].makes for key, rows in small_experiment.stored(str(output), kind).items()
        }

    def trial(self, name: str, fault: str, seed: int) -> Trial:
        """One trial. Raises RuntimeError when it does not come to an end."""
        stage, draw = STAGES[name], random.Random(f"{seed} {name} {fault}")
        output, log = self.folder / "trial", self.folder / "trial.txt"
        shutil.rmtree(output, ignore_errors=True)
        log.unlink(missing_ok=True)
        for folder in stage.needs:
            shutil.copytree(self.undisturbed / folder, output / folder)
        shutil.rmtree(output / "checkpoints" / DATASET / "triq" / "fitted", ignore_errors=True)
        arguments, moment = self.arguments(stage, output), draw.randint(1, stage.last)
        if fault in ("node", "head"):
            at, seconds, runs = self._in_cluster(stage, arguments, log, fault, moment, draw)
        else:
            at, seconds, runs = self._alone(stage, arguments, log, fault, moment)
        found = small_experiment.compare(self.rows(name, self.undisturbed), self.rows(name, output))
        return Trial(name, fault, seed, at, runs, **asdict(found), seconds=seconds)

    def _alone(
        self, stage: Stage, arguments: list[str], log: Path, fault: str, moment: int
    ) -> tuple[list[int], list[float], int]:
        at, seconds = [], []
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        job = Job(arguments, log, environment)
        for number in range(2 if fault == "driver_twice" else 1):
            at.append(self._reach(stage, job, 1 if number else moment))
            every = descendants(job.process.pid)
            if fault == "worker":
                kill(wait(partial(titled, every, stage.worker), "a worker should be there", 30)[:1])
                seconds.append(self._go_on(stage, job, at[-1], time.monotonic()))
                continue
            started = time.monotonic()
            kill([job.process.pid])
            job.process.wait()
            job = Job(arguments, log, environment)
            seconds.append(self._go_on(stage, job, 0, started))
            kill(every)  # it is only looked at whether it ended by itself: by now it has had the time
        runs = 1 + len(at) if fault != "worker" else 1
        if fault == "worker":
            wait(job.ended, "the job should end")
            if job.process.returncode:
                job, runs = Job(arguments, log, environment), 2
        self._finish(job)
        return at, seconds, runs

    def _in_cluster(
        self, stage: Stage, arguments: list[str], log: Path, fault: str, moment: int, draw: random.Random
    ) -> tuple[list[int], list[float], int]:
        with cluster() as there:
            job = Job(arguments, log, there.head.environment)
            at = self._reach(stage, job, moment)
            started = time.monotonic()
            if fault == "node":
                there.lose_node(draw.randint(0, 1))
                seconds = self._go_on(stage, job, at, started)
                wait(job.ended, "the job should end")
                runs = 1
                if job.process.returncode:
                    runs, job = 2, Job(arguments, log, there.head.environment)
                    seconds = self._go_on(stage, job, 0, started)
                self._finish(job)
                return [at], [seconds], runs
            there.lose_head()
            wait(job.ended, "the job should end when its head is gone")
        with cluster() as again:
            job = Job(arguments, log, again.head.environment)
            seconds = self._go_on(stage, job, 0, started)
            self._finish(job)
        return [at], [seconds], 2

    def _reach(self, stage: Stage, job: Job, moment: int) -> int:
        """Wait until so much is done; how much it is then."""
        wait(lambda: stage.done(job.said) >= moment or job.ended(), "the job should get so far")
        if job.ended():
            raise RuntimeError(f"the job ended before anything was killed:\n{job.said[-3000:]}")
        return stage.done(job.said)

    def _go_on(self, stage: Stage, job: Job, done: int, since: float) -> float:
        """Seconds since a moment until the job has done more, or has ended."""
        wait(lambda: stage.done(job.said) > done or job.ended(), "the job should go on")
        return round(time.monotonic() - since, 1)


def fit_rows(output: Path) -> Rows:
    """The epochs of a fit, but for how long they took, and the hash of its weights."""
    uri = checkpoint_uri(str(output), DATASET, "triq", FITTED[-1])
    found: Rows = {("weights",): [read_record(uri).weights_sha256]}
    for report in RunFolder(uri).history():
        kept = {k: v for k, v in asdict(report).items() if k not in ("seconds", "images_per_second", "finished")}
        found.setdefault((report.stage, str(report.epoch)), []).append(repr(kept))
    return found


def table(trials: Iterable[Trial]) -> list[str]:
    """A row a stage and fault, of all trials."""
    cells: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        cells.setdefault((trial.stage, trial.fault), []).append(trial)
    lines = [
        "| stage | killed | times tried | done then | the command was given | rows | lost | doubled | changed | "
        "not expected | seconds to go on |",
        "|" + "---|" * 11,
    ]
    for name in STAGES:
        for fault in FAULTS:
            if found := cells.get((name, fault)):
                sums = [
                    sum(getattr(trial, each) for trial in found) for each in ("lost", "doubled", "changed", "added")
                ]
                at, seconds = (", ".join(f"{v:g}" for t in found for v in getattr(t, n)) for n in ("at", "seconds"))
                runs = " or ".join(str(n) for n in sorted({trial.runs for trial in found}))
                cell = [name, fault, len(found), at, runs, found[0].rows, *sums, seconds]
                lines.append("| " + " | ".join(map(str, cell)) + " |")
    return lines


def work(options: argparse.Namespace) -> Iterable[str]:
    """The trials that are asked for, then the table of all that are recorded."""
    stages, faults = options.stages.split(","), options.faults.split(",")
    bench = Bench(Path(options.folder).absolute(), options.photos)
    bench.folder.mkdir(parents=True, exist_ok=True)
    bench.prepare(stages)
    records = bench.folder / "trials.jsonl"
    for seed in range(options.seed, options.seed + options.trials):
        for name in stages:
            for fault in faults:
                print(f"{name}, {fault}, seed {seed}", flush=True)
                try:
                    line = asdict(bench.trial(name, fault, seed))
                except RuntimeError as error:
                    line = {"stage": name, "fault": fault, "seed": seed, "failed": str(error)[-1000:]}
                print(f"  {line}", flush=True)
                with records.open("a") as stream:
                    stream.write(json.dumps(line) + "\n")
    every = [json.loads(line) for line in records.read_text().splitlines()]
    failed = [line for line in every if "failed" in line]
    trials = [Trial(**line) for line in every if "failed" not in line]
    bad = sum(bool(t.lost or t.doubled or t.changed or t.added) for t in trials)
    return [
        f"{machine()}, shared with other work: the seconds say little. {options.photos} photos, two untrained models; "
        f"every row compared to the last bit with an undisturbed run.",
        "",
        *table(trials),
        "",
        f"{len(every)} trials, {bad} of them with a row lost, doubled or changed, {len(failed)} that did not end.",
        *(f"- did not end: {line['stage']}, {line['fault']}, seed {line['seed']}" for line in failed),
    ]


if __name__ == "__main__":
    run(
        __doc__,
        work,
        stages=",".join(STAGES),
        faults=",".join(FAULTS),
        trials=1,
        seed=1,
        photos=40,
        folder="results/faults",
    )
