"""How many actors, on what, with how many threads: decided once, from the settings and what the cluster can hold."""

from __future__ import annotations

from dataclasses import dataclass

from halfiqa_ray.config import ComputeSettings
from halfiqa_ray.runtime.capacity import Capacity, Resources, capacity

CPU_BATCH, GPU_BATCH = 1, 16
# CPUs left to decoding, writing and Ray itself.
CPUS_BESIDE = 2
# An actor for fewer forward passes than this takes longer to start than to be worth it.
PASSES_PER_ACTOR = 32
WRITE_CPUS = 0.25


@dataclass(frozen=True)
class Scorers:
    """The scoring actors of a job: ``first`` of them at its start, up to ``actors`` as nodes are added."""

    actors: int
    first: int
    device: str
    cpus: float
    gpus: float
    threads: int
    batch_size: int

    def here(self) -> str:
        """What is said where so little is to be done that no actor is started for it."""
        at_once = f"{self.actors} photo{'s' * (self.actors > 1)} at once"
        return f"few: in the job's own process on {self.device}, {at_once}, {self._threads} each"

    @property
    def _threads(self) -> str:
        return f"{self.threads} torch thread{'s' * (self.threads > 1)}"

    def __str__(self) -> str:
        where = f"{self.gpus:g} GPU each" if self.gpus else f"{self._threads} each"
        actors = f"{self.actors} scoring actor{'s' * (self.actors > 1)}"
        if self.first < self.actors:
            actors = f"{self.first} to {actors}, as nodes are added,"
        return f"{actors} on {self.device}, {where}, batches of {self.batch_size}"


def plan_scorers(settings: ComputeSettings, passes: int, there: Capacity | None = None) -> Scorers:
    """Plan the actors for the running cluster and so many forward passes (one a photo, when photos are only ranked).

    On CPU, one actor a core with one thread each: threads of one actor wait for each other whenever another process
    takes a core, and with one thread a score cannot depend on their number. Where an autoscaler may add nodes, the
    plan is for all of them, and the pool of actors begins with what is there.

    Raises RuntimeError when the settings ask for what the cluster can never give: Ray would wait for it for ever.
    """
    there = there or capacity()
    device = settings.device
    if device == "auto":
        device = "cuda" if there.most("GPU") > 0 else "cpu"
    if there.unreadable and not settings.actors:
        raise RuntimeError(
            f"this cluster has an autoscaler, but what nodes it may start cannot be read ({there.unreadable}): say how "
            f"many scoring actors there may be at most with compute.actors"
        )
    if device == "cuda":
        return _on_gpus(settings, there)
    return _on_cpus(settings, there, max(1, -(-passes // PASSES_PER_ACTOR)))


def _on_gpus(settings: ComputeSettings, there: Capacity) -> Scorers:
    share = {"GPU": settings.gpus_per_actor, "CPU": settings.cpus_per_actor}
    room = settings.actors if there.unreadable else there.could_hold(share)
    if not room:
        raise RuntimeError(
            f"compute.device is cuda and an actor needs {settings.gpus_per_actor:g} GPU and "
            f"{settings.cpus_per_actor:g} CPU of one node, but the cluster has {_has(there, 'GPU')} and no node with "
            f"both; add a node with a GPU (or a node type, to an autoscaler), lower compute.gpus_per_actor or "
            f"compute.cpus_per_actor, or set compute.device to cpu. There is: {there}"
        )
    actors = min(settings.actors or room, room)
    first = max(1, min(actors, there.holds(share)))
    return Scorers(
        *(actors, first, "cuda", settings.cpus_per_actor, settings.gpus_per_actor),
        threads=0,
        batch_size=settings.batch_size or GPU_BATCH,
    )


def _on_cpus(settings: ComputeSettings, there: Capacity, useful: int) -> Scorers:
    share = {"CPU": settings.cpus_per_actor}
    # Decoding and writing need a share too: actors that took every CPU would wait for ever for photos.
    beside = settings.decode_cpus + WRITE_CPUS
    room = min(there.could_hold(share), int((there.most("CPU") - beside) / settings.cpus_per_actor))
    if there.unreadable:
        room = settings.actors
    if room < 1:
        raise RuntimeError(
            f"the cluster has {_has(there, 'CPU')}: too few for one actor ({settings.cpus_per_actor:g} of one node), "
            f"one decoding task ({settings.decode_cpus:g}) and one writing task ({WRITE_CPUS:g}); lower "
            f"compute.cpus_per_actor and compute.decode_cpus, or add CPUs. There is: {there}"
        )
    actors = min(settings.actors or min(useful, max(1, int(there.most("CPU")) - CPUS_BESIDE)), room)
    now = min(there.holds(share), int((there.now("CPU") - beside) / settings.cpus_per_actor))
    first = max(1, min(actors, now)) if there.grows else actors
    return Scorers(
        *(actors, first, "cpu", settings.cpus_per_actor, 0),
        threads=settings.threads or 1,
        batch_size=settings.batch_size or CPU_BATCH,
    )


def check_room(what: str, share: Resources, count: int, advice: str, there: Capacity | None = None) -> Capacity:
    """Raise RuntimeError when the cluster can never hold ``count`` of a share at once, each on one node."""
    there = there or capacity()
    if not there.unreadable and there.could_hold(share) < count:
        needs = ", ".join(f"{amount:g} {name}" for name, amount in share.items() if amount)
        raise RuntimeError(
            f"{what} needs {count} x {needs}, but the cluster has room for {there.could_hold(share)} of them, "
            f"each on one node; {advice}. There is: {there}"
        )
    return there


def _has(there: Capacity, name: str) -> str:
    most = f", {there.most(name):g} at most," if there.grows else ""
    return f"{there.now(name):g} {name}s{most}"
