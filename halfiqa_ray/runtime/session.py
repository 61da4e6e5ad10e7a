"""The Ray session of a job: the cluster it was submitted to, or a private one on this machine."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import ray
import ray.data

from halfiqa_ray import machine
from halfiqa_ray.collecting import no_collections
from halfiqa_ray.config import Settings
from halfiqa_ray.runtime import address, room
from halfiqa_ray.runtime.capacity import capacity
from halfiqa_ray.runtime.nodes import check_nodes
from halfiqa_ray.runtime.task_errors import plain_task_errors

LEAST_CPUS = 4
MOST_OBJECT_STORE, LEAST_OBJECT_STORE = 2 * 2**30, 128 * 2**20
SHARE_OF_SHM = 0.9
NO_PROGRESS_SECONDS = 300
LOOPBACK = "127.0.0.1"
DASHBOARD_ADDRESS = "RAY_API_SERVER_ADDRESS"  # a variable of Ray


@contextmanager
def ray_session(settings: Settings, photos: Sequence[str] | None = None, dashboard: bool = False) -> Iterator[None]:
    """Ray for the length of a ``with`` block; with ``photos`` (URIs), once every node reaches them and the output.

    Raises PreflightError when one does not, and ClusterError when there is no cluster at RAY_ADDRESS, or when this
    machine has no room for a session (`room`). A session that runs already is used and left running; with RAY_ADDRESS
    set (as in a submitted job) that cluster is joined; otherwise a private session on loopback is started, and ended
    with the block. With ``dashboard`` that one has Ray's web page and State API too, on loopback and behind its token.
    """
    running = ray.is_initialized()
    private_dashboard = dashboard and not running and not address.given()
    folder = None if running else _start(dashboard)
    before = ray.data.DataContext.get_current()
    try:
        if photos is not None:
            check_nodes(settings.output, photos)
        ray.data.DataContext._set_current(_data_context(before, settings))
        with plain_task_errors():
            yield
    finally:
        ray.data.DataContext._set_current(before)
        if not running:
            ray.shutdown()
            room.leave(folder)
            if private_dashboard:
                del os.environ[DASHBOARD_ADDRESS]


def _start(dashboard: bool) -> str | None:
    """Join the cluster, or start a private session; returns the folder that was made for Ray's files, if one was."""
    # Workers report through results and errors; their own logs stay in Ray's log folder.
    if cluster := address.given():
        cluster = address.checked(cluster)
        try:
            ray.init(address=cluster, log_to_driver=False, logging_level=logging.WARNING)
        except Exception as error:  # of versions, tokens and networks
            raise address.ClusterError(address.refusal(cluster, str(error))) from error
        return None
    folder = room.folder()
    try:
        with no_collections():
            _start_private(folder, dashboard)
    except BaseException as error:
        room.leave(folder)
        if isinstance(error, Exception):  # of Ray's own processes: a plain Exception, say, after half a minute
            raise address.ClusterError(room.does_not_start(error)) from error
        raise
    return folder


def _start_private(folder: str | None, dashboard: bool) -> None:
    port = _free_port() if dashboard else None
    if port is not None:
        # Ray's processes inherit it. Without it they look for a Ray on this machine, and give up when there are two:
        # then the CPUs of a stopped trial of Ray Tune are never freed.
        os.environ[DASHBOARD_ADDRESS] = f"http://{LOOPBACK}:{port}"
    ray.init(
        address="local",  # not a cluster that somebody else left running on this machine
        include_dashboard=dashboard,
        dashboard_host=LOOPBACK,
        dashboard_port=port,
        # Logical CPUs are tokens, not cores: with fewer than 4, a pool of actors could take them all, and the tasks
        # that read for it would wait for ever.
        num_cpus=max(LEAST_CPUS, machine.cores()),
        object_store_memory=_object_store_bytes(),
        log_to_driver=False,
        logging_level=logging.WARNING,
        _temp_dir=folder,
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def _object_store_bytes() -> int:
    """An eighth of the memory, 2 GiB at most: batches pass through it quickly, and Ray's default is 30%.

    Where /dev/shm is smaller (64 MiB in a container, by default), what is free there; below `LEAST_OBJECT_STORE` Ray is
    left to put the store into its folder on disk, and says so.
    """
    wanted = min(MOST_OBJECT_STORE, machine.memory() // 8)
    with suppress(OSError):  # there is no such place but on Linux
        free = int(shutil.disk_usage("/dev/shm").free * SHARE_OF_SHM)  # noqa: S108
        if LEAST_OBJECT_STORE <= free < wanted:
            return free
    return max(wanted, LEAST_OBJECT_STORE)


def _data_context(before: ray.data.DataContext, settings: Settings) -> ray.data.DataContext:
    """Ray Data's settings: a stuck run ends with an error, and the terminal belongs to our own progress lines."""
    context = before.copy()
    # Until an autoscaler has started a node, nothing may move.
    context.execution_no_progress_timeout_s = NO_PROGRESS_SECONDS + (
        int(settings.compute.node_seconds) if capacity().grows else 0
    )
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # it warns that the bars are off
    return context
