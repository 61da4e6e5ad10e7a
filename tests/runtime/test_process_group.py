"""What a training job of several workers on one machine listens on."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.local_ray import listening, processes_of
from tests.training.test_train import make_data

SCRIPT = """
import sys, torch
from halfiqa_ray.config import Settings
from halfiqa_ray.training import train
from tests.models.fitting.test_training import NONE
from tests.training.test_train import settings_for
from pathlib import Path

if __name__ == "__main__":
    settings = settings_for(Path(sys.argv[1]), main={"epochs": 3, "hold_epochs": 0}, finetune=NONE, workers=2)
    print(train.run(settings).epoch)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_training_workers_listen_on_loopback_only(tmp_path):
    make_data(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    mark = f"two-workers-{tmp_path.name}-{os.getpid()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GLOO", "NCCL"))}
    command = [sys.executable, str(script), str(tmp_path)]
    where = environment | {"PYTHONPATH": str(Path.cwd()), "WHOSE": mark}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=where, stdout=log, stderr=subprocess.STDOUT)
    addresses, workers = set(), 0
    while process.poll() is None:
        ours = processes_of(mark)
        addresses |= listening(ours)
        workers = max(workers, sum(is_worker(pid) for pid in ours))
        time.sleep(0.2)
    assert process.returncode == 0, (tmp_path / "log").read_text()
    assert workers == 2
    assert addresses
    assert {address for address in addresses if address not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")} == set()


def is_worker(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::RayTrainWorker")
    except OSError:
        return False
