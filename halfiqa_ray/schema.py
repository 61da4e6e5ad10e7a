"""The columns of every stored table. They are a public interface: plain Arrow types, no pickles, no extensions.

File metadata (``table.schema.metadata``) holds what is true of the whole file as JSON under ``halfiqa_ray``:
data set, MOS scale, and for derived tables the run key, model and grid.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

METADATA_KEY = b"halfiqa_ray"
# Rules that give every image a half of its own. `image_plcc` is a data-set-wide rule and has no column here.
IMAGE_RULES = ("level_plcc", "score_change", "shapley", "banzhaf")
EXPLANATIONS = ("grad_cam", "lime")

MANIFEST = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),  # path relative to the data root, with extension
        pa.field("uri", pa.string(), nullable=False),  # where to read it
        pa.field("width", pa.int32()),  # stored pixels, EXIF orientation applied; null where not looked at
        pa.field("height", pa.int32()),
        pa.field("mos", pa.float64()),  # native scale of the data set; null for photos without scores
        pa.field("levels", pa.list_(pa.float32(), 5)),  # votes 1..5 as fractions; null where unknown
        pa.field("mos_std", pa.float64()),
        pa.field("mos_zscore", pa.float64()),  # KonIQ's other scale, kept and never used
        pa.field("spatial_information", pa.float64()),  # ITU-T P.910 on luma; null where not computed
        pa.field("split", pa.string()),  # train, validation, test, or another name; null without splits
        pa.field("split_source", pa.string()),  # file, column, own
        pa.field("source_photo", pa.string()),  # photo of which this is a crop; null = itself
    ]
)

PREDICTIONS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("mos", pa.float64(), nullable=False),  # native scale of the data set
        pa.field("score", pa.float64()),  # the same; null where the photo cannot be read
    ]
)

TRIALS = pa.schema(  # of a search; then a column for every setting that was searched, under its dotted name
    [
        pa.field("number", pa.int32(), nullable=False),  # from 1
        pa.field("state", pa.string(), nullable=False),  # finished, stopped (others were better), failed
        pa.field("reason", pa.string()),  # of a failure
        pa.field("epochs", pa.int32(), nullable=False),  # that were run, in all stages
        pa.field("seconds", pa.float64(), nullable=False),  # of these epochs, their validation included
        pa.field("stage", pa.string()),  # of the best epoch; null where there is none
        pa.field("epoch", pa.int32()),  # best epoch of that stage, from 1
        pa.field("plcc", pa.float64()),  # on validation, at the best epoch
        pa.field("srcc", pa.float64()),
    ]
)

ERRORS = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("error", pa.string()),  # a short name of the kind of problem
        pa.field("message", pa.string()),  # what was wrong, where (file and row)
    ]
)


def rank(blocks: int) -> pa.Schema:
    """Columns of ``rank/``: one row an image with all 2^B subset scores and the halves of every per-image rule."""
    subsets = 1 << blocks
    fields = [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("source_photo", pa.string()),
        pa.field("mos", pa.float64()),
        pa.field("score", pa.float32(), nullable=False),  # native MOS units, nothing masked
        pa.field("levels", pa.list_(pa.float32(), 5)),  # null for a scalar head
        pa.field("subset_scores", pa.list_(pa.float32(), subsets), nullable=False),  # index = bit mask of kept blocks
        pa.field("level_plcc", pa.list_(pa.float32(), subsets)),  # elements null where a side does not vary
        pa.field("original_height", pa.int32()),
        pa.field("original_width", pa.int32()),
        pa.field("scored_height", pa.int32()),
        pa.field("scored_width", pa.int32()),
        pa.field("shapley", pa.list_(pa.float32(), blocks)),  # signed, MOS units
        pa.field("banzhaf", pa.list_(pa.float32(), blocks)),
    ]
    for rule in IMAGE_RULES:
        fields.append(pa.field(f"importance_{rule}", pa.list_(pa.float32(), blocks)))  # higher = more important
        fields.append(pa.field(f"important_{rule}", pa.uint16()))  # bit set = block is in the important half
    return pa.schema(fields)


def measures(blocks: int) -> pa.Schema:
    """Columns of ``measures/``: one row an image and measure (saliency, frequency_csf_whitened, ...)."""
    return pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("split", pa.string()),
            pa.field("source_photo", pa.string()),
            pa.field("measure", pa.string(), nullable=False),
            pa.field("block_means", pa.list_(pa.float32(), blocks), nullable=False),
            pa.field("high_blocks", pa.uint16(), nullable=False),  # bit set = block is in the half with higher means
            pa.field("tied", pa.bool_(), nullable=False),  # equal means stood at the border of the halves
        ]
    )


ZEROED = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("source_photo", pa.string()),
        pa.field("mos", pa.float64()),
        # What chose the half: a rule (level_plcc ...), a measure (averaged_...), or a control (control_random,
        # control_centre, control_other); null for the photo as it is.
        pa.field("ranking", pa.string()),
        pa.field("zeroed_half", pa.string(), nullable=False),  # none, important, trivial
        pa.field("zeroed_blocks", pa.uint16(), nullable=False),  # bit set = zeroed
        pa.field("score", pa.float32(), nullable=False),  # native MOS units
    ]
)


def explain(blocks: int) -> pa.Schema:
    """Columns of ``explain/``: one row an image and method of explaining one model's score."""
    return pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("split", pa.string()),
            pa.field("source_photo", pa.string()),
            pa.field("method", pa.string(), nullable=False),  # grad_cam, lime
            pa.field("score", pa.float32(), nullable=False),  # that is explained, native MOS units
            pa.field("block_means", pa.list_(pa.float32(), blocks), nullable=False),  # of the map's absolute values
            pa.field("signed_means", pa.list_(pa.float32(), blocks), nullable=False),  # above 0: raises the score
            pa.field("high_blocks", pa.uint16(), nullable=False),  # bit set = block is in the half with higher means
            pa.field("tied", pa.bool_(), nullable=False),  # equal means stood at the border of the halves
        ]
    )


# Small pixel maps of chosen images, of measures and of explanations (absolute values), for figures.
MAPS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),  # a measure (saliency ...) or a method (grad_cam ...)
        pa.field("model", pa.string()),  # whose score a method explains; null for measures
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("minimum", pa.float32(), nullable=False),  # value of pixel 0
        pa.field("maximum", pa.float32(), nullable=False),  # value of pixel 255
        pa.field("pixels", pa.list_(pa.uint8()), nullable=False),  # row by row from the top left
    ]
)

SUBSET_STATISTICS = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("scope", pa.string(), nullable=False),  # all, or the name of a split
        pa.field("subset", pa.int32(), nullable=False),  # bit mask of the kept blocks
        pa.field("blocks_kept", pa.int32(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images
        pa.field("plcc", pa.float64()),  # with the unmasked prediction; null where a side does not vary
        pa.field("srcc", pa.float64()),
        pa.field("rmse", pa.float64()),  # MOS units
        pa.field("n_mos", pa.int64(), nullable=False),  # images with MOS
        pa.field("plcc_mos", pa.float64()),  # with MOS; null without
        pa.field("srcc_mos", pa.float64()),
        pa.field("rmse_mos", pa.float64()),
        pa.field("synthetic", pa.bool_(), nullable=False),  # made-up data: the numbers say nothing of people
    ]
)

DATASET_IMPORTANCE = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("scope", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),  # image_plcc
        pa.field("n", pa.int64(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),  # the block grid
        pa.field("columns", pa.int32(), nullable=False),
        # Of varying length, unlike in per-image files: runs with other grids stand in the same table.
        pa.field("importance", pa.list_(pa.float64())),  # higher = more important; null where undefined
        pa.field("important", pa.uint16()),  # bit set = block is in the important half
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)


def _with_interval(name: str) -> list[pa.Field]:
    """A value and the ends of its 95% interval; null where they do not exist."""
    return [pa.field(name + end, pa.float64()) for end in ("", "_low", "_high")]


# PLCC with a half masked in the transformer: "trivial" and "important" say which half was masked.
SECTION2 = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("rows", pa.int32(), nullable=False),  # the block grid
        pa.field("columns", pa.int32(), nullable=False),
        pa.field("scope", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # rule, control, bound
        pa.field("name", pa.string(), nullable=False),
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images behind the row
        pa.field("n_mos", pa.int64(), nullable=False),
        pa.field("resampled", pa.string(), nullable=False),  # image, source photo
        pa.field("resampled_units", pa.int64(), nullable=False),
        pa.field("resamples", pa.int64(), nullable=False),
        *_with_interval("trivial"),  # PLCC of the masked with the unmasked prediction
        *_with_interval("important"),
        *_with_interval("difference"),  # trivial - important
        *_with_interval("trivial_minus_random"),  # paired with the control `random half`
        *_with_interval("important_minus_random"),
        *_with_interval("trivial_mos"),  # PLCC of the masked prediction with MOS
        *_with_interval("important_mos"),
        *_with_interval("difference_mos"),
        *_with_interval("unmasked_mos"),  # PLCC of the unmasked prediction with MOS, the same images
        pa.field("paper_trivial", pa.float64()),  # only beside the paper's data sets
        pa.field("paper_important", pa.float64()),
        pa.field("trivial_minus_paper", pa.float64()),
        pa.field("important_minus_paper", pa.float64()),
        pa.field("kept_trivial_masked", pa.uint16()),  # kept blocks where one half serves all images
        pa.field("kept_important_masked", pa.uint16()),
        pa.field("note", pa.string()),  # why a number is missing, or how to read it
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)

# Planted defects: are the blocks that a rule finds the damaged ones?
LOCALISATION = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),  # trained, untrained
        pa.field("scope", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images damaged in part
        pa.field("photos", pa.int64(), nullable=False),
        pa.field("chance", pa.float64()),  # mean share of damaged blocks
        pa.field("most_hits", pa.int64(), nullable=False),  # images whose most important block is damaged
        *_with_interval("most"),  # their share, Wilson interval
        *[pa.field(f"most_photo_{end}", pa.float64()) for end in ("low", "high")],  # source photos resampled
        pa.field("least_hits", pa.int64(), nullable=False),  # images whose least important block is damaged
        *_with_interval("least"),
        *[pa.field(f"least_photo_{end}", pa.float64()) for end in ("low", "high")],
        *_with_interval("important_share"),  # of the damaged blocks, in the important half; photos resampled
        pa.field("important_share_chance", pa.float64()),  # the important half's share of all blocks
        *_with_interval("most_minus_untrained"),  # paired, source photos resampled
        pa.field("finds", pa.string(), nullable=False),  # damaged, clean, neither
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)


# Columns that every table below begins with.
_OF_RUN = [
    pa.field("dataset", pa.string(), nullable=False),
    pa.field("run", pa.string(), nullable=False),  # of the rank job
    pa.field("scope", pa.string(), nullable=False),  # all, or the name of a split
]
_RESAMPLED = [
    pa.field("resampled", pa.string(), nullable=False),  # image, source photo
    pa.field("resampled_units", pa.int64(), nullable=False),
]
_LAST = [
    pa.field("note", pa.string()),  # why a number is missing, or how to read it
    pa.field("synthetic", pa.bool_(), nullable=False),
]

# PLCC with half of the pixels zeroed: "important" and "trivial" say which half. Scope all: all images that were zeroed.
TABLE1 = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string(), nullable=False),
        pa.field("model_run", pa.string()),  # of the zeroed rows; null where there are none
        pa.field("kind", pa.string(), nullable=False),  # rule, measure, control: what picked the halves
        pa.field("ranking", pa.string(), nullable=False),  # its name, as in the zeroed rows
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images behind the row
        pa.field("n_mos", pa.int64(), nullable=False),
        *_RESAMPLED,
        pa.field("resamples", pa.int64(), nullable=False),
        *_with_interval("test"),  # PLCC of the prediction with MOS, nothing zeroed, all images of the scope
        *_with_interval("important"),  # PLCC of the prediction with the half zeroed with the original prediction
        *_with_interval("important_mos"),  # and with MOS
        *_with_interval("trivial"),
        *_with_interval("trivial_mos"),
        *_with_interval("difference"),  # trivial - important
        *_with_interval("difference_mos"),
        pa.field("paper_dataset", pa.string()),  # the paper's data set that this one is, or stands in for
        pa.field("paper_test", pa.float64()),  # only in the rows of rules
        pa.field("paper_important", pa.float64()),
        pa.field("paper_important_mos", pa.float64()),
        pa.field("paper_trivial", pa.float64()),
        pa.field("paper_trivial_mos", pa.float64()),
        pa.field("test_minus_paper", pa.float64()),  # only where the data set is the paper's
        pa.field("important_minus_paper", pa.float64()),
        pa.field("important_mos_minus_paper", pa.float64()),
        pa.field("trivial_minus_paper", pa.float64()),
        pa.field("trivial_mos_minus_paper", pa.float64()),
        *_LAST,
    ]
)

# Table I's rows of rules and measures less those of the controls, paired.
TABLE1_CONTROLS = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string(), nullable=False),
        pa.field("ranking", pa.string(), nullable=False),
        pa.field("control", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images that both rows have
        *_with_interval("important"),
        *_with_interval("important_mos"),
        *_with_interval("trivial"),
        *_with_interval("trivial_mos"),
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)

# Halves by the averaged measure, zeroed in every model.
AVERAGED_MEASURE = pa.schema(
    [
        *_OF_RUN,
        pa.field("ranking", pa.string(), nullable=False),  # averaged_...
        pa.field("model", pa.string(), nullable=False),  # or mean
        pa.field("models", pa.int64(), nullable=False),  # behind the row
        pa.field("n", pa.int64(), nullable=False),  # images, of the model with the fewest
        *_with_interval("important"),  # PLCC with the original prediction
        *_with_interval("trivial"),
        *_with_interval("difference"),  # trivial - important
        pa.field("paper_important", pa.float64()),  # only beside the mean
        pa.field("paper_trivial", pa.float64()),
        pa.field("important_minus_paper", pa.float64()),  # only where data, models and measure are the paper's
        pa.field("trivial_minus_paper", pa.float64()),
        *_LAST,
    ]
)

# Halves by explanations of a model's score, and by all else that picks halves, zeroed in the same images. PLCC of the
# prediction with the original one; `_mos` with MOS.
EXPLANATIONS_TABLE = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string(), nullable=False),  # that predicts the zeroed images, or mean
        pa.field("models", pa.int64(), nullable=False),  # behind the row
        # rule, explanation (of the ranking model's score), own explanation (of this model's), measure, control
        pa.field("kind", pa.string(), nullable=False),
        pa.field("ranking", pa.string(), nullable=False),  # as in the zeroed rows; the method for means of own ones
        pa.field("explain_run", pa.string()),  # of an explanation, 8 characters
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images, of the model with the fewest
        pa.field("n_mos", pa.int64(), nullable=False),
        *_RESAMPLED,
        pa.field("resamples", pa.int64(), nullable=False),
        *_with_interval("test"),  # PLCC of the prediction with MOS, nothing zeroed, the same images
        *_with_interval("important"),
        *_with_interval("important_mos"),
        *_with_interval("trivial"),
        *_with_interval("trivial_mos"),
        *_with_interval("difference"),  # trivial - important
        *_with_interval("difference_mos"),
        *_with_interval("important_minus_random"),  # paired with control_random
        *_with_interval("trivial_minus_random"),
        *_with_interval("difference_minus_random"),
        *_LAST,
    ]
)

# Matching degree: share of the images whose matching number passes a threshold, in both readings of the paper.
TABLE2 = pa.schema(
    [
        *_OF_RUN,
        pa.field("rows", pa.int32(), nullable=False),  # the block grid
        pa.field("columns", pa.int32(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),  # of the important half
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # measure, control
        pa.field("name", pa.string(), nullable=False),
        pa.field("papers_measure", pa.bool_()),  # whether a measure is the paper's own; null for controls
        pa.field("reading", pa.string(), nullable=False),  # "n > T", "n >= T"
        pa.field("threshold", pa.int32(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images
        pa.field("tied", pa.int64()),  # of them with equal block means at the border of the halves
        pa.field("matched", pa.int64(), nullable=False),
        *_with_interval("share"),
        pa.field("interval", pa.string()),  # how it was made
        pa.field("chance", pa.float64(), nullable=False),  # two random halves
        pa.field("paper", pa.float64()),  # share in the paper, KonIQ-10k and SPAQ together; reading n > T
        pa.field("minus_paper", pa.float64()),  # only where data, blocks and measure are the paper's
        *_LAST,
    ]
)

MATCHING_HISTOGRAM = pa.schema(
    [
        *_OF_RUN,
        pa.field("rule", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("matching_number", pa.int32(), nullable=False),  # blocks in both halves
        pa.field("images", pa.int64(), nullable=False),
        pa.field("share", pa.float64()),
        pa.field("chance", pa.float64(), nullable=False),
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)

# How well a part of the image stands for the whole: PLCC against the number of blocks kept.
SUFFICIENCY = pa.schema(
    [
        *_OF_RUN,
        pa.field("kind", pa.string(), nullable=False),  # rule, random, bound
        pa.field("name", pa.string(), nullable=False),
        pa.field("order", pa.string()),  # most important first, least important first
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("blocks_kept", pa.int32(), nullable=False),
        pa.field("fraction", pa.float64(), nullable=False),  # of the blocks
        pa.field("n", pa.int64(), nullable=False),
        pa.field("n_mos", pa.int64(), nullable=False),
        *_RESAMPLED,
        *_with_interval("plcc"),  # with the unmasked prediction
        *_with_interval("plcc_mos"),
        pa.field("kept", pa.uint16()),  # blocks where one subset serves all images
        *_LAST,
    ]
)

SUFFICIENT_FRACTION = pa.schema(
    [
        *_OF_RUN,
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("order", pa.string()),
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("level", pa.float64(), nullable=False),  # PLCC with the unmasked prediction that is kept
        pa.field("blocks_kept", pa.int32()),  # smallest number above the level; null where there is none
        *_with_interval("fraction"),
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)

# Two ways to say how important each block is, image by image.
AGREEMENT = pa.schema(
    [
        *_OF_RUN,
        pa.field("kind", pa.string(), nullable=False),  # rules, measure, explanation, model
        pa.field("rule", pa.string(), nullable=False),
        # Another rule, a measure, an explanation (grad_cam_MODEL ...), or a model's own zeroing importance.
        pa.field("other", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images with both
        pa.field("n_spearman", pa.int64(), nullable=False),  # of them those where both vary over the blocks
        *_RESAMPLED,
        *_with_interval("spearman"),  # mean over images of the rank correlation over blocks; chance is 0
        *_with_interval("overlap"),  # mean share of one important half that is in the other
        pa.field("overlap_chance", pa.float64(), nullable=False),
        *_LAST,
    ]
)

POSITIONS = pa.schema(
    [
        *_OF_RUN,
        pa.field("rule", pa.string(), nullable=False),
        pa.field("block", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("column", pa.int32(), nullable=False),
        pa.field("centre", pa.bool_(), nullable=False),  # in the centre half
        pa.field("n", pa.int64(), nullable=False),
        *_with_interval("important"),  # share of the images in whose important half the block is
        pa.field("expected", pa.float64(), nullable=False),  # if no position were preferred
        pa.field("importance", pa.float64()),  # mean of the importance standardised within each image
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)

POSITION_BIAS = pa.schema(
    [
        *_OF_RUN,
        pa.field("rule", pa.string(), nullable=False),
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        *_RESAMPLED,
        pa.field("statistic", pa.float64()),  # of the test that no position is preferred, chi-square
        pa.field("degrees", pa.int32(), nullable=False),
        pa.field("p_value", pa.float64()),
        pa.field("explained", pa.float64()),  # share of the importance within images that position explains
        pa.field("explained_chance", pa.float64()),
        pa.field("explained_centre", pa.float64()),  # that being in the centre half or not explains
        *_with_interval("in_centre"),  # mean share of the important half that lies in the centre half
        pa.field("in_centre_chance", pa.float64(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),  # is it only a centre bias?
        *_LAST,
    ]
)

# Shapley interaction of two blocks: above 0 more together than apart, below 0 they stand in for each other.
INTERACTION = pa.schema(
    [
        *_OF_RUN,
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("columns", pa.int32(), nullable=False),
        pa.field("first", pa.int32(), nullable=False),  # block numbers, first < second
        pa.field("second", pa.int32(), nullable=False),
        pa.field("distance", pa.float64(), nullable=False),  # of the blocks' centres, in blocks
        pa.field("n", pa.int64(), nullable=False),
        *_with_interval("mean"),  # over images, MOS units
        *_with_interval("magnitude"),  # mean of the absolute value
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)

INTERACTION_DISTANCE = pa.schema(
    [
        *_OF_RUN,
        pa.field("distance", pa.float64(), nullable=False),
        pa.field("pairs", pa.int32(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        *_with_interval("mean"),
        *_with_interval("magnitude"),
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)


def explained(method: str, model: str) -> str:
    """The name of the ranking by a method of explaining one model's score, in ``zeroed/`` and in tables."""
    return f"{method}_{model}"


def with_metadata(schema: pa.Schema, metadata: dict[str, Any]) -> pa.Schema:
    """The schema with ``metadata`` attached as JSON."""
    return schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})


def metadata(schema: pa.Schema) -> dict[str, Any]:
    """The metadata that ``with_metadata`` attached; {} when there is none."""
    return dict(json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}")))


def made_for(stored: dict[str, Any], rank_run: str, ranked: dict[str, Any]) -> bool:
    """Whether rows with the metadata ``stored`` belong to a rank run, of so many characters of a key and ``ranked``.

    Those that name a rank run (``rank_key``) belong to it, others to all runs over the same blocks of photos brought to
    size in the same way.
    """
    if "rank_key" in stored:
        return str(stored["rank_key"])[: len(rank_run)] == rank_run
    same = ["grid", "native", "portrait"]
    if "measures" in stored and "size" in ranked:
        same.append("size")  # measures are taken of the very pixels that were ranked; each model explains its own
    return all(stored.get(name) == ranked.get(name) for name in same)
