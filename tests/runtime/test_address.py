"""RAY_ADDRESS: nothing is nothing, and what is no cluster is said in one line, soon."""

import os
import socket
import subprocess
import sys
import threading
import time
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from halfiqa_ray.runtime import address
from tests.data.photo_files import jpeg

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("value", [None, "", " ", "\t", "local", " local "])
def test_no_cluster(monkeypatch, value):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if value is not None:
        monkeypatch.setenv("RAY_ADDRESS", value)
    assert address.given() is None


@pytest.mark.parametrize("value", ["", "  ", "local"])
def test_it_is_taken_away_before_ray_sees_it(value):
    """Ray takes whatever is set for a cluster, and its own session then listens on every address."""
    code = (
        "import os, sys; import halfiqa_ray.runtime; assert 'ray' not in sys.modules\n"
        "print('RAY_ADDRESS' in os.environ, *map(os.environ.get, "
        "('RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER', 'RAY_AUTH_MODE')))"
    )
    environment = {name: each for name, each in os.environ.items() if not name.startswith("RAY_")}
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"RAY_ADDRESS": value},
    )
    assert told.stdout.split() == ["False", "0", "token"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("http://127.0.0.1:8265", "where jobs are submitted"),
        ("https://head", "where jobs are submitted"),
        ("ray://head:10001", "Ray Client"),
        ("redis://head:6379", "no scheme"),
        ("head", "HOST:PORT"),
        ("head:port", "HOST:PORT"),
        (":6379", "HOST:PORT"),
        ("head:0", "HOST:PORT"),
        ("a b:6379", "nothing answers|HOST:PORT"),
        ("head.invalid:6379", "nothing answers"),
    ],
)
def test_what_is_no_cluster(value, said):
    with pytest.raises(address.ClusterError, match=said) as raised:
        address.checked(value)
    assert repr(value) in str(raised.value)
    assert "unset it" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_users_password_is_not_printed():
    with pytest.raises(address.ClusterError) as raised:
        address.checked("http://me:secret@head:8265")
    assert "secret" not in str(raised.value)


@pytest.fixture
def web_server():
    """Something that listens and is no Ray."""
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_something_else_that_listens(web_server, monkeypatch):
    monkeypatch.setattr(address, "ANSWER_SECONDS", 3)
    with pytest.raises(address.ClusterError, match=r"does not answer as Ray's head|RpcError"):
        address.checked(web_server)


def test_a_cluster_that_runs_is_found(cluster):
    import ray

    where = ray.get_runtime_context().gcs_address
    assert address.checked(where) == where


def test_a_dead_address_ends_a_job_in_one_line(tmp_path):
    """With exit code 2, within a minute."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(jpeg())
    with socket.socket() as nothing:
        nothing.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{nothing.getsockname()[1]}"
        where = ["--data.root", str(tmp_path / "photos"), "--output", str(tmp_path / "out")]
        start = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "jobs/prepare.py", *where, "--data.split", "own"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"RAY_ADDRESS": dead, "PYTHONPATH": str(ROOT)},
        )
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.stderr.startswith(f"prepare.py: RAY_ADDRESS is {dead!r}: nothing answers there")
    assert time.monotonic() - start < 60
