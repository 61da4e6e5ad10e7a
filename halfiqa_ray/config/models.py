"""Settings of the quality models and of weights that others published."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from halfiqa_ray.config.names import Name
from halfiqa_ray.config.section import Section
from halfiqa_ray.config.uris import Uri

PLACE = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
IMAGENET_MEAN = (0.485, 0.456, 0.406)


class BackboneSettings(Section):
    """The network that turns a photo into its feature matrix."""

    name: str = Field("resnet50", description="A timm model name.")
    weights: Uri = Field(
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
    output_start: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor on the random start of the output layer. The authors' 1 begins with scores that vary more "
        "than MOS do, which long runs forget; short runs want less.",
    )


class DbcnnSettings(Section):
    """DBCNN's branch for synthetic distortions (models/dbcnn.py)."""

    scnn_widths: tuple[int, int, int, int, int, int, int, int, int] = Field(
        (48, 48, 64, 64, 64, 64, 128, 128, 128),
        description="Channels of the nine convolutions of the S-CNN branch: the published ones, or fewer.",
    )
    scnn_weights: Uri = Field(
        "none",
        description="Weights of the S-CNN branch: `none` (random), or path or URI of a state dict such as the authors' "
        "scnn.pkl (github.com/zwx8981/DBCNN-PyTorch, pretrained_scnn/, MIT licence).",
    )


class SwinIqaSettings(Section):
    """Swin-IQA's channel attention (models/swin_iqa.py)."""

    width: int = Field(256, ge=1, description="Channels that every stage is brought to.")


class OutsideSettings(Section):
    """A model that is not ours: any callable from images in [0, 1] to a score each (docs/outside.md)."""

    factory: str | None = Field(
        None,
        pattern=PLACE,
        description="What makes the model, as package.module:function: it is called with the arguments and returns an "
        "nn.Module or any callable. Code that you name here is run.",
    )
    function: str | None = Field(
        None,
        pattern=PLACE,
        description="In place of a factory: a plain function of images that is the model itself, as "
        "package.module:function; the arguments are given to it at every call.",
    )
    arguments: dict[str, Any] = Field({}, description="Keyword arguments of the factory or function.")
    name: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9_]{0,99})?$",
        description="What tables and figures call it; none of the names of other models.",
    )
    scale: tuple[float, float] = Field((0.0, 1.0), description="Lowest and highest score, about.")
    better: Literal["higher", "lower"] = Field(
        "higher",
        description="Which scores are of better photos; `lower` ones are turned round within the scale, so that higher "
        "is better in every table.",
    )
    nothing: tuple[float, float, float] = Field(
        IMAGENET_MEAN,
        description="RGB value, 0 to 1, of pixels that are zeroed: the mean that the model subtracts from its input. "
        "By default that of ImageNet.",
    )
    one_by_one: bool = Field(
        False, description="Give it one image at a time (1 x 3 x height x width), for what does not take batches."
    )
    layer: str | None = Field(
        None,
        description="Layer of an nn.Module, as named_modules() calls it, whose map Grad-CAM explains; without it LIME "
        "explains alone.",
    )
    dataset: Name | None = Field(None, description="Data set that it learned from, where that is known.")
    version: str = Field(
        "",
        description="Any text that is changed when its scores change for reasons that are seen neither in its settings "
        "nor weights nor its file, such as data that it reads: results of another version are not mixed.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.factory and self.function:
            raise ValueError("factory and function are both given: a model has one of them")
        low, high = self.scale
        if not low < high:
            raise ValueError(f"scale is [{low}, {high}]: the lowest score comes first, and the two differ")
        if not all(0 <= value <= 1 for value in self.nothing):
            raise ValueError(f"nothing is {list(self.nothing)}: pixel values are 0 to 1 (divide by 255)")
        return self


class ModelSettings(Section):
    """The quality model."""

    name: str = Field(
        "triq",
        pattern=r"^[a-z0-9][a-z0-9_]{0,99}$",
        description="Which model: triq, aihiqnet, koncept, dbcnn, swin_iqa, or another file of halfiqa_ray/models/; or "
        "`outside`, which model.outside describes.",
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
    outside: OutsideSettings = Field(OutsideSettings(), description="A model that is not ours.")
    options: dict[str, Any] = Field({}, description="Settings of a model of your own, checked by its file.")

    @property
    def size(self) -> tuple[int, int]:
        """Input height and width."""
        return self.height, self.width

    @property
    def levels(self) -> bool:
        """Whether the distribution over the five levels is predicted."""
        return self.output == "levels"


class PublishedSettings(Section):
    """Weights that others trained and published (jobs/import_checkpoint.py)."""

    file: Uri | None = Field(
        None, description="Path or URI: a Keras .h5, or a PyTorch state dict (.pth, .pt, .pkl or .safetensors)."
    )
    layout: Literal["triq_keras", "aihiqnet_keras", "koncept512", "dbcnn"] = Field(
        "triq_keras", description="Whose names the file has: a file of halfiqa_ray/models/published/."
    )
    dataset: Name = Field("koniq10k", description="Data set that its authors trained it on.")
    mos_scale: tuple[float, float] | None = Field(
        None,
        description="Lowest and highest MOS that scores come out in. By default the authors' target: 1 to 5 for "
        "triq_keras and aihiqnet_keras, whose levels are brought to any range, 0 to 100 for the others, whose scores "
        "stay as they are.",
    )
    size: tuple[int, int] | None = Field(
        None, description="Height and width of the input in pixels; by default 768 1024, or 384 512 for the last two."
    )
    run: Name = Field("published", description="Name of the checkpoint.")
    maximum_bytes: int = Field(2 * 2**30, ge=1, description="Larger files, packed or unpacked, are refused.")
