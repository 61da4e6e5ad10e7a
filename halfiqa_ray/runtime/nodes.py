"""What must hold before a job starts anything long: looked at in seconds, from the driver and from every node.

Nodes that an autoscaler adds later are not there to be asked; what is a path of one machine is said then.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from halfiqa_ray import storage
from halfiqa_ray.models.checkpoints import package_versions
from halfiqa_ray.runtime.capacity import capacity

ANSWER_SECONDS = 120


class PreflightError(RuntimeError):
    """Something that would have failed later; the text says what to do."""


@dataclass(frozen=True)
class Seen:
    """What one node found: its versions, and what went wrong (None: nothing)."""

    node: str
    versions: dict[str, str]
    reads: str | None
    writes: str | None
    photo: str | None


def check_nodes(output: str, photos: Sequence[str] = ()) -> None:
    """Raise PreflightError when the output or the photos (URIs) are out of reach, or nodes differ in their versions.

    The driver writes a small object below ``output``; every node reads it and writes another, which the driver reads.
    Of the photos the first, the middle and the last are looked for: that one of them is missing is no reason to stop.
    """
    places = sorted({0, len(photos) // 2, len(photos) - 1}) if photos else []
    tried = [storage.absolute(photos[place]) for place in places]
    trial = storage.join(storage.absolute(output), f".preflight-{uuid.uuid4().hex}")
    try:
        here = look("this machine", trial, "driver", None, tried)
        _complain([here], output, tried, alone=True)
        nodes = other_nodes()
        if nodes:
            found = _ask(nodes, trial, tried)
            _complain(found, output, tried, alone=False)
            for seen in found:
                if not storage.exists(storage.join(trial, seen.node)):
                    raise PreflightError(_not_shared(output, f"this machine does not see what node {seen.node} wrote"))
            _compare(here, found)
        if not storage.is_remote(output) and capacity().grows:
            print(
                f"note: the output {output} is a path, and the autoscaler may add nodes that cannot be asked now: all "
                f"of them must share it",
                flush=True,
            )
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written
            storage.delete_folder(trial)


def look(node: str, trial: str, name: str, other: str | None, photos: Sequence[str]) -> Seen:
    """On one node: read the object ``other``, write ``name``, find one of the photos."""
    reads = None
    if other is not None:
        reads = _failure(lambda: storage.read_bytes(storage.join(trial, other)))
    writes = _failure(lambda: _write_and_read(storage.join(trial, name)))
    photo = _failure(lambda: _find(photos))
    return Seen(node, package_versions(), reads, writes, photo)


def other_nodes() -> list[dict[str, Any]]:
    """The nodes that run, without the driver's own when it is alone."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    own = ray.get_runtime_context().get_node_id()
    return [] if [node["NodeID"] for node in alive] == [own] else alive


def _ask(nodes: Sequence[dict[str, Any]], trial: str, photos: Sequence[str]) -> list[Seen]:
    asked, remote = {}, cast(Any, ray.remote(look))
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        name = f"{node['NodeManagerAddress']}-{node['NodeID'][:8]}"
        task = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[task.remote(name, trial, name, "driver", photos)] = name
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
    if late:
        names = ", ".join(asked[each] for each in late)
        raise PreflightError(
            f"no answer within {ANSWER_SECONDS} s from node {names}: is it overloaded, or can it not start a worker "
            f"(its log is session_latest/logs/raylet.err in its Ray folder)? Remove it or mend it, and start again"
        )
    return list(ray.get(ready))


def _complain(found: Sequence[Seen], output: str, photos: Sequence[str], alone: bool) -> None:
    for seen in found:
        where = "" if alone else f" from node {seen.node}"
        if seen.reads and not storage.is_remote(output):
            raise PreflightError(_not_shared(output, f"node {seen.node} does not see what this machine wrote"))
        if problem := seen.writes or seen.reads:
            hint = (
                "do the credentials in the environment (AWS_..., or the node's role) allow it, and is the bucket there?"
                if storage.is_remote(output)
                else "is the folder writable, and the disk not full?"
            )
            raise PreflightError(f"the output {output} cannot be written{where}: {hint} It was: {problem}")
        if seen.photo:
            hint = (
                "has data.root moved? Run jobs/prepare.py again"
                if alone
                else "photos must lie on a path that all nodes share, or under a URI such as s3://; run "
                "jobs/prepare.py again with such a data.root"
            )
            raise PreflightError(f"the photos are out of reach{where}: {hint}. It was: {seen.photo}")


def _compare(here: Seen, found: Sequence[Seen]) -> None:
    # Without what follows a plus: torch for CPU and for CUDA are one version.
    own = {name: version.split("+")[0] for name, version in here.versions.items()}
    for seen in found:
        theirs = {name: version.split("+")[0] for name, version in seen.versions.items()}
        different = [f"{name} {theirs.get(name)} (here {own[name]})" for name in own if theirs.get(name) != own[name]]
        if different:
            raise PreflightError(
                f"node {seen.node} has {', '.join(different)}: rows would depend on the node that made them; give all "
                f"nodes the same image, or the job a runtime_env (cluster/README.md)"
            )


def _not_shared(output: str, problem: str) -> str:
    return (
        f"the output {output} is a path that not all nodes share: {problem} there. Use a shared folder, or a URI such "
        f"as s3://BUCKET/results"
    )


def _write_and_read(uri: str) -> None:
    storage.write_bytes(uri, uri.encode())
    if storage.read_bytes(uri) != uri.encode():
        raise OSError(f"{uri} does not hold what was written to it")


def _find(photos: Sequence[str]) -> None:
    if photos and not any(storage.exists(uri) for uri in photos):
        raise FileNotFoundError(f"there is no {' nor '.join(dict.fromkeys(photos))}")


def _failure(attempt: Any) -> str | None:
    try:
        attempt()
    except Exception as error:  # whatever a storage raises is what the user has to read
        return f"{type(error).__name__}: {error}"
    return None
