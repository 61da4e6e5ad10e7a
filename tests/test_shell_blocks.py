"""Every shell block of the documents and configs is run, in a copy of the project with photos of a reader's own.

What cannot be run, and why, is in `shell_blocks.NOT_RUN`. Blocks run in one folder, one after the other, since later
ones ask for the results of earlier ones: `make demo` comes first.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halfiqa_ray.data.demo.make import make_demo
from tests.shell_blocks import (
    BUILTINS,
    DOCUMENTS,
    NOT_RUN,
    ROOT,
    Block,
    all_blocks,
    blocks_to_run,
    logical,
    of_config,
    reason,
)

BLOCKS = all_blocks()
RUN = blocks_to_run()
WRITES = re.compile(r"make demo|jobs/(?!query)\w+\.py|halfiqa (?!look|query|models|completion|-)[\w-]+")
DASHBOARD, GCS = 8265, 6379  # the ports that `ray start --head` takes
TRY_AGAIN = "No available agent to submit job, please try again later"  # what Ray says while it starts
LAST = 15  # lines of output, of which one says where the results lie


def test_blocks_are_found_and_their_lines_are_whole():
    lines = [line for block in BLOCKS for line in block.lines]
    assert any(line.startswith("make demo") for line in lines)
    assert any(line.startswith("ray job submit") and "jobs/rank.py" in line for line in lines)
    assert not any(line.endswith("\\") or line.startswith("--") for line in lines)
    assert logical("$ a \\\n    --b c # why\n\n# no\nd\n") == ("a --b c", "d")
    assert of_config(ROOT / "configs" / "made_up" / "spaq.yaml")[0].lines == (
        "python jobs/demo_data.py --config configs/made_up/koniq10k.yaml --config configs/made_up/spaq.yaml",
        "python jobs/prepare.py --config configs/made_up/koniq10k.yaml --config configs/made_up/spaq.yaml",
    )


def test_every_reason_for_not_running_a_line_is_needed():
    lines = [line for block in BLOCKS for line in block.lines]
    needed = {reason(line) for line in lines}
    # Patterns that later documents may need stay, but a reason that no line has is a reader's puzzle.
    assert needed - {None} <= set(NOT_RUN.values())
    assert sum(1 for block in RUN for _ in block.run) >= 6


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the tracked files with an environment that is the one of the tests, and a reader's photos."""
    place = tmp_path_factory.mktemp("reader") / "halfiqa_ray"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    environment = place / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "lib64", "include", "share"):
        if (Path(sys.prefix) / name).exists():
            (environment / name).symlink_to(Path(sys.prefix) / name)
    with suppress(FileNotFoundError):  # not a virtual environment
        shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
    for stamp in (".installed", ".installed-test"):  # for make: newer than what it installs from
        (environment / stamp).touch()
    make_demo(str(place / "results/made_up/data/koniq10k"), "koniq10k")
    for folder in ("my_photos", "trip"):
        (place / folder).mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        photo = Image.fromarray(rng.integers(0, 255, (12, 16, 3)).astype(np.uint8)).resize((640, 480))
        photo.save(place / "my_photos" / f"{number}.jpg")
    for name in ("my_photo.jpg", "another.jpg", "trip/a.jpg"):
        shutil.copy(place / "my_photos" / "0.jpg", place / name)
    for document in DOCUMENTS:  # files that a page shows whole, under their names
        for block in re.finditer(
            r"^```\w*\n# ([\w-]+\.(?:yaml|py))\b.*?\n(.*?)^```", document.read_text(), re.M | re.S
        ):
            (place / block[1]).write_text(block[2])
    (place / "scores.csv").write_text("img_name,mos\n0.jpg,3.5\n1.jpg,2.0\n2.jpg,4.25\n")
    return place


@pytest.fixture(scope="module")
def shell(place, tmp_path_factory):
    """Runs the lines of a block as a reader's shell does; what it leaves running (`ray start`) ends with the tests."""
    # Short: Ray puts sockets below it, whose paths may have 107 letters.
    home = Path("/tmp") / f"hq{uuid.uuid4().hex[:6]}"
    home.mkdir()
    mark = f"HALFIQA_SHELL_BLOCKS={uuid.uuid4().hex}"
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AWS_", "PYTEST_"))}
    variables |= {
        "HOME": str(home),
        "RAY_TMPDIR": str(home),
        "PYTHONPATH": str(place),
        "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
        "BROWSER": "true",  # for --open
        "RAY_worker_niceness": "15",
        **dict([mark.split("=")]),
    }

    def run(lines):
        for _ in range(10):
            script = "\n".join(["set -eo pipefail", *lines])
            ran = subprocess.run(
                ["bash", "-c", script], cwd=place, env=variables, capture_output=True, text=True, check=False
            )
            if TRY_AGAIN not in ran.stderr:
                break
            time.sleep(6)
            lines = [line for line in lines if line.split()[0] in BUILTINS or line.startswith("ray job submit")]
        return ran

    yield run
    _end(mark)
    shutil.rmtree(home, ignore_errors=True)


def _end(mark):
    """End the processes that this test started, and no other one: `ray stop` ends every Ray of the machine."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), number)
        time.sleep(3)


def names_results(output, place):
    """Whether one of the last lines names a file or folder that is there."""
    last = [line for line in output.splitlines() if line.strip()][-LAST:]
    words = {word.strip("'\"`,.:;()") for line in last for word in line.split()}
    return any((place / word).exists() for word in words if "/" in word)


def free(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="ends what blocks start by /proc")
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.place)
def test_a_block_does_what_it_shows(block: Block, place, shell):
    if any(line.startswith("ray start") for line in block.run) and not (free(DASHBOARD) and free(GCS)):
        pytest.skip("another Ray has the ports of `ray start --head`")
    ran = shell(block.run)
    print(ran.stdout, ran.stderr, sep="\n")
    assert ran.returncode == 0, f"{block.place} ended with {ran.returncode}: {ran.stderr[-2000:] or ran.stdout[-2000:]}"
    assert "Traceback" not in ran.stderr
    if any(WRITES.search(line) for line in block.run):
        assert names_results(ran.stdout, place)
