"""How figures look: sizes, type, colours and markers, and words that are safe to draw.

Figures are for print at the width of one column (3.5 inches) or of the page, and drawn at that size, so that 7 points
are 7 points. Colours are Okabe and Ito's for things and perceptually uniform maps for values; what differs in colour
also differs in marker, line or place. Text is never read as mathematics: an image may be called ``$x$``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from halfiqa_ray.report.names import escaped, printable

COLUMN, PAGE = 3.5, 7.2  # widths in inches
FONT = "DejaVu Sans"  # comes with matplotlib, so that it is there on every machine
INK, GREY, PALE = "#000000", "#666666", "#cccccc"
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#e69f00", "#56b4e9"
SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"
# Beyond this many points they are drawn as one picture inside the vector file.
MOST_POINTS = 2000
SYNTHETIC = "SYNTHETIC: scores from a formula, not from people"

STYLE: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "figure.titlesize": 7,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}

P = ParamSpec("P")
T = TypeVar("T")


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function that makes or saves figures in the style, whatever the caller has set in matplotlib."""

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> T:
        with rc_context(STYLE):
            return function(*args, **kwargs)

    return within


@dataclass(frozen=True)
class Look:
    """How one kind of thing is drawn: told apart by colour, by marker and by line."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[int, int]] = "-"


# Which half was taken away, in every figure.
IMPORTANT = Look(VERMILLION, "o", "--")
TRIVIAL = Look(BLUE, "s", "-")


def new_figure(width: float, height: float, notes: Sequence[str] = ()) -> Figure:
    """An empty white figure, in inches; ``notes`` stand at its top, a line each."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if notes:
        figure.suptitle("\n".join(notes), x=0.01, ha="left", color=GREY, fontsize=6.5)
    return figure


def notes_of(synthetic: bool, *said: str) -> list[str]:
    """The lines at the top of a figure: that scores are made up, and what else a reader must not miss."""
    return [SYNTHETIC] * synthetic + [line for line in said if line]


def without_axes(axis: Axes) -> None:
    """Leave a panel's frame and ticks out, but not its title."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def plain(text: str, longest: int = 32) -> str:
    """A name as it can be drawn on one line: `printable`, and what the font has no picture of is escaped too.

    A longer one keeps its beginning and its end.
    """
    drawn = "".join(letter if ord(letter) in _letters() else escaped(letter) for letter in printable(text))
    if len(drawn) <= longest:
        return drawn
    start = (longest - 1) // 2
    return f"{drawn[:start]}…{drawn[len(drawn) - (longest - 1 - start) :]}"


@functools.cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())
