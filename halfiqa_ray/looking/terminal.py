"""A look as lines of text: the halves drawn as characters, and the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from halfiqa_ray.looking import words
from halfiqa_ray.looking.result import Look
from halfiqa_ray.report.names import printable

WIDTH = 78  # columns that a drawing takes at most, where the grid allows
BETWEEN = 3  # columns between two grids


@dataclass(frozen=True)
class Signs:
    """How a kept and a masked block are drawn."""

    kept: str
    masked: str


DRAWN = Signs("██", "░░")
TYPED = Signs("##", "..")


def signs_for(encoding: str | None) -> Signs:
    """The signs that text in this encoding can show."""
    try:
        (DRAWN.kept + DRAWN.masked).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return TYPED
    return DRAWN


def drawn(look: Look, signs: Signs = DRAWN, width: int = WIDTH) -> list[str]:
    """Everything about one photo, as lines of at most ``width`` columns but for a long name or a wide grid."""
    grids = [
        ("important half", _blocks(look, look.important, signs)),
        ("Shapley values", _numbers(look)),
        ("best half", _blocks(look, look.best, signs)),
        ("worst half", _blocks(look, look.worst, signs)),
    ]
    lines = [f"{printable(look.name)}  ({look.width} x {look.height} pixels)", f"  {words.score(look)}", ""]
    if look.synthetic:
        lines.insert(1, f"  {words.SYNTHETIC}")
    for some in _in_rows(grids, width - 2):
        lines += [f"  {line}".rstrip() for line in _beside(some)]
        lines.append("")
    longest = max(len(name) for name, _ in words.kept_alone(look))
    for name, score in words.kept_alone(look):
        said = f"  {name:<{longest}} alone  {score:.{look.digits}f}  {words.change(look, score)}"
        lines.append(said + (f"  (by {look.rule})" if name == "important half" else ""))
    return lines


def in_short(look: Look) -> str:
    """One line about one photo: score, important half alone, trivial half alone, name; tabs between them."""
    scores = (look.score, look.important_score, look.trivial_score)
    return "\t".join([*(f"{score:.{look.digits}f}" for score in scores), printable(look.name)])


def _blocks(look: Look, kept: int, signs: Signs) -> list[str]:
    return [" ".join(signs.kept if block else signs.masked for block in row) for row in look.as_grid(kept)]


def _numbers(look: Look) -> list[str]:
    texts = [[f"{value:+.{look.digits}f}" for value in row] for row in look.shapley_grid]
    widest = max(len(text) for row in texts for text in row)
    return [" ".join(text.rjust(widest) for text in row) for row in texts]


def _in_rows(grids: Sequence[tuple[str, list[str]]], width: int) -> Iterator[list[tuple[str, list[str]]]]:
    """The grids in rows, as many side by side as there is room for."""
    row: list[tuple[str, list[str]]] = []
    for title, lines in grids:
        if row and _width([*row, (title, lines)]) > width:
            yield row
            row = []
        row.append((title, lines))
    yield row


def _width(row: Sequence[tuple[str, list[str]]]) -> int:
    return sum(max(len(title), *map(len, lines)) for title, lines in row) + BETWEEN * (len(row) - 1)


def _beside(row: Sequence[tuple[str, list[str]]]) -> list[str]:
    columns = [[title, *lines] for title, lines in row]
    widths = [max(map(len, column)) for column in columns]
    return [
        (" " * BETWEEN).join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        for cells in zip(*columns, strict=True)
    ]
