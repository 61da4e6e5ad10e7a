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


def with_metadata(schema: pa.Schema, metadata: dict[str, Any]) -> pa.Schema:
    """The schema with ``metadata`` attached as JSON."""
    return schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})


def metadata(schema: pa.Schema) -> dict[str, Any]:
    """The metadata that ``with_metadata`` attached; {} when there is none."""
    return dict(json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}")))
