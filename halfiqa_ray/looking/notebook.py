"""A look in a notebook: a piece of HTML without a script, which notebooks and their exports show as it is."""

from __future__ import annotations

from html import escape

from halfiqa_ray.looking import words
from halfiqa_ray.looking.result import Look
from halfiqa_ray.report.dimming import with_blocks
from halfiqa_ray.report.names import printable
from halfiqa_ray.report.page.packing import picture_uri

CELL = "padding:0 1em 0 0;vertical-align:top;text-align:left"


def as_html(look: Look) -> str:
    """The photo and its halves side by side with their scores. All words are escaped."""
    panels = [("whole photo", look.grid.full, look.score)]
    panels += [
        (f"{name} alone", kept, look.score_of(kept))
        for name, kept in (
            ("important half", look.important),
            ("trivial half", look.trivial),
            ("best half", look.best),
            ("worst half", look.worst),
        )
    ]
    cells = "".join(
        f'<td style="{CELL}"><img alt="{escape(name)}" width="180" src="{_picture(look, kept)}"><br>{escape(name)}<br>'
        f"<b>{score:.{look.digits}f}</b>{'' if kept == look.grid.full else f' ({words.change(look, score)})'}</td>"
        for name, kept, score in panels
    )
    title = f"{printable(look.name)}: {words.score(look)}"
    told = f"{look.model}, {look.grid.rows} x {look.grid.columns} blocks, halves by {look.rule}"
    warned = f"<p><b>{escape(words.SYNTHETIC)}</b></p>" if look.synthetic else ""
    return (
        f"<div><p><b>{escape(title)}</b><br>{escape(told)}</p>{warned}"
        f"<table><tr>{cells}</tr></table>{_shapley(look)}</div>"
    )


def _picture(look: Look, kept: int) -> str:
    try:
        return picture_uri(with_blocks(look.picture, look.grid, kept))
    except ValueError:  # fewer pixels than blocks
        return picture_uri(look.picture)


def _shapley(look: Look) -> str:
    rows = "".join(
        "<tr>" + "".join(f'<td style="text-align:right">{value:+.{look.digits}f}</td>' for value in row) + "</tr>"
        for row in look.shapley_grid
    )
    return f"<details><summary>Shapley values of the blocks</summary><table>{rows}</table></details>"
