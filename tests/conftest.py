"""One Ray session and one S3 server for the whole suite, started only when a test asks for them."""

import functools
import logging
import os
import re
import signal
import socket
from pathlib import Path

# Before anything imports Ray: no token file, and nothing but loopback.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ.pop("RAY_ADDRESS", None)
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
# Beside a second process of tests, threads that spin while they wait would take its core, and Ray's workers, which are
# niced, would wait for it.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("RAY_worker_niceness", "0")

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    S3_PORT = free.getsockname()[1]
# Set now, so that Ray's workers inherit them whichever of the two starts first.
os.environ.update(
    AWS_ENDPOINT_URL=f"http://127.0.0.1:{S3_PORT}",
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_EC2_METADATA_DISABLED="true",
)
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
    os.environ.pop(name, None)

import pytest  # noqa: E402

WITH_RAY = {"cluster", "integration", "pipelines", "runtime", "training"}
"""Folders whose tests start Ray, or share one that runs."""


def pytest_xdist_make_scheduler(config, log):
    """With ``-n 2`` one process takes all tests with Ray, so that one Ray runs, and the other takes files as wholes."""
    from xdist.scheduler import LoadScopeScheduling

    class RayInOneProcess(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return "ray" if uses_ray(config.rootpath / file) else file

    return RayInOneProcess(config, log)


@functools.cache
def uses_ray(file):
    """Whether a file of tests is in one of those folders, or asks for the fixture `cluster`."""
    folder = file.relative_to(Path(__file__).parent).parts[0]
    return folder in WITH_RAY or re.search(r"\bcluster\b", file.read_text()) is not None


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running Ray with 4 logical CPUs; the session that pipelines find and use."""
    import ray

    if "PYTEST_XDIST_WORKER" in os.environ:
        (tmp_path_factory.getbasetemp().parent / "ray").touch(exist_ok=False)  # only one process of tests has it
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=150 * 2**20,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def data_ctx(request):
    """Ray Data's settings, restored after each test that uses the cluster; a stuck test fails within a minute."""
    if "cluster" not in request.fixturenames:
        yield None
        return
    request.getfixturevalue("cluster")
    from ray.data import DataContext

    before = DataContext.get_current()
    context = before.copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = 60
    DataContext._set_current(context)
    yield context
    DataContext._set_current(before)


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server over HTTP on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", S3_PORT, verbose=False)
    server.start()
    yield os.environ["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture
def bucket(s3_server, request):
    """URI of a new, empty bucket."""
    import boto3

    name = f"test-{abs(hash(request.node.nodeid)) % 10**12}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture
def ctrl_c_stops():
    """SIGINT raises KeyboardInterrupt, as in a terminal: what is started in the background is told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
