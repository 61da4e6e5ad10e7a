"""A finished figure: its words for readers and for those who cannot see it, and its files as SVG, PNG and PDF.

A figure is one white card with its own colours: it reads the same on a white page and in a dark one, so nothing
about it has to change with the page. The SVG holds text as text, with the used glyphs of its font inside, and may
be put into an HTML page as it is: it has no XML declaration, and all its ids begin with ``name``, so that several
figures share a page. A page that states a Content-Security-Policy allows ``font-src data:; img-src data:``.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from functools import cached_property

from matplotlib.figure import Figure

from halfiqa_ray.report.figures import rendering
from halfiqa_ray.report.figures.style import COLUMN, GREY, new_figure, notes_of, styled
from halfiqa_ray.report.names import printable


@dataclass(frozen=True)
class Drawn:
    """One figure. All words are plain text: whoever puts them into HTML escapes them."""

    name: str  # file name without ending: a-z, 0-9 and _, unique in a data set
    title: str  # what is shown, in a few words
    caption: str  # data set, n, units, how to read it
    alt: str  # what it shows in one or two sentences with the numbers, for those who cannot see it
    figure: Figure = field(repr=False, compare=False)
    # Why the figure could not be drawn and which job makes what is missing; "" where it was. The figure is then a
    # card with these words.
    missing: str = ""

    @cached_property
    def svg(self) -> str:
        """The figure as an ``<svg>`` element."""
        return rendering.svg(self.figure, self.name, self.title, self.alt)

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG, 200 pixels an inch."""
        return rendering.png(self.figure)

    @cached_property
    def pdf(self) -> bytes:
        """The figure as PDF with embedded TrueType fonts."""
        return rendering.pdf(self.figure, self.title)


@styled
def missing_card(name: str, title: str, reason: str, synthetic: bool) -> Drawn:
    """A card in the place of a figure that cannot be drawn, with the reason."""
    figure = new_figure(COLUMN, 1.0, notes_of(synthetic))
    said = f"not drawn: {title}\n" + "\n".join(textwrap.wrap(printable(reason), 64, break_long_words=True))
    figure.text(0.02, 0.45, said, va="center", color=GREY)
    return Drawn(name, title, "", f"Not drawn: {reason}", figure, reason)
