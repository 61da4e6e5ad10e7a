"""Settings of what a job takes of the machine or cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from halfiqa_ray.config.section import Section


class ComputeSettings(Section):
    """What the job takes of the machine or cluster."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models run; `auto` = cuda where a node has it."
    )
    actors: int = Field(
        0, ge=0, description="Most scoring actors; 0 = one a GPU, or one a CPU but for two, and none for few photos."
    )
    gpus_per_actor: float = Field(1, gt=0, description="GPU share of an actor (fractions share one GPU).")
    cpus_per_actor: float = Field(1, gt=0, description="CPUs that an actor reserves in Ray.")
    threads: int = Field(0, ge=0, description="Torch threads an actor on CPU; 0 = 1.")
    batch_size: int = Field(
        0, ge=0, description="Images a backbone batch, always padded to this size; 0 = 1 on CPU, 16 on GPU."
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Of the forward passes with halves zeroed; half precision is for GPUs, its rows are a run of their "
        "own, and the largest change of a score is printed. Subset scores stay in float32.",
    )
    compile: bool = Field(
        False,
        description="Compile models for these passes by torch.compile (minutes, once an actor and model); what cannot "
        "be compiled, or scores otherwise then, runs as it is, which is said.",
    )
    measures: Literal["cpu", "scoring"] = Field(
        "cpu",
        description="Where measures are computed at every pixel: `cpu` = where photos are decoded, `scoring` = on the "
        "models' device, by torch (equal to rounding; small images stay on the CPU), for nodes with few CPUs a GPU.",
    )
    decode_cpus: float = Field(0.5, gt=0, description="CPUs that a decoding task reserves in Ray.")
    killed_photos: int = Field(
        20,
        ge=0,
        description="Photos that may end the process that works on them before the job gives up: more of them, and it "
        "is hardly the photos.",
    )
    progress_seconds: float = Field(10, gt=0, description="Seconds between progress lines.")
    stall_seconds: float = Field(
        60, gt=0, description="Seconds without a finished photo after which a job says what it waits for."
    )
    node_seconds: float = Field(
        1200, gt=0, description="Seconds that an autoscaler may take to start a node, before a job gives up."
    )
