"""Numbers as lists write them: the decimal sign is decided from the whole list, and never guessed for one cell."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from halfiqa_ray.data.photos.names import DATE
from halfiqa_ray.data.problems import RowError

COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
GROUPS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")  # 1.234: also how a list with decimal commas writes 1234
COMMA_GROUPS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+")  # 1.234,5
POINT_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+")  # 1,234.5


@dataclass(frozen=True)
class NumberStyle:
    """How a whole list writes decimals: with a ``comma``, with a ``point``, or, in a list of two makers, with both."""

    comma: bool = False
    point: bool = False

    @classmethod
    def of(cls, cells: Iterable[str]) -> NumberStyle:
        """That of a list, by all its cells that should be numbers."""
        comma = point = False
        for cell in cells:
            if "," in cell:
                comma = comma or bool(COMMA.fullmatch(cell.strip()) or COMMA_GROUPS.fullmatch(cell.strip()))
                point = point or bool(POINT_GROUPS.fullmatch(cell.strip()))
            elif "." in cell and not point:
                point = _is_plain(cell)
        return cls(comma, point)

    def read(self, cell: str, what: str) -> float:
        """A finite number, of which there is one reading. Raises RowError that says ``what`` it should have been."""
        text = cell.strip()
        if self.comma and self.point and (COMMA.fullmatch(text) or GROUPS.fullmatch(text)):
            raise RowError(
                "bad_number",
                f"{what} is {text!r}, and the list writes decimals with commas and with points: write all with points",
            )
        if COMMA.fullmatch(text):
            return number(text.replace(",", "."), what)
        if self.comma and GROUPS.fullmatch(text):
            raise RowError("bad_number", f"{what} is {text!r} in a list with decimal commas: write it without points")
        return number(cell, what)


def number(cell: str, what: str) -> float:
    """A finite number with a decimal point. Raises RowError that says ``what`` it should have been."""
    try:
        value = float(cell.replace("_", "?"))  # Python would read 1_0 as 10
    except ValueError:
        raise RowError("bad_number", f"{what} is {cell.strip()!r}, not a number{_reason(cell.strip())}") from None
    if not math.isfinite(value):
        raise RowError("bad_number", f"{what} is {cell.strip()}, not a finite number")
    return value


def looks_like_number(cell: str) -> bool:
    """Whether a cell is a number with either decimal sign."""
    text = cell.strip()
    return bool(COMMA.fullmatch(text)) or _is_plain(text)


def _is_plain(cell: str) -> bool:
    try:
        return math.isfinite(float(cell.replace("_", "?")))
    except ValueError:
        return False


def _reason(text: str) -> str:
    if text.startswith("="):
        return ", but a formula without a result: open the list in a spreadsheet and save it, or write the numbers"
    if re.fullmatch(r"#[A-Z/0!?]+", text):
        return ": it is a spreadsheet's error"
    return ": a spreadsheet may have made a date of it" if DATE.fullmatch(text) else ""
