"""Settings of the photos and their scores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from halfiqa_ray.config.names import Name
from halfiqa_ray.config.section import Section
from halfiqa_ray.config.uris import Uri


class DataSettings(Section):
    """The photos and their scores."""

    dataset: Name = Field("photos", description="Name of the data set in every output.")
    layout: Literal["folder", "koniq10k", "spaq", "biq2021", "pyiqa"] = Field(
        "folder", description="How the photos and scores are laid out; `folder` is photos without scores."
    )
    root: Uri = Field("photos", description="Folder or URI (s3://...) that holds the photos.")
    scores: Uri | None = Field(
        None, description="Score list (path or URI); by default the official file's name is looked for below the root."
    )
    name_column: str | None = Field(
        None, description="Column of the score list that names the photos, where its header does not tell."
    )
    mos_column: str | None = Field(
        None, description="Column of the score list that holds the MOS, where several could, or none is called MOS."
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
    split_file: Uri | None = Field(None, description="CSV with columns image_name,split (train, validation, test).")
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
