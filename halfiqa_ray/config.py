"""Every setting of every job: what it means, its default and its bounds, in one place.

Each job takes these sections from YAML (``--config a.yaml``) and from the command line (``--rank.grid.rows 3``).
One YAML file may serve several jobs: a job reads the sections it needs, and the others are still checked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal, Self

from jsonargparse import ArgumentParser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Rule = Literal["level_plcc", "score_change", "shapley", "banzhaf", "image_plcc"]


class Section(BaseModel):
    """A group of settings: read-only, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Section):
    """The photos and their scores."""

    dataset: str = Field("photos", pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the data set in every output.")
    layout: Literal["folder", "koniq10k", "spaq", "biq2021", "pyiqa"] = Field(
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
    validation_share: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="Share of the training photos that becomes the validation split, alike in MOS and spatial "
        "information, where a published split has none; by default 0.05 for BIQ2021, 0 for others.",
    )
    split_file: str | None = Field(None, description="CSV with columns image_name,split (train, validation, test).")
    split_column: str | None = Field(None, description="Name of the split column where the score list has several.")
    maximum_pixels: int = Field(
        200_000_000, ge=1, description="Photos with more pixels are refused before they are decoded."
    )
    decode_seconds: float = Field(
        120,
        ge=0,
        description="Longest time that decoding one photo may take, in a process of its own that is ended then; 0 = "
        "photos are decoded in the job's own processes, bounded neither in time nor in memory.",
    )
    decode_bytes: int = Field(
        4 << 30, ge=256 << 20, description="Memory that decoding one photo may take in that process (on Linux)."
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
    norm_momentum: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Share of a batch in the head's BatchNorm statistics: Keras' 0.01 takes hundreds of steps to "
        "settle; short runs want more.",
    )


class DbcnnSettings(Section):
    """DBCNN's branch for synthetic distortions (models/dbcnn.py)."""

    scnn_widths: tuple[int, int, int, int, int, int, int, int, int] = Field(
        (48, 48, 64, 64, 64, 64, 128, 128, 128),
        description="Channels of the nine convolutions of the S-CNN branch: the published ones, or fewer.",
    )
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

    run: str = Field("default", pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the run; the same name resumes.")
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

    name: str = Field("default", pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the search; the same name resumes.")
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


class PublishedSettings(Section):
    """Weights that others trained and published (jobs/import_checkpoint.py)."""

    file: str | None = Field(
        None, description="Path or URI: a Keras .h5, or a PyTorch state dict (.pth, .pt, .pkl or .safetensors)."
    )
    layout: Literal["triq_keras", "aihiqnet_keras", "koncept512", "dbcnn"] = Field(
        "triq_keras", description="Whose names the file has: a file of halfiqa_ray/models/published/."
    )
    dataset: str = Field(
        "koniq10k", pattern=r"^[A-Za-z0-9_.-]+$", description="Data set that its authors trained it on."
    )
    mos_scale: tuple[float, float] | None = Field(
        None,
        description="Lowest and highest MOS that scores come out in. By default the authors' target: 1 to 5 for "
        "triq_keras and aihiqnet_keras, whose levels are brought to any range, 0 to 100 for the others, whose scores "
        "stay as they are.",
    )
    size: tuple[int, int] | None = Field(
        None, description="Height and width of the input in pixels; by default 768 1024, or 384 512 for the last two."
    )
    run: str = Field("published", pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the checkpoint.")
    maximum_bytes: int = Field(2 * 2**30, ge=1, description="Larger files, packed or unpacked, are refused.")


class GridSettings(Section):
    """The block grid."""

    rows: int = Field(3, ge=1, le=16, description="Block rows.")
    columns: int = Field(4, ge=1, le=16, description="Block columns; rows x columns is 2 to 16.")

    @model_validator(mode="after")
    def _has_halves(self) -> Self:
        if not 2 <= self.rows * self.columns <= 16:
            raise ValueError(
                f"a grid of {self.rows} x {self.columns} has {self.rows * self.columns} blocks; at least 2 have "
                f"halves, and at most 16 few enough subsets to score all of them"
            )
        return self


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
    measure: bool = Field(
        True, description="Measure the photos too (as jobs/measure.py), in the same pass over each decoded photo."
    )
    zero: bool = Field(
        True,
        description="Predict the photos of the zero splits with their halves zeroed too (as jobs/zero.py), in the same "
        "pass over each decoded photo.",
    )
    tables: bool = Field(True, description="Write and print the tables at the end.")
    bootstrap: int = Field(2000, ge=10, description="Bootstrap resamples behind every interval.")
    rows_per_file: int = Field(
        256, ge=1, description="Images a part file; what a kill can cost is at most this many and those in flight."
    )


class SaliencySettings(Section):
    """Spectral residual saliency (measures/saliency.py)."""

    recipe: Literal["authors", "opencv"] = Field(
        "authors", description="Numbers of Hou and Zhang's own script, or of OpenCV-contrib's implementation."
    )


class FrequencySettings(Section):
    """Spatial frequency (measures/frequency.py)."""

    combination: Literal["flat", "csf", "csf_whitened"] = Field(
        "csf_whitened",
        description="How the average makes one map of ten bands: their plain sum, weighted by contrast sensitivity, or "
        "so weighted after each band was divided by its mean over the data set.",
    )
    sample: int = Field(
        200, ge=1, description="Photos, drawn with the seed, behind those means; all if there are fewer."
    )


class ObjectnessSettings(Section):
    """Objectness (measures/pixel_objectness.py, measures/boundary_connectivity.py)."""

    model: Literal["boundary_connectivity", "pixel"] = Field(
        "boundary_connectivity",
        description="`pixel` is the paper's network and needs its weights; `boundary_connectivity` is computed, needs "
        "none and is not the paper's. The name is in every output.",
    )
    weights: str | None = Field(
        None, description="Path or URI of pixel_objectness.caffemodel; the user's to fetch, for research use only."
    )


class MeasureSettings(Section):
    """The semantic measures of Section 3 (jobs/measure.py)."""

    saliency: SaliencySettings = Field(SaliencySettings(), description="Saliency.")
    frequency: FrequencySettings = Field(FrequencySettings(), description="Spatial frequency.")
    objectness: ObjectnessSettings = Field(ObjectnessSettings(), description="Objectness.")


class ZeroSettings(Section):
    """Predicting photos whose important or trivial half is set to zero, Section 4.1 (jobs/zero.py)."""

    models: tuple[str, ...] = Field(
        (),
        description="Names of models (their checkpoint of this data set and train.run) or checkpoint folders; empty = "
        "every model that has such a checkpoint, and the one that ranks.",
    )
    rankings: tuple[str, ...] = Field(
        (),
        description="What picks the halves: rules (level_plcc, score_change, shapley, banzhaf, image_plcc), measures "
        "(saliency, averaged_...) and controls (control_random, control_centre, control_other); empty = rank.rule, "
        "score_change, the averaged measure and the controls.",
    )
    splits: tuple[str, ...] = Field(
        (),
        description="Only images of these splits; empty = every split whose name begins with `test`, or all images "
        "when there is none.",
    )
    single_block_images: int = Field(
        0,
        ge=0,
        description="So many of them, drawn with the seed, are also predicted with each single block zeroed: is what "
        "matters to the ranking model what matters to the others?",
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


class TablesSettings(Section):
    """Tables from stored results (jobs/tables.py)."""

    damage: str | None = Field(
        None, description="CSV of planted defects (image_name,damaged_blocks), for the table of localisation."
    )
    untrained: str | None = Field(
        None, description="Checkpoint folder of an untrained model that was ranked too: the control of that table."
    )


class LimeSettings(Section):
    """LIME (explain/lime.py)."""

    segments: int = Field(50, ge=2, description="Superpixels that a photo is cut into, about.")
    samples: int = Field(
        500, ge=10, description="Predictions behind a map: of the photo, then with about half of them hidden."
    )


class ExplainSettings(Section):
    """Explaining models' scores by Grad-CAM and LIME, the paper's Figure 1 (jobs/explain.py)."""

    methods: tuple[Literal["grad_cam", "lime"], ...] = Field(("grad_cam", "lime"), description="Which methods.")
    models: tuple[str, ...] = Field(
        (),
        description="Models whose scores are explained: names or checkpoint folders, one of each name; empty = as "
        "zero.models when empty.",
    )
    splits: tuple[str, ...] = Field((), description="Only images of these splits; empty = as zero.splits.")
    images: int = Field(100, ge=1, description="So many of them, drawn with the seed; all if there are fewer.")
    maps: int = Field(
        12,
        ge=0,
        description="Of so many of them, those whose two halves differ most, and of report.images, pixel maps are "
        "stored for figures.",
    )
    zero: bool = Field(
        True,
        description="Zero the halves that methods, measures, rule and controls pick in these images, in every model "
        "that is explained or in zero.models, and compare them in a table.",
    )
    lime: LimeSettings = Field(LimeSettings(), description="LIME.")


class ReportSettings(Section):
    """Figures and the page from stored results (jobs/report.py)."""

    datasets: tuple[str, ...] = Field(
        (), description="Data sets to show; empty = all that have a rank run below the output."
    )
    images: tuple[str, ...] = Field((), description="Image ids to show; empty = those whose two halves differ most.")
    count: int = Field(3, ge=1, description="How many images the figures show when none are named.")
    page: bool = Field(True, description="Make the page, report/index.html.")
    photos: int = Field(
        200,
        ge=1,
        description="Photos of each data set in the page's gallery and block explorer: with 3 x 4 blocks some 35 kB "
        "each, with 4 x 4 some 200 kB.",
    )
    thumbnail: int = Field(400, ge=32, le=2048, description="Longest side of a photo in the page, pixels.")
    export: Literal["none", "shown", "all"] = Field(
        "none", description="Write photos with their important and trivial half as image files below figures/halves/."
    )


class ExperimentSettings(Section):
    """One data set of an experiment, as YAML files that are laid over the experiment's own settings."""

    data: tuple[str, ...] = Field(description="Files that describe the data set.")
    models: tuple[tuple[str, ...], ...] = Field(
        description="For every model the files that describe it and its training; the first one scores the subsets."
    )


class ReproduceSettings(Section):
    """A whole experiment from photos to tables and page (jobs/reproduce.py)."""

    experiments: list[ExperimentSettings] = Field([], description="Its data sets, each with its models.")
    at_once: int = Field(
        1,
        ge=1,
        description="Models trained at the same time. On CPU also set train.threads: each takes all cores otherwise.",
    )
    explain: bool = Field(True, description="Explain scores too (as jobs/explain.py).")
    report: bool = Field(True, description="Draw the figures and make the page in the end (as jobs/report.py).")


class Settings(Section):
    """All sections together."""

    output: str = Field("results", description="Folder or URI under which every result is written.")
    seed: int = Field(1, ge=0, description="The one seed; all randomness comes from it.")
    strict: bool = Field(False, description="Any row or photo with a problem makes the job fail (exit code 1).")
    force: bool = Field(
        False, description="Take a folder of results from another job that seems to be still at work on it."
    )
    data: DataSettings = Field(DataSettings(), description="The photos and their scores.")
    model: ModelSettings = Field(ModelSettings(), description="The quality model.")
    train: TrainSettings = Field(TrainSettings(), description="Fitting a model.")
    tune: TuneSettings = Field(TuneSettings(), description="Searching the settings of a fit.")
    published: PublishedSettings = Field(PublishedSettings(), description="Weights that others published.")
    rank: RankSettings = Field(RankSettings(), description="Scoring every block subset.")
    measure: MeasureSettings = Field(MeasureSettings(), description="The semantic measures.")
    zero: ZeroSettings = Field(ZeroSettings(), description="Halves set to zero.")
    tables: TablesSettings = Field(TablesSettings(), description="Tables from stored results.")
    explain: ExplainSettings = Field(ExplainSettings(), description="Explanations of scores.")
    report: ReportSettings = Field(ReportSettings(), description="Figures and the page.")
    reproduce: ReproduceSettings = Field(ReproduceSettings(), description="A whole experiment.")
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
    try:
        read = parser.instantiate(parser.parse_args(arguments))
    except ValidationError as error:  # of settings that only together are wrong
        parser.error("; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors()))
    return Settings(**{name: getattr(read, name) for name in Settings.model_fields})


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-serialisable value or settings section, independent of key order."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
