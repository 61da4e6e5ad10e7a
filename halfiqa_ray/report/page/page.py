"""The report page: one HTML file that opens from disk, holds all it shows, and fetches nothing.

Whatever comes from data is escaped by the template engine or stands in blocks of JSON, and is put into the page as
text. The page's Content-Security-Policy allows its own script, by its hash, and no request at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.report.figures.choose import read_halved
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import COLUMN
from halfiqa_ray.report.page.html import small, templates
from halfiqa_ray.report.page.packing import lighter
from halfiqa_ray.report.page.photos import Photos, read_photos
from halfiqa_ray.report.page.run import Failed, facts, failures
from halfiqa_ray.report.page.tables import Told, headline, tell_tables
from halfiqa_ray.report.scale import LEVELS, digits
from halfiqa_ray.report.stored import Missing, rows_of, wanted_rule
from halfiqa_ray.tables.stored.reading import ALL, Images, Run, find_run
from halfiqa_ray.tables.writing import NOTICE, Cells

MOST_FAILURES = 500  # that the page lists


@dataclass(frozen=True)
class Shown:
    """Everything that the page shows of one run."""

    run: Run
    rule: str  # whose halves are called important and trivial
    rule_note: str
    facts: dict[str, str]
    failures: list[Failed]
    failed: int  # different photos among them: each stage files its own
    headline: list[dict[str, str]]
    tables: list[Told]
    figures: Sequence[Drawn]
    photos: Photos
    images: int
    about: dict[str, Any]  # what the page's script needs to know of all photos


def shown_runs(settings: Settings) -> list[Run]:
    """The newest rank run of every data set that the page covers.

    Raises ValueError when there is none, or none of a data set that the settings name.
    """
    folder = storage.join(settings.output, "rank")
    names = {file[len(folder) + 1 :].split("/")[0] for file in storage.list_files(folder, ".parquet", recursive=True)}
    there = sorted(name.removeprefix("dataset=") for name in names if name.startswith("dataset="))
    wanted = settings.report.datasets or there
    if not wanted:
        raise ValueError(f"no rank run of any data set below {folder}: jobs/rank.py writes it")
    try:
        return [find_run(settings.output, dataset) for dataset in wanted]
    except FileNotFoundError as error:
        raise ValueError(f"{error}; there are runs of {', '.join(there) or 'no data set'}") from error


def write_page(settings: Settings, runs: Sequence[Run], figures: Mapping[str, Sequence[Drawn]]) -> str:
    """Write ``report/index.html`` below the output, and return its URI. ``figures`` are those of every data set.

    Raises ValueError for a run whose images have no halves.
    """
    try:
        shown = [_show(settings, run, figures.get(run.dataset, ())) for run in runs]
    except Missing as missing:
        raise ValueError(str(missing)) from missing
    uri = storage.join(settings.output, "report", "index.html")
    storage.write_text(uri, render(shown))
    return uri


def render(shown: Sequence[Shown]) -> str:
    """The page as HTML."""
    environment = templates()
    environment.tests |= {
        "cells": lambda part: isinstance(part, Cells),
        "paperly": lambda name: "paper" in name,
        "wide": lambda drawn: drawn.figure.get_figwidth() > COLUMN,
    }
    environment.filters |= {"interval": _interval, "small": small}
    environment.globals["row_class"] = _row_class
    return environment.get_template("page.html.j2").render(
        shown=shown,
        notice=NOTICE,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        most_failures=MOST_FAILURES,
        svg=lambda drawn: Markup(lighter(drawn.svg)),  # noqa: S704 (its maker escapes its words)
    )


def _show(settings: Settings, run: Run, figures: Sequence[Drawn]) -> Shown:
    halved = read_halved(settings.output, run, wanted_rule(settings.output, run, settings.rank.rule))
    images, rule = halved.images, halved.rule
    halves = _halves(settings, run, images)
    photos = read_photos(settings, halved, halves)
    scale = run.metadata["mos_scale"]
    failed = failures(settings.output, run)
    return Shown(
        run=run,
        rule=rule,
        rule_note=halved.said,
        facts=facts(settings.output, run, images),
        failures=failed,
        failed=len({one.image_id for one in failed}),
        headline=headline(settings.output, run),
        tables=tell_tables(settings.output, run, rule),
        figures=figures,
        photos=photos,
        images=len(images),
        about={
            "dataset": run.dataset,
            "synthetic": run.synthetic,
            "rows": run.grid.rows,
            "columns": run.grid.columns,
            "low": scale["low"],
            "high": scale["high"],
            "digits": digits(scale["low"], scale["high"]),
            "levels": LEVELS,
            "rule": rule,
            "rules": list(halves),
            "photos": photos.gallery,
        },
    )


def _halves(settings: Settings, run: Run, images: Images) -> dict[str, NDArray[np.int64]]:
    """The important half of every image by every rule that has some: (N,), 0 where an image has none."""
    halves = dict(images.halves)
    try:
        rows = rows_of(settings.output, "dataset_importance", run, schema.DATASET_IMPORTANCE)
    except Missing:
        rows = []
    whole = next((row["important"] for row in rows if row["scope"] == ALL), None)
    halves["image_plcc"] = np.full(len(images), whole or 0, np.int64)
    return {rule: half_N for rule, half_N in halves.items() if half_N.any()}


def _row_class(row: Sequence[str], before: Sequence[str] | None) -> str:
    """What a table's row is to the eye: what others are compared with, the default rule, one more of a group."""
    classes = ["reference"] if row[0] == "chance" or row[0].startswith("paper:") else []
    classes += ["default"] if any(cell.endswith("(default rule)") for cell in row[:2]) else []
    classes += ["again"] if before is not None and before[0] == row[0] else []
    return " ".join(classes)


def _interval(cell: str) -> tuple[str, str]:
    """What stands before a cell's interval, and the interval, where it has one."""
    value, bracket, interval = cell.partition(" [")
    return value, bracket.strip() + interval
