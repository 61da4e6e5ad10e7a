"""The report job: figures of every data set below the output, exported photos, and the page."""

from __future__ import annotations

from halfiqa_ray.config import Settings
from halfiqa_ray.report import export
from halfiqa_ray.report.figures import draw
from halfiqa_ray.report.page import page


def run(settings: Settings) -> int:
    """Draw, export and make the page; prints what was written and returns the exit code 0.

    Raises ValueError when there is no rank run, or a named data set or image is not there.
    """
    runs = page.shown_runs(settings)
    draw.check_named(settings, runs)
    drawn = {}
    for one in runs:
        drawn[one.dataset] = [*draw.data_figures(settings, one), *draw.photo_figures(settings, one)]
        written = draw.write(settings.output, one, drawn[one.dataset]) + export.export(settings, one)
        print(f"{one.dataset}: wrote {len(written)} files below {settings.output}/figures", flush=True)
    if settings.report.page:
        print(f"wrote {page.write_page(settings, runs, drawn)}", flush=True)
    return 0
