"""What a cluster can hold: on the nodes that run, and on those that its autoscaler may still start.

Ray tells of running nodes only. The kinds of nodes that an autoscaler may start stand in its configuration, which it is
started with on the head node (`ray up`), or in the RayCluster resource (KubeRay); a task on the head node reads them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml

Resources = Mapping[str, float]
HEAD = "node:__internal_head__"  # the resource that only the head node has
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
READ_SECONDS = 60
ROUNDING = 1e-6  # Ray counts in ten-thousandths: three shares of 1/3 fit into 1


@dataclass(frozen=True)
class NodeType:
    """A kind of node that the autoscaler may start: what one has, and how many there may be at most."""

    name: str
    resources: Resources
    most: int


@dataclass(frozen=True)
class Capacity:
    """The resources of every running node, the node types of the autoscaler, and how many workers it may have.

    ``unreadable`` says why the node types of an autoscaler are not known.
    """

    nodes: tuple[Resources, ...]
    types: tuple[NodeType, ...] = ()
    most_workers: int = 0
    unreadable: str | None = None

    @property
    def grows(self) -> bool:
        """Whether nodes may be added."""
        return bool(self.unreadable) or any(each.most > 0 for each in self.types)

    def now(self, name: str) -> float:
        """The resource of all running nodes together."""
        return sum(node.get(name, 0.0) for node in self.nodes)

    def most(self, name: str) -> float:
        """The resource that the running head and as many workers as there may be have together."""
        return max(self.now(name), self._grown([node.get(name, 0.0) for node in self._heads], name))

    def holds(self, share: Resources) -> int:
        """How many actors or tasks of this share fit on the running nodes, were they empty."""
        return sum(copies(node, share) for node in self.nodes)

    def could_hold(self, share: Resources) -> int:
        """How many fit when all nodes are there that there may be."""
        return max(self.holds(share), int(self._grown([copies(node, share) for node in self._heads], share)))

    @property
    def _heads(self) -> list[Resources]:
        return [node for node in self.nodes if HEAD in node]

    def _grown(self, heads: list[float] | list[int], what: str | Resources) -> float:
        each = [(_of(kind.resources, what), kind.most) for kind in self.types]
        total, left = float(sum(heads)), self.most_workers
        for amount, most in sorted(each, reverse=True):
            total += amount * min(most, left)
            left -= min(most, left)
        return total

    def __str__(self) -> str:
        said = f"{len(self.nodes)} node{'s' * (len(self.nodes) != 1)} with {_amounts(self.nodes)}"
        if self.types:
            may = (f"{kind.most} x {kind.name} ({_amounts([kind.resources])})" for kind in self.types)
            said += f"; the autoscaler may have at most {self.most_workers} workers: {', '.join(may)}"
        return said


def copies(node: Resources, share: Resources) -> int:
    """How many shares one node holds."""
    wanted = {name: amount for name, amount in share.items() if amount > 0}
    return min((int(node.get(name, 0.0) / amount + ROUNDING) for name, amount in wanted.items()), default=0)


def _of(node: Resources, what: str | Resources) -> float:
    return node.get(what, 0.0) if isinstance(what, str) else copies(node, what)


def _amounts(nodes: list[Resources] | tuple[Resources, ...]) -> str:
    return ", ".join(f"{sum(node.get(name, 0.0) for node in nodes):g} {name}" for name in ("CPU", "GPU"))


def capacity() -> Capacity:
    """What the cluster of the running session can hold."""
    alive, context = [node for node in ray.nodes() if node["Alive"]], ray.get_runtime_context()
    if any(HEAD in node["Resources"] and node["NodeID"] == context.get_node_id() for node in alive):
        found = autoscaler_configuration(context.gcs_address)  # as in a submitted job, whose driver runs on the head
    else:
        ask = ray.remote(num_cpus=0, resources={HEAD: 0.001}, scheduling_strategy="DEFAULT")(autoscaler_configuration)
        found = ray.get(ask.remote(context.gcs_address), timeout=READ_SECONDS)
    nodes = tuple(node["Resources"] for node in alive)
    if found is None or isinstance(found, str):
        return Capacity(nodes, unreadable=found)
    return with_node_types(nodes, found)


def with_node_types(nodes: tuple[Resources, ...], configuration: Mapping[str, Any]) -> Capacity:
    """The capacity of running nodes and an autoscaler's configuration (a dictionary as `ray up` reads it)."""
    most_workers, types = int(configuration.get("max_workers", 0)), []
    for name, kind in configuration["available_node_types"].items():
        if name == configuration.get("head_node_type"):
            continue
        if not kind.get("resources"):
            return Capacity(nodes, unreadable=f"its node type {name} does not say what resources it has")
        types.append(NodeType(name, kind["resources"], int(kind.get("max_workers", most_workers))))
    return Capacity(nodes, tuple(types), most_workers)


def autoscaler_configuration(gcs_address: str) -> dict[str, Any] | str | None:
    """On the head node: what its autoscaler was told, None where there is none, or why it cannot be read.

    Of several Rays on the machine it is that of ``gcs_address``.
    """
    try:
        if "RAY_CLUSTER_NAME" in os.environ and Path(SERVICE_ACCOUNT).is_dir():
            return _of_kuberay(os.environ["RAY_CLUSTER_NAME"])
        for process in Path("/proc").glob("[0-9]*"):
            if file := _autoscaler_file(process, gcs_address):
                return dict(yaml.safe_load(Path(file).expanduser().read_text()))
    except Exception as error:  # of files, YAML, HTTP and Kubernetes: the job goes on without
        return f"{type(error).__name__}: {error}"
    return None


def _autoscaler_file(process: Path, gcs_address: str) -> str | None:
    """The configuration file on the command line of Ray's autoscaler; None for another process."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended
        return None
    if f"--gcs-address={gcs_address}" not in words or not any(word.endswith("/monitor.py") for word in words):
        return None
    flag = "--autoscaling-config="
    return next((word.removeprefix(flag) for word in words if word.startswith(flag)), None)


def _of_kuberay(cluster: str) -> dict[str, Any] | None:
    """What KubeRay's autoscaler is told: made from the RayCluster, which the head's service account may read."""
    from ray.autoscaler._private.kuberay import autoscaling_config, node_provider

    namespace = Path(SERVICE_ACCOUNT, "namespace").read_text().strip()
    resource = node_provider.KubernetesHttpApiClient(namespace).get(f"rayclusters/{cluster}")
    if not resource["spec"].get("enableInTreeAutoscaling"):
        return None
    return dict(autoscaling_config._derive_autoscaling_config_from_ray_cr(resource))
