"""Settings of what is computed of each photo: subsets, measures, zeroed halves, explanations."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from halfiqa_ray.config.section import Section
from halfiqa_ray.config.uris import Uri

Rule = Literal["level_plcc", "score_change", "shapley", "banzhaf", "image_plcc"]
# What the pixels of a block that is taken away are set to (masking/fills.py).
Fill = Literal["zero", "photo_mean", "blur", "inpaint", "black"]
FILLS: tuple[Fill, ...] = get_args(Fill)


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

    checkpoint: Uri | None = Field(
        None,
        description="Checkpoint folder (model.safetensors + model.json), or the name of a model that comes with the "
        "package, such as biq2021/triq (halfiqa models lists them); default: the train run's, under the output.",
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
        "so weighted after each band was divided by its mean over many photos.",
    )
    whitening: Literal["natural", "data_set"] = Field(
        "natural",
        description="Whose mean that is: `natural`, constants of 9,500 photos of BIQ2021 (a photo's measure then hangs "
        "on no other photo), or `data_set`, of the photos at hand in a pass of its own before.",
    )
    sample: int = Field(
        200, ge=1, description="Photos, drawn with the seed, behind the means of `data_set`; all if there are fewer."
    )


class ObjectnessSettings(Section):
    """Objectness (measures/pixel_objectness.py, measures/boundary_connectivity.py, measures/salient_object.py)."""

    model: Literal["boundary_connectivity", "pixel", "u2netp"] = Field(
        "boundary_connectivity",
        description="`pixel` is the paper's network and needs its weights; `boundary_connectivity` is computed, needs "
        "none and is not the paper's; `u2netp` is a network for the salient object, which needs its weights and "
        "onnxruntime and is not the paper's. The name is in every output.",
    )
    weights: Uri | None = Field(
        None,
        description="Path or URI of pixel_objectness.caffemodel (for research use only) or u2netp.onnx (MIT); the "
        "user's to fetch.",
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
        description="Names of models (their checkpoint of this data set and train.run), of models that come with the "
        "package (biq2021/koncept), checkpoint folders, or models that are not ours: a settings file whose model is "
        "outside (models/outside/laplacian.yaml), outside:NAME for one that an installed package offers, or outside, "
        "which model.outside describes; empty = every model that has such a checkpoint, the one that ranks, and "
        "model.outside where model.name is outside.",
    )
    rankings: tuple[str, ...] = Field(
        (),
        description="What picks the halves: rules (level_plcc, score_change, shapley, banzhaf, image_plcc), measures "
        "(saliency, averaged_...), occlusion (each model's own half: the blocks whose zeroing, one by one, moves its "
        "score most; 2 passes and one a block) and controls (control_random, control_centre, control_other); empty = "
        "rank.rule, score_change, the averaged measure and the controls.",
    )
    splits: tuple[str, ...] = Field(
        (),
        description="Only images of these splits; empty = every split whose name begins with `test`, or all images "
        "when there is none.",
    )
    images: int | None = Field(
        None, ge=1, description="Only so many of them, drawn with the seed (for a try, or for costly fills)."
    )
    fill: tuple[Fill, ...] = Field(
        ("zero",),
        min_length=1,
        description="What the pixels of a half that is taken away are set to, one or several: `zero` after "
        "normalisation (the paper's: the mean colour that the model subtracts), `photo_mean` (the photo's own mean "
        "colour), `blur` (the photo blurred by a Gaussian, sigma 5% of its shorter side at the model's input size), "
        "`inpaint` (OpenCV's, from the pixels that are kept; needs the extra `inpaint`), `black`. Each takes as many "
        "passes as the first.",
    )
    curves: bool = Field(
        False,
        description="Predict also along the order of the blocks by every rule and measure among the rankings, by each "
        "model's own stored explanations (jobs/explain.py), and by a random one: most important blocks filled first, "
        "and all but those (deletion and insertion). With B blocks "
        "2 B - 1 passes an order, fill and model (23 of 3 x 4), in the second pass; not by inpaint, which needs "
        "something kept.",
    )
    single_block_images: int = Field(
        0,
        ge=0,
        description="So many of them, drawn with the seed, are also predicted with each single block zeroed (by `zero` "
        "whatever the fill): is what matters to the ranking model what matters to the others?",
    )

    @field_validator("fill")
    @classmethod
    def _each_once(cls, fills: tuple[Fill, ...]) -> tuple[Fill, ...]:
        return tuple(dict.fromkeys(fills))


class LimeSettings(Section):
    """LIME (explain/lime.py)."""

    segments: int = Field(50, ge=2, description="Superpixels that a photo is cut into, about.")
    samples: int = Field(
        500, ge=10, description="Predictions behind a map: of the photo, then with about half of them hidden."
    )
    fill: Literal["zero", "photo_mean", "blur", "black"] = Field(
        "zero", description="What hides a superpixel, as in zero.fill; inpainting would take its time for every sample."
    )


class ExplainSettings(Section):
    """Explaining models' scores by Grad-CAM and LIME, the paper's Figure 1 (jobs/explain.py)."""

    methods: tuple[Literal["grad_cam", "lime"], ...] = Field(("grad_cam", "lime"), description="Which methods.")
    models: tuple[str, ...] = Field(
        (),
        description="Models whose scores are explained, named as in zero.models, one of each name; empty = as "
        "zero.models when empty.",
    )
    splits: tuple[str, ...] = Field((), description="Only images of these splits; empty = as zero.splits.")
    images: int = Field(
        100,
        ge=1,
        description="So many of them, drawn with the seed as zero.images are, so that the fewer are "
        "among the more; all if there are fewer.",
    )
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
