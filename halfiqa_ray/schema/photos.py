"""What the jobs store of photos: a row a photo, or a few."""

from __future__ import annotations

import pyarrow as pa

from halfiqa_ray.schema.file_metadata import metadata, with_metadata

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


# Rows of ``zeroed/`` of version 1 have no column ``fill``: all of them are by ``zero``.
ZEROED_VERSION = 2
ZEROED = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("source_photo", pa.string()),
        pa.field("mos", pa.float64()),
        # What chose the half: a rule (level_plcc ...), a measure (averaged_...), or a control (control_random,
        # control_centre, control_other); null for the photo as it is; order_RANKING along the order of its blocks.
        pa.field("ranking", pa.string()),
        # none, important, trivial; along an order deletion (its first 1 .. B blocks) and insertion (all but those).
        pa.field("zeroed_half", pa.string(), nullable=False),
        pa.field("zeroed_blocks", pa.uint16(), nullable=False),  # bit set = zeroed
        pa.field("score", pa.float32(), nullable=False),  # native MOS units
        # What the pixels of these blocks are set to: zero (the paper's), photo_mean, blur, inpaint, black; none for the
        # photo as it is.
        pa.field("fill", pa.string(), nullable=False),
    ]
)
# As an expression of SQL: the column ``fill`` of rows of version 1.
OLDER_FILL = "CASE WHEN zeroed_half = 'none' THEN 'none' ELSE 'zero' END"


def with_fill(rows: pa.Table) -> pa.Table:
    """Rows of ``zeroed/`` of any version as those of ``ZEROED_VERSION``, as far as columns are there.

    What gets a column ``fill`` must have ``zeroed_half``.
    """
    if "fill" in rows.column_names:
        return rows
    rows = rows.cast(with_metadata(rows.schema, metadata(rows.schema) | {"schema_version": ZEROED_VERSION}))
    fill = ["none" if half == "none" else "zero" for half in rows["zeroed_half"].to_pylist()]
    return rows.append_column(ZEROED.field("fill"), pa.array(fill, pa.string()))


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


# Words of ``zeroed/``: the fill of the photo as it is, and the paper's.
NOT_FILLED, ZERO = "none", "zero"
SINGLE_BLOCK = "single_block"  # the ranking of rows with one zeroed block, stored as its important half
OCCLUSION = "occlusion"  # the ranking of a half of a model's own, by zeroing each block alone
ORDER = "order_"  # how rankings of whole orders begin in ``zeroed/``


def explained(method: str, model: str) -> str:
    """The name of the ranking by a method of explaining one model's score, in ``zeroed/`` and in tables."""
    return f"{method}_{model}"
