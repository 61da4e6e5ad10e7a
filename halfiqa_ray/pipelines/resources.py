"""How many actors, on what, with how many threads: decided once, from the settings and what the cluster has."""

from __future__ import annotations

import os
from dataclasses import dataclass

import ray

from halfiqa_ray.config import ComputeSettings

CPU_BATCH, GPU_BATCH = 1, 16
CPUS_PER_SCORER = 4


@dataclass(frozen=True)
class Scorers:
    """The scoring actors of a job."""

    actors: int
    device: str
    cpus: float
    gpus: float
    threads: int
    batch_size: int

    def __str__(self) -> str:
        where = f"{self.gpus:g} GPU each" if self.gpus else f"{self.threads} torch threads each"
        actors = f"{self.actors} scoring actor{'s' * (self.actors > 1)}"
        return f"{actors} on {self.device}, {where}, batches of {self.batch_size}"


def plan_scorers(settings: ComputeSettings) -> Scorers:
    """Plan the actors for the running cluster.

    Raises RuntimeError when the settings ask for what the cluster cannot give: Ray would wait for it for ever.
    """
    have = ray.cluster_resources()
    cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
    device = settings.device
    if device == "auto":
        device = "cuda" if gpus > 0 else "cpu"
    if device == "cuda":
        if gpus < settings.gpus_per_actor:
            raise RuntimeError(
                f"compute.device is cuda and an actor needs {settings.gpus_per_actor:g} GPU, but the cluster has "
                f"{gpus:g}; add a GPU node, lower compute.gpus_per_actor, or set compute.device to cpu"
            )
        actors = settings.actors or max(1, int(gpus / settings.gpus_per_actor))
        return Scorers(
            actors, device, settings.cpus_per_actor, settings.gpus_per_actor, 0, settings.batch_size or GPU_BATCH
        )
    # Decoding and writing need a share too: actors that took every CPU would wait for ever for photos.
    room = int((cpus - settings.decode_cpus - WRITE_CPUS) / settings.cpus_per_actor)
    if room < 1:
        raise RuntimeError(
            f"the cluster has {cpus:g} CPUs: too few for one actor ({settings.cpus_per_actor:g}), one decoding task "
            f"({settings.decode_cpus:g}) and one writing task ({WRITE_CPUS:g}); lower compute.cpus_per_actor and "
            f"compute.decode_cpus, or add CPUs"
        )
    actors = min(settings.actors or max(1, int(cpus) // CPUS_PER_SCORER), room)
    nodes = sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0)
    threads = settings.threads or max(1, (os.cpu_count() or 1) * max(1, nodes) // actors)
    return Scorers(actors, device, settings.cpus_per_actor, 0, threads, settings.batch_size or CPU_BATCH)


WRITE_CPUS = 0.25
