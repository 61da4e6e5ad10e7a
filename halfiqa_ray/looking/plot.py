"""A look as a figure."""

from __future__ import annotations

import importlib
import sys

from halfiqa_ray.looking.result import Look
from halfiqa_ray.report.figures.one_photo import Figure, draw_one_photo
from halfiqa_ray.report.figures.style import notes_of
from halfiqa_ray.report.photos import Photo


def plot(look: Look) -> Figure:
    """The photo, its two halves with their scores, and the Shapley values."""
    if "IPython" in sys.modules:
        pyplot = importlib.import_module("matplotlib.pyplot")
        pyplot.switch_backend(pyplot.get_backend())  # its loading teaches a notebook to show figures
    scale = look.mos_scale
    said = f"{look.model}, {scale.low:g} (bad) to {scale.high:g} (excellent); halves by {look.rule}"
    panels = [
        ("whole", look.score, look.grid.full),
        ("important half", look.important_score, look.important),
        ("trivial half", look.trivial_score, look.trivial),
    ]
    notes = notes_of(look.synthetic, said)
    return draw_one_photo(Photo(look.name, look.picture), look.grid, panels, look.shapley, look.digits, notes)
