"""Settings of fits, and of searches for the settings of fits."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from halfiqa_ray.config.names import Name
from halfiqa_ray.config.section import Section


class StageSettings(Section):
    """One stage of a fit: how long, with which optimiser, at which learning rate. The defaults are TRIQ's first."""

    epochs: int = Field(120, ge=0, description="Passes over the training images; 0 leaves the stage out.")
    learning_rate: float = Field(5e-5, gt=0, description="Highest learning rate.")
    warmup_epochs: float = Field(10, ge=0, description="Epochs of linear warm-up from 0.")
    hold_epochs: float = Field(30, ge=0, description="Epochs at the highest rate, before it decays.")
    decay: Literal["cosine", "none"] = Field("cosine", description="To 0 as half a cosine, or hold until the end.")
    optimiser: Literal["adam", "adamw", "sgd"] = Field("adam", description="Adam with Keras' constants, AdamW, or SGD.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(0, ge=0, description="L2 penalty (adam, sgd), or decoupled decay (adamw).")
    trains: Literal["all", "output_layer"] = Field(
        "all", description="Fit all weights, or the model's last layer alone (the first stage of DBCNN)."
    )


class TrainSettings(Section):
    """Fitting a model (jobs/train.py)."""

    run: Name = Field("default", description="Name of the run; the same name resumes.")
    main: StageSettings = Field(
        StageSettings(),
        description="The first stage. Without epochs in any stage the model is saved as it starts (untrained control).",
    )
    finetune: StageSettings = Field(
        StageSettings(learning_rate=1e-6, hold_epochs=10),
        description="The second stage, from the best weights of the first.",
    )
    batch_size: int = Field(8, ge=1, description="Images a step over all workers together.")
    backbone_rate: float = Field(
        1, ge=0, description="The backbone's learning rate as a share of the others' (the paper: 1, all alike)."
    )
    frozen: list[str] = Field(
        [],
        description="Parts of the model whose weights stay as they are, by name ([backbone.layer1], say). A "
        "backbone's first layers have the largest maps: without them steps are much shorter on CPU (the paper: none).",
    )
    patience: int = Field(40, ge=1, description="Stop a stage after this many epochs without a better validation PLCC.")
    minimum_gain: float = Field(0.001, ge=0, description="How much better a validation PLCC must be to count.")
    flip: bool = Field(
        True, description="Flip half of the training images left to right (the paper's only augmentation)."
    )
    freeze_batchnorm: Literal["none", "backbone", "all"] = Field(
        "none",
        description="Whose BatchNorm layers keep their statistics. Live statistics are of a worker's own images, so "
        "results then depend on the number of workers.",
    )
    sync_batchnorm: bool = Field(
        False, description="BatchNorm statistics over the images of all workers (GPU only: torch has it nowhere else)."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Of the training passes (validation is float32). `auto`: on a GPU bfloat16 where it has that, else "
        "float16 with a scaled loss; on CPU float32.",
    )
    feed: Literal["auto", "memory", "ray_data"] = Field(
        "auto",
        description="Where a worker's photos are decoded: in its own threads and kept in memory, or by Ray Data on "
        "any node and anew in every epoch. `auto`: in memory when cache_bytes holds all of them.",
    )
    decode_cpus: float = Field(0.5, gt=0, description="CPUs that a decoding task of Ray Data reserves.")
    workers: int = Field(1, ge=1, description="Training processes (one a GPU, or one a CPU group).")
    cpus_per_worker: float = Field(1, gt=0, description="CPUs that each worker reserves in Ray.")
    gpu: bool = Field(False, description="Train on GPUs, one a worker.")
    threads: int = Field(0, ge=0, description="Torch threads a worker; 0 = all cores divided by the workers.")
    cache_bytes: int = Field(
        4 * 2**30, ge=0, description="Memory a worker may fill with decoded photos; others are decoded every epoch."
    )
    maximum_failures: int = Field(3, ge=0, description="How many times Ray restarts failed workers.")


class TuneSettings(Section):
    """Searching the settings of a fit (jobs/tune.py)."""

    name: Name = Field("default", description="Name of the search; the same name resumes.")
    space: dict[str, dict[str, list[Any]]] = Field(
        {},
        description="What is searched: names of settings below `model` and `train`, each with one of choice: [a, b, "
        "...], uniform: [low, high], log_uniform: [low, high], integer: [low, high] (both ends possible).",
    )
    trials: int = Field(16, ge=1, description="Combinations to try, drawn at random with the seed.")
    concurrent: int = Field(1, ge=1, description="Trials at the same time.")
    grace_epochs: int = Field(10, ge=1, description="Epochs that every trial gets; then the worse ones are stopped.")
    reduction: int = Field(
        3,
        ge=2,
        description="After grace_epochs, and whenever its epochs have grown by this factor, a trial goes on when its "
        "validation PLCC is among the best 1/reduction of those that came as far before it (ASHA).",
    )
