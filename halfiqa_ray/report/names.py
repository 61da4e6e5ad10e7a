"""Names of photos in words: they come from whoever named the files, and may hold anything."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """A name as it can stand in a line of text: control, format and line-breaking characters are escaped."""
    return "".join(
        escaped(letter) if letter != " " and unicodedata.category(letter)[0] in "CZ" else letter for letter in text
    )


def escaped(letter: str) -> str:
    """One letter in ASCII, as Python writes it in a string."""
    return ascii(letter)[1:-1]
