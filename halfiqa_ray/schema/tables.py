"""The tables that are made from stored rows."""

from __future__ import annotations

import pyarrow as pa

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


# The data set that each model behind a table learned from, such as triq: biq2021.
_LEARNED_FROM = pa.field("learned_from", pa.string())


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
        _LEARNED_FROM,
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
    _LEARNED_FROM,
    pa.field("note", pa.string()),  # why a number is missing, or how to read it
    pa.field("synthetic", pa.bool_(), nullable=False),
]


# PLCC with half of the pixels zeroed: "important" and "trivial" say which half. Scope all: all images that were zeroed.
TABLE1 = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string(), nullable=False),
        pa.field("model_run", pa.string()),  # of the zeroed rows; null where there are none
        pa.field("kind", pa.string(), nullable=False),  # rule, own, measure, control: what picked the halves
        pa.field("ranking", pa.string(), nullable=False),  # its name, as in the zeroed rows
        pa.field("fill", pa.string(), nullable=False),  # what the pixels of the half were set to: zero (the paper) ...
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
        pa.field("fill", pa.string(), nullable=False),
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


# How far the score moves as blocks are masked, and settles as they are kept, most important first.
FAITHFULNESS = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string()),  # whose score it is
        pa.field("fill", pa.string(), nullable=False),  # masked (in the transformer), or what pixels were set to
        pa.field("kind", pa.string(), nullable=False),  # rule, measure, explanation, random
        pa.field("name", pa.string(), nullable=False),
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        *_RESAMPLED,
        *_with_interval("deletion"),  # area under the absolute change of the score, MOS units
        *_with_interval("insertion"),
        *_with_interval("gap"),  # deletion less insertion
        *_with_interval("deletion_less_random"),  # paired, image by image
        *_with_interval("random_less_insertion"),
        *_with_interval("better"),  # share of images with a gap above 0
        *_with_interval("comprehensiveness"),  # absolute change with the important half deleted, MOS units
        *_with_interval("sufficiency"),  # with nothing but the important half
        *_with_interval("comprehensiveness_bins"),  # mean over the first 1, 5, 10, 20 and 50% of the blocks
        *_with_interval("sufficiency_bins"),
        *_LAST,
    ]
)


# The mean curves behind the areas: a row an order and number of blocks.
FAITHFULNESS_CURVES = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string()),  # whose score it is
        pa.field("fill", pa.string(), nullable=False),  # masked (in the transformer), or what pixels were set to
        pa.field("kind", pa.string(), nullable=False),  # rule, measure, explanation, random
        pa.field("name", pa.string(), nullable=False),
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("blocks", pa.int32(), nullable=False),  # deleted, or inserted: 0 .. all
        pa.field("fraction", pa.float64(), nullable=False),  # of the blocks
        pa.field("n", pa.int64(), nullable=False),
        *_RESAMPLED,
        *_with_interval("deletion"),  # mean absolute change of the score, MOS units
        *_with_interval("insertion"),
        *_LAST,
    ]
)


# The ranking model's scores with the pixels of a half filled against those with it masked; parts of the MOS scale.
FILLS_TABLE = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string()),
        pa.field("kind", pa.string(), nullable=False),  # rule, measure, control
        pa.field("ranking", pa.string(), nullable=False),
        pa.field("default_rule", pa.bool_(), nullable=False),
        pa.field("taken_away", pa.string(), nullable=False),  # the half: important, trivial
        pa.field("fill", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # images that have the half with every fill of it
        *_RESAMPLED,
        *_with_interval("plcc"),  # of the filled with the masked score
        *_with_interval("difference"),  # mean absolute difference of the two
        *_with_interval("shift"),  # mean of filled less masked
        *_with_interval("masked_change"),  # mean absolute change from the whole photo's score
        *_with_interval("filled_change"),
        *_LAST,
    ]
)


# Does the half that the ranking model calls important matter to another model as that model's own half does.
OWN_HALVES = pa.schema(
    [
        *_OF_RUN,
        pa.field("model", pa.string()),  # that is asked; null where none was asked for its own halves
        pa.field("ranking", pa.string(), nullable=False),  # the rule of the ranking model's halves
        pa.field("n", pa.int64(), nullable=False),  # images with both halves
        *_RESAMPLED,
        *_with_interval("shared"),  # blocks that both halves have, mean over images
        pa.field("shared_chance", pa.float64(), nullable=False),  # of two random halves
        *_with_interval("important"),  # PLCC with the original prediction, the ranking model's half zeroed
        *_with_interval("own_important"),  # this model's own half zeroed
        *_with_interval("important_difference"),  # own less the ranking model's
        *_with_interval("trivial"),
        *_with_interval("own_trivial"),
        *_with_interval("trivial_difference"),
        *_LAST,
    ]
)


# Shapley values from a few evaluations against the exact ones.
SHAPLEY_ESTIMATES = pa.schema(
    [
        *_OF_RUN,
        pa.field("estimator", pa.string(), nullable=False),  # permutations, kernel_shap
        pa.field("evaluations", pa.int32(), nullable=False),  # scores that an estimate asks for
        pa.field("share", pa.float64(), nullable=False),  # of all subsets
        pa.field("draws", pa.int32(), nullable=False),  # that every number is the mean of
        pa.field("n", pa.int64(), nullable=False),
        *_RESAMPLED,
        *_with_interval("error"),  # mean absolute error of a block's value, MOS units
        pa.field("relative", pa.float64()),  # that, as a share of the mean magnitude of the exact values
        *_with_interval("spearman"),  # of the magnitudes of the blocks, mean over images
        *_with_interval("overlap"),  # share of the exact important half that is in the estimated one
        *_LAST,
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


# Every checkpoint's predictions for every data set with MOS, against MOS.
CARRY_OVER = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),  # whose photos were predicted
        pa.field("scope", pa.string(), nullable=False),  # their split, or all where there are no splits
        pa.field("model", pa.string(), nullable=False),
        pa.field("training_run", pa.string(), nullable=False),
        pa.field("trained_on", pa.string()),  # the data set that it learned from; null where that is not known
        pa.field("photos_were", pa.string()),  # trained on, chosen by, held back, of another data set
        pa.field("checkpoint_sha256", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # photos with MOS
        *_with_interval("plcc"),
        *_with_interval("srcc"),
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)
