"""How many actors, on what, with how many threads: decided once, from the settings and what the cluster has."""

from __future__ import annotations

from dataclasses import dataclass

import ray

from halfiqa_ray.config import ComputeSettings

CPU_BATCH, GPU_BATCH = 1, 16
# CPUs left to decoding, writing and Ray itself.
CPUS_BESIDE = 2
# An actor for fewer forward passes than this takes longer to start than to be worth it.
PASSES_PER_ACTOR = 32


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
        where = (
            f"{self.gpus:g} GPU each" if self.gpus else f"{self.threads} torch thread{'s' * (self.threads > 1)} each"
        )
        actors = f"{self.actors} scoring actor{'s' * (self.actors > 1)}"
        return f"{actors} on {self.device}, {where}, batches of {self.batch_size}"


def plan_scorers(settings: ComputeSettings, passes: int) -> Scorers:
    """Plan the actors for the running cluster and so many forward passes (one a photo, when photos are only ranked).

    On CPU, one actor a core with one thread each: threads of one actor wait for each other whenever another process
    takes a core, and with one thread a score cannot depend on their number.

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
    useful = max(1, -(-passes // PASSES_PER_ACTOR))
    actors = min(settings.actors or min(useful, max(1, int(cpus) - CPUS_BESIDE)), room)
    return Scorers(actors, device, settings.cpus_per_actor, 0, settings.threads or 1, settings.batch_size or CPU_BATCH)


WRITE_CPUS = 0.25
