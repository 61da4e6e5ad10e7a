"""What two names of one photo have in common: its extension is the only thing that is ever cut off."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from decimal import Decimal

from halfiqa_ray.data.photos.decoding import SUFFIXES

DATE = re.compile(
    r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}( \d\d:\d\d:\d\d)?|\d{1,2}[-. ]+[A-Za-zäéû]{3,9}\.?|[A-Za-z]{3}[- ]\d\d?"
)
EXPONENT = re.compile(r"(\d)(?:[.,](\d+))?[eE]\+?(\d+)")


def is_photo(path: str) -> bool:
    """Whether a file is taken for a photo: by its extension."""
    return posixpath.splitext(path)[1].lower() in SUFFIXES


def one_form(path: str) -> str:
    """``path`` with its accents composed (Unicode's NFC): macOS and Linux spell the same name in two forms."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def stem(path: str) -> str:
    """``path`` without a picture's extension; what follows another last dot (`DSC.0001`) belongs to the name."""
    return posixpath.splitext(path)[0] if is_photo(path) else path


def stems(name: str) -> set[str]:
    """The names without extension that a list may mean by ``name``, in one form.

    `a.png` is the `a` of a.jpg, and may be the whole of a name without extension as well: that of a.png.jpg.
    """
    return {one_form(name), one_form(stem(name))}


def as_number(name: str) -> int | None:
    """The number that a name without extension is, if it is one: 1 for `00001`, as a spreadsheet takes it."""
    base = posixpath.basename(name)
    return int(base) if base.isascii() and base.isdecimal() else None


def rounded(number: int, digits: int) -> str:
    """A number as spreadsheets shorten it: rounded(10004473376, 5) is 1.00045E+10."""
    mantissa, _, exponent = f"{Decimal(number):.{digits}E}".partition("E")
    return f"{mantissa}E{int(exponent)}"


def shortened(name: str) -> tuple[str, int] | None:
    """For a name that reads `1.00045E+10`: what `rounded` gives of the number that it was, and the digits."""
    found = EXPONENT.fullmatch(posixpath.basename(name))
    if not found:
        return None
    first, rest, exponent = found[1], found[2] or "", int(found[3])
    return f"{first}{'.' if rest else ''}{rest}E{exponent}", len(rest)
