import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from halfiqa_ray.config import Settings
from tests.runtime.listening import LOOPBACK


def test_a_running_session_is_used_and_left_running(cluster, data_ctx):
    import ray

    from halfiqa_ray.runtime.session import ray_session

    with ray_session(Settings()):
        assert ray.data.DataContext.get_current().execution_no_progress_timeout_s == 300
        assert ray.data.range(10).count() == 10
    assert ray.is_initialized()
    assert ray.data.DataContext.get_current() is data_ctx


def session_of(script, home, seconds, before=(), **variables):
    """Run a script in a Python of its own, in an environment without Ray's variables; it must end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    ran = subprocess.run(
        [*before, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment | {"HOME": str(home), **variables},
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 0, ran.stderr
    return ran


SCRIPT = """
import json, os
from tests.runtime.listening import listening
from halfiqa_ray.config import Settings
from halfiqa_ray.runtime.session import ray_session
import ray

with ray_session(Settings()):
    @ray.remote
    def token():
        return os.environ["RAY_AUTH_TOKEN"]
    rows = ray.data.range(5).map_batches(lambda batch: batch).count()
    found = {"rows": rows, "address": ray.get_runtime_context().gcs_address, "mode": os.environ["RAY_AUTH_MODE"],
             "same_token": ray.get(token.remote()) == os.environ["RAY_AUTH_TOKEN"],
             "cpus": ray.cluster_resources()["CPU"], "store": ray.cluster_resources()["object_store_memory"],
             "listening": listening(os.getpid())}
print(json.dumps(found | {"left_running": ray.is_initialized()}))
"""


DASHBOARD = """
import json, os, urllib.error, urllib.request
from halfiqa_ray.config import Settings
from halfiqa_ray.runtime.session import DASHBOARD_ADDRESS, ray_session
from halfiqa_ray.training.tune import check_dashboard

with ray_session(Settings(), dashboard=True):
    check_dashboard()
    address = os.environ[DASHBOARD_ADDRESS]
    try:
        code = urllib.request.urlopen(address + "/api/v0/nodes").status
    except urllib.error.HTTPError as error:
        code = error.code
print(json.dumps({"address": address, "code": code, "left": DASHBOARD_ADDRESS in os.environ}))
"""


def test_a_dashboard_is_private_and_found_beside_another_ray(cluster, tmp_path):
    """Ray Train's cleaner looks for the State API by itself; with two Rays on a machine it must be told where."""
    ran = session_of(DASHBOARD, tmp_path, 200)
    found = json.loads(ran.stdout)
    assert found["address"].startswith("http://127.0.0.1:")
    assert (found["code"], found["left"]) == (401, False)


def test_a_private_session_is_private_and_quiet(tmp_path):
    """Also where RAY_ADDRESS is set to nothing, as compose files and CI do: no cluster to join, and no open port."""
    ran = session_of(SCRIPT, tmp_path, 240, RAY_ADDRESS="")
    assert len(ran.stdout.splitlines()) == 1
    assert ran.stderr == ""
    found = json.loads(ran.stdout)
    assert found["address"].startswith("127.0.0.1:")
    assert found == found | {"rows": 5, "mode": "token", "same_token": True, "left_running": False}
    assert found["cpus"] >= 4
    assert found["store"] <= 2 << 30
    assert sum(found["listening"].values()) >= 3  # Ray's head, raylet and workers
    assert set(found["listening"]) <= LOOPBACK
    assert not (tmp_path / ".ray").exists()


STORE = """
import shutil
from halfiqa_ray.config import Settings
from halfiqa_ray.runtime.session import ray_session
import numpy, ray

with ray_session(Settings()):
    print(shutil.disk_usage("/dev/shm").total >> 20, int(ray.cluster_resources()["object_store_memory"]) >> 20)
    held = [ray.put(numpy.ones(20 << 20, numpy.uint8)) for _ in range(3)]
    print(sum(int(ray.get(one).sum()) for one in held) >> 20)
"""


@pytest.mark.parametrize(("shm", "store"), [(300, 270), (64, None)])
def test_a_small_shm_is_no_end(shm, store, tmp_path):
    """A container's /dev/shm, 64 MiB by default: what is free there is taken, or the store lies on disk."""
    mounted = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={shm}m tmpfs /dev/shm && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*mounted, "true"], capture_output=True).returncode:
        pytest.skip("no right to mount a small /dev/shm here")
    ran = session_of(STORE, tmp_path, 200, before=mounted)
    (seen, given), (kept,) = ([int(number) for number in line.split()] for line in ran.stdout.splitlines())
    assert (seen, kept) == (shm, 60)
    if store:
        assert store - 20 <= given <= store
        assert ran.stderr == ""
    else:
        assert given > shm
        assert "/dev/shm" in ran.stderr
