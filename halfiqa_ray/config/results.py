"""Settings of tables, figures, the page, and of a whole experiment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from halfiqa_ray.config.names import Name
from halfiqa_ray.config.section import Section
from halfiqa_ray.config.uris import Uri


class TablesSettings(Section):
    """Tables from stored results (jobs/tables.py). Paths are absolute, or below the output."""

    damage: Uri | None = Field(
        None,
        description="CSV of planted defects (image_name,damaged_blocks), for the table of localisation: an absolute "
        "path, or one below the output.",
    )
    untrained: Uri | None = Field(
        None,
        description="Checkpoint folder of an untrained model that was ranked too, the control of that table: an "
        "absolute path, or one below the output.",
    )


class ReportSettings(Section):
    """Figures and the page from stored results (jobs/report.py)."""

    datasets: tuple[Name, ...] = Field(
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
        (),
        description="For every model the files that describe it and its training; the first one scores the subsets. "
        "Without any, nothing is trained: rank.checkpoint and zero.models name the models.",
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
