"""Every setting of every job: what it means, its default and its bounds, in one place.

Each job takes these sections from YAML (``--config a.yaml``) and from the command line (``--rank.grid.rows 3``).
One YAML file may serve several jobs: a job reads the sections it needs, and the others are still checked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

from jsonargparse import ArgumentParser
from pydantic import BaseModel, ConfigDict, Field

Rule = Literal["level_plcc", "score_change", "shapley", "banzhaf", "image_plcc"]


class Section(BaseModel):
    """A group of settings: read-only, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Section):
    """The photos and their scores."""

    dataset: str = Field("photos", pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the data set in every output.")
    layout: Literal["folder", "koniq10k", "spaq", "pyiqa"] = Field(
        "folder", description="How the photos and scores are laid out; `folder` is photos without scores."
    )
    root: str = Field("photos", description="Folder or URI (s3://...) that holds the photos.")
    scores: str | None = Field(
        None, description="Score list (path or URI); by default the official file's name is looked for below the root."
    )
    mos_scale: tuple[float, float] | None = Field(
        None, description="Lowest and highest MOS of a pyiqa list without votes, [0, 100] when not set."
    )
    split: Literal["auto", "file", "column", "own", "none"] = Field(
        "auto",
        description="Where train/validation/test come from: a published `file`, a `column` of the score list, `own` "
        "(alike in MOS and spatial information), `none`; `auto` takes the first that is there.",
    )
    split_file: str | None = Field(None, description="CSV with columns image_name,split (train, validation, test).")
    split_column: str | None = Field(None, description="Name of the split column where the score list has several.")
    maximum_pixels: int = Field(
        200_000_000, ge=1, description="Photos with more pixels are refused before they are decoded."
    )


class BackboneSettings(Section):
    """The network that turns a photo into its feature matrix."""

    name: str = Field("resnet50", description="A timm model name.")
    weights: str = Field(
        "pretrained", description="`pretrained` (from the hub), `none` (random), or a file: path or URI of weights."
    )
    options: dict[str, Any] = Field(
        {}, description="Further arguments of the timm model, such as embed_dim or window_size of a Swin transformer."
    )


class TriqSettings(Section):
    """TRIQ's transformer encoder (models/triq.py)."""

    layers: int = Field(2, ge=1, description="Encoder layers.")
    width: int = Field(32, ge=1, description="Token width.")
    heads: int = Field(8, ge=1, description="Attention heads; must divide the width.")
    mlp: int = Field(64, ge=1, description="Width inside the feed-forward network.")
    head: int = Field(64, ge=1, description="Width of the layer between quality token and output.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout rate in training.")
    positions: int = Field(
        0, ge=0, description="Rows of the position table; 0 = the tokens at the input size, plus the quality token."
    )
    pooled: bool = Field(
        False,
        description="Pool the feature matrix 2 x 2 when it has 16 rows or more, as the published TRIQ code does; "
        "unpooled gives the paper's 64 vectors a block.",
    )


class AihiqnetSettings(Section):
    """AIHIQnet's feature pyramid and heads (models/aihiqnet.py)."""

    width: int = Field(256, ge=1, description="Channels of every pyramid level.")


class KonceptSettings(Section):
    """KonCept's fully connected head (models/koncept.py)."""

    hidden: tuple[int, ...] = Field((2048, 1024, 256), description="Widths of the layers before the output.")
    dropout: tuple[float, ...] = Field((0.25, 0.25, 0.5), description="Dropout rate after each of them, in training.")


class DbcnnSettings(Section):
    """DBCNN's branch for synthetic distortions (models/dbcnn.py)."""

    scnn_weights: str = Field(
        "none",
        description="Weights of the S-CNN branch: `none` (random), or path or URI of a state dict such as the authors' "
        "scnn.pkl (github.com/zwx8981/DBCNN-PyTorch, pretrained_scnn/, MIT licence).",
    )


class SwinIqaSettings(Section):
    """Swin-IQA's channel attention (models/swin_iqa.py)."""

    width: int = Field(256, ge=1, description="Channels that every stage is brought to.")


class ModelSettings(Section):
    """The quality model."""

    name: str = Field(
        "triq",
        pattern=r"^[a-z0-9_]+$",
        description="Which model: triq, aihiqnet, koncept, dbcnn, swin_iqa, or another file of halfiqa_ray/models/.",
    )
    height: int = Field(768, ge=32, description="Input height in pixels; photos are resized to it.")
    width: int = Field(1024, ge=32, description="Input width in pixels.")
    output: Literal["levels", "score"] = Field(
        "levels", description="`levels` predicts the distribution over the five quality levels, `score` one number."
    )
    backbone: BackboneSettings = Field(BackboneSettings(), description="The backbone.")
    triq: TriqSettings = Field(TriqSettings(), description="TRIQ's encoder.")
    aihiqnet: AihiqnetSettings = Field(AihiqnetSettings(), description="AIHIQnet's pyramid and heads.")
    koncept: KonceptSettings = Field(KonceptSettings(), description="KonCept's head.")
    dbcnn: DbcnnSettings = Field(DbcnnSettings(), description="DBCNN's second branch.")
    swin_iqa: SwinIqaSettings = Field(SwinIqaSettings(), description="Swin-IQA's channel attention.")
    options: dict[str, Any] = Field({}, description="Settings of a model of your own, checked by its file.")


class TrainSettings(Section):
    """Fitting a model (jobs/train.py)."""

    run: str = Field("default", pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the run; the same name resumes.")
    epochs: int = Field(
        120, ge=0, description="Passes over the training images; 0 saves the model as it starts (an untrained control)."
    )
    batch_size: int = Field(8, ge=1, description="Images a step over all workers together.")
    learning_rate: float = Field(5e-5, gt=0, description="Highest learning rate (Adam).")
    backbone_rate: float = Field(
        1, ge=0, description="The backbone's learning rate as a share of the others' (the paper: 1, all alike)."
    )
    warmup_epochs: float = Field(10, ge=0, description="Epochs of linear warm-up from 0.")
    hold_epochs: float = Field(30, ge=0, description="Epochs at the highest rate, before the cosine to 0.")
    finetune_epochs: int = Field(120, ge=0, description="Epochs of the second stage, from the best weights.")
    finetune_learning_rate: float = Field(1e-6, gt=0, description="Highest learning rate of the second stage.")
    finetune_warmup_epochs: float = Field(10, ge=0, description="Warm-up of the second stage.")
    finetune_hold_epochs: float = Field(10, ge=0, description="Hold of the second stage.")
    patience: int = Field(40, ge=1, description="Stop a stage after this many epochs without a better validation PLCC.")
    minimum_gain: float = Field(0.001, ge=0, description="How much better a validation PLCC must be to count.")
    flip: bool = Field(
        True, description="Flip half of the training images left to right (the paper's only augmentation)."
    )
    freeze_batchnorm: bool = Field(False, description="Keep the backbone's BatchNorm statistics as they are.")
    workers: int = Field(1, ge=1, description="Training processes (one a GPU, or one a CPU group).")
    cpus_per_worker: float = Field(1, gt=0, description="CPUs that each worker reserves in Ray.")
    gpu: bool = Field(False, description="Train on GPUs, one a worker.")
    threads: int = Field(0, ge=0, description="Torch threads a worker; 0 = all cores divided by the workers.")
    cache_bytes: int = Field(
        4 * 2**30, ge=0, description="Memory a worker may fill with decoded photos; others are decoded every epoch."
    )
    maximum_failures: int = Field(3, ge=0, description="How many times Ray restarts failed workers.")


class GridSettings(Section):
    """The block grid."""

    rows: int = Field(3, ge=1, le=16, description="Block rows.")
    columns: int = Field(4, ge=1, le=16, description="Block columns; rows x columns is at most 16.")


class RankSettings(Section):
    """Scoring every block subset of every photo (jobs/rank.py)."""

    checkpoint: str | None = Field(
        None,
        description="Checkpoint folder (model.safetensors + model.json); default: the train run's, under the output.",
    )
    grid: GridSettings = Field(GridSettings(), description="The block grid.")
    rule: Rule = Field("level_plcc", description="Default rule for which half is important.")
    native: bool = Field(False, description="Score photos at their own size instead of the checkpoint's input size.")
    portrait: Literal["resize", "rotate"] = Field(
        "resize",
        description="Photos higher than wide: `resize` to the landscape input like all others, or `rotate` a quarter "
        "turn first.",
    )
    splits: tuple[str, ...] = Field((), description="Only images of these splits; empty = all.")
    limit: int | None = Field(None, ge=1, description="Only the first so many images (for a try).")
    tables: bool = Field(True, description="Write and print the tables at the end.")
    bootstrap: int = Field(2000, ge=10, description="Bootstrap resamples behind every interval.")
    rows_per_file: int = Field(
        256, ge=1, description="Images a part file; what a kill can cost is at most this many and those in flight."
    )


class ComputeSettings(Section):
    """What the job takes of the machine or cluster."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models run; `auto` = cuda where a node has it."
    )
    actors: int = Field(0, ge=0, description="Most scoring actors; 0 = one a GPU, or one a CPU but for two.")
    gpus_per_actor: float = Field(1, gt=0, description="GPU share of an actor (fractions share one GPU).")
    cpus_per_actor: float = Field(1, gt=0, description="CPUs that an actor reserves in Ray.")
    threads: int = Field(0, ge=0, description="Torch threads an actor on CPU; 0 = 1.")
    batch_size: int = Field(
        0, ge=0, description="Images a backbone batch, always padded to this size; 0 = 1 on CPU, 16 on GPU."
    )
    decode_cpus: float = Field(0.5, gt=0, description="CPUs that a decoding task reserves in Ray.")
    progress_seconds: float = Field(10, gt=0, description="Seconds between progress lines.")


class TablesSettings(Section):
    """Tables from stored results (jobs/tables.py)."""

    damage: str | None = Field(
        None, description="CSV of planted defects (image_name,damaged_blocks), for the table of localisation."
    )
    untrained: str | None = Field(
        None, description="Checkpoint folder of an untrained model that was ranked too: the control of that table."
    )


class ReportSettings(Section):
    """Figures from stored results (jobs/report.py)."""

    images: tuple[str, ...] = Field((), description="Image ids to show; empty = those whose two halves differ most.")
    count: int = Field(3, ge=1, description="How many images to show when none are named.")


class Settings(Section):
    """All sections together."""

    output: str = Field("results", description="Folder or URI under which every result is written.")
    seed: int = Field(1, ge=0, description="The one seed; all randomness comes from it.")
    strict: bool = Field(False, description="Any row or photo with a problem makes the job fail (exit code 1).")
    data: DataSettings = Field(DataSettings(), description="The photos and their scores.")
    model: ModelSettings = Field(ModelSettings(), description="The quality model.")
    train: TrainSettings = Field(TrainSettings(), description="Fitting a model.")
    rank: RankSettings = Field(RankSettings(), description="Scoring every block subset.")
    tables: TablesSettings = Field(TablesSettings(), description="Tables from stored results.")
    report: ReportSettings = Field(ReportSettings(), description="Figures from stored results.")
    compute: ComputeSettings = Field(ComputeSettings(), description="Machine and cluster.")


def parse(program: str, description: str, sections: Sequence[str], arguments: Sequence[str] | None = None) -> Settings:
    """Read settings from the command line and ``--config`` files.

    ``sections`` names the sections that this job uses: ``--help`` shows those; the others are accepted and
    checked, so that one YAML serves all jobs. Exits with code 2 and one clear line on an unknown or
    out-of-range setting.
    """
    parser = ArgumentParser(
        prog=program, description=description, usage=f"{program} [--config FILE.yaml] [--SECTION.NAME VALUE ...]"
    )
    parser.add_argument("--config", action="config", help="YAML file with settings; later ones and flags win.")
    for name, field in Settings.model_fields.items():
        if field.annotation is bool:
            parser.add_argument(f"--{name}", action="store_true", help=field.description)
        else:
            kind: Any = field.annotation
            parser.add_argument(f"--{name}", type=kind, default=field.default, help=field.description)
    for action in parser._actions:
        section = action.dest.split(".")[0]
        is_group = isinstance(getattr(Settings.model_fields.get(section), "default", None), Section)
        if is_group and section not in sections:
            action.help = argparse.SUPPRESS
    read = parser.instantiate(parser.parse_args(arguments))
    return Settings(**{name: getattr(read, name) for name in Settings.model_fields})


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-serialisable value or settings section, independent of key order."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
