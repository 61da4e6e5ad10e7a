"""A Ray of its own on this machine, as `ray start` makes it: private ports and folder, loopback, ended by its pids.

With node types it is a cluster that grows and shrinks: Ray's fake node provider starts a raylet where a cloud would
start a machine. All nodes are processes of this machine and share its cores; only scheduling is real.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LOOPBACK = "127.0.0.1"
HEAD_NODE_ID = "f" * 51 + "00000"  # as the fake provider counts its nodes
HEAD_TYPE = "ray.head.default"
READY_SECONDS = 120
OBJECT_STORE = 120 << 20
# One more node, as Ray's own tests add them: on loopback `ray start --address` refuses.
NODE = """
import signal, sys
from ray._private.node import Node
from ray._private.parameter import RayParams

address, cpus, store, ip = sys.argv[1:]
ports = {"min_worker_port": 0, "max_worker_port": 0, "node_manager_port": 0, "dashboard_agent_listen_port": 0}
where = {"gcs_address": address, "redis_address": address, "node_ip_address": ip, "include_log_monitor": False}
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
node = Node(RayParams(num_cpus=float(cpus), object_store_memory=int(store), **ports, **where), head=False)
print("started", flush=True)
signal.pause()
"""
# What Ray's configuration files must have, though it is empty here: without it the autoscaler dies in silence.
EMPTY: dict[str, Any] = {
    "docker": {},
    "auth": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}


@dataclass(frozen=True)
class LocalRay:
    """A running head: where it is, and the environment that its clients need."""

    address: str  # of the cluster, host:port
    dashboard: str  # of its dashboard and job server, a URL
    folder: Path  # Ray's own files
    environment: dict[str, str]
    ray: str  # the command

    def logs(self, name: str) -> str:
        """The text of one of Ray's log files of this session."""
        file = self.folder / "session_latest" / "logs" / name
        return file.read_text(errors="replace") if file.exists() else ""


@contextmanager
def local_ray(
    cpus: float,
    arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    token: bool = True,
    port: int | None = None,
    ray: str = "",
) -> Iterator[LocalRay]:
    """A head node with so many CPUs for the length of a ``with`` block; ``arguments`` are more of `ray start`'s.

    With ``token`` every client must send the one that is in ``LocalRay.environment``. ``ray`` is the command, of this
    environment unless given.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a short path: sockets lie below it
    port, dashboard = port or free_port(), free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}
    own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)} if token else {}
    own |= environment or {}
    ray = ray or str(Path(sys.executable).with_name("ray"))
    own["PATH"] = f"{Path(ray).parent}:{own['PATH']}"
    command = [
        *(ray, "start", "--head", "--block", "--disable-usage-stats"),
        *(f"--node-ip-address={LOOPBACK}", f"--port={port}", f"--temp-dir={folder}", f"--num-cpus={cpus:g}"),
        *(f"--dashboard-host={LOOPBACK}", f"--dashboard-port={dashboard}", f"--object-store-memory={OBJECT_STORE}"),
        *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
        *arguments,
    ]
    with (folder / "start.log").open("w") as log:
        process = subprocess.Popen(command, env=own, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    started = LocalRay(
        f"{LOOPBACK}:{port}",
        f"http://{LOOPBACK}:{dashboard}",
        folder,
        own | {"RAY_ADDRESS": f"{LOOPBACK}:{port}", "RAY_API_SERVER_ADDRESS": f"http://{LOOPBACK}:{dashboard}"},
        ray,
    )
    try:
        _wait(process, started, (port, dashboard))
        yield started
    finally:
        end(process, folder)
        shutil.rmtree(folder, ignore_errors=True)


def launch_node(head: LocalRay, cpus: float, hidden: Path | None = None) -> tuple[subprocess.Popen[bytes], Path]:
    """Begin to start one more node of this machine: its process, and its log, which says "started" when it has joined.

    Not by `ray start`, which adds no node to a head on loopback. ``hidden`` as in `add_nodes`.
    """
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)] if hidden else []
    python = str(Path(head.ray).with_name("python"))
    command = [*hide, python, "-c", NODE, head.address, f"{cpus:g}", str(OBJECT_STORE), LOOPBACK]
    log = head.folder / f"node-{free_port()}.log"
    with log.open("w") as file:
        output: Any = {"stdout": file, "stderr": subprocess.STDOUT, "start_new_session": True}
        return subprocess.Popen(command, env=head.environment, **output), log


@contextmanager
def add_nodes(head: LocalRay, count: int, cpus: float, hidden: Path | None = None) -> Iterator[None]:
    """So many more nodes of this machine for the length of a ``with`` block.

    In place of the folder ``hidden`` they see an empty one of their own, as other machines would (Linux, as root).
    """
    processes = []
    try:
        for _ in range(count):
            process, log = launch_node(head, cpus, hidden)
            processes.append(process)
            wait_for(process, log, "started")
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)


@contextmanager
def growing_ray(
    node_types: Mapping[str, Mapping[str, Any]],
    cpus: float = 1,
    idle_minutes: float = 0.2,
    version: int = 2,
    token: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Iterator[LocalRay]:
    """A head with ``cpus`` and Ray's autoscaler (``version`` 1 or 2) with these worker ``node_types``.

    A node type is ``resources``, ``max_workers``, and ``labels`` if it has any. The autoscaler looks every second, and
    takes a node away that did nothing for ``idle_minutes``.
    """
    with tempfile.TemporaryDirectory() as where:
        file, port = Path(where) / "autoscaling.yaml", free_port()
        types: dict[str, Any] = {HEAD_TYPE: {"resources": {"CPU": cpus}, "node_config": {}, "max_workers": 0}}
        for name, node_type in node_types.items():
            types[name] = {"node_config": {}, "min_workers": 0, **node_type}
        provider = {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": HEAD_NODE_ID,
            "gcs_address": f"{LOOPBACK}:{port}",
        }
        config = EMPTY | {
            "cluster_name": "growing",
            "provider": provider,
            "available_node_types": types,
            "head_node_type": HEAD_TYPE,
            "max_workers": sum(node_type["max_workers"] for node_type in node_types.values()),
            "idle_timeout_minutes": idle_minutes,
            "upscaling_speed": 1000,
        }
        file.write_text(yaml.safe_dump(config))
        more = {
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_enable_autoscaler_v2": str(int(version == 2)),
            "RAY_CLOUD_INSTANCE_ID": HEAD_NODE_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_NODE_ID,
        }
        arguments = (f"--autoscaling-config={file}",)
        with local_ray(cpus, arguments, more | dict(environment or {}), token, port) as started:
            yield started


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def end(process: subprocess.Popen[Any], folder: Path) -> None:
    """End a `ray start --block` and everything that it or its nodes started (they name its folder)."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for pid in [process.pid, *processes_of(folder)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def processes_of(folder: Path | str) -> list[int]:
    """Process ids of the processes that name this on their command line or in their environment, but for this one."""
    found, name = [], os.fsencode(folder)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if name in told and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def wait_for(process: subprocess.Popen[Any], log: Path, words: str) -> None:
    """Until the log of a node has these words. Raises RuntimeError when the process ends or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while words not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the node did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.2)


def _wait(process: subprocess.Popen[Any], started: LocalRay, ports: tuple[int, ...]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    waiting = set(ports)
    while waiting:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Ray did not start:\n{(started.folder / 'start.log').read_text()}")
        for port in tuple(waiting):
            with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
                waiting.discard(port)
        time.sleep(0.2)


def listening(processes: Iterable[int]) -> set[str]:
    """The IP addresses on which these processes accept TCP connections."""
    sockets = set()
    for file in (file for process in processes for file in Path("/proc").glob(f"{process}/fd/*")):
        with suppress(OSError):  # closed since it was listed
            sockets.add(str(file.readlink()))
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                raw = bytes.fromhex(words[1].split(":")[0])  # words of four bytes, lowest first
                found.add(socket.inet_ntop(family, b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))))
    return found
