"""Figures to bytes: SVG that is the same in every browser and safe inside a page, PNG, and PDF with TrueType fonts.

The same figure gives the same bytes. SVG text is text, to be searched, copied and read aloud; the glyphs that it uses
are cut out of the font and put into the file, because their widths are what the layout was made for.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from xml.etree import ElementTree

from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont

from halfiqa_ray.report.figures.style import FONT, styled

DOTS = 200  # an inch, of PNG and of what is a picture inside SVG and PDF
SVG = "http://www.w3.org/2000/svg"
# Widths close to the font's, for programs that do not read fonts from an SVG.
FALLBACKS = f"'{FONT}', Verdana, sans-serif"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


@styled
def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS)
    return stream.getvalue()


@styled
def pdf(figure: Figure, title: str) -> bytes:
    """The figure as PDF with embedded TrueType fonts (type 42, which journals ask for)."""
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", dpi=DOTS, metadata={"Title": title, "CreationDate": None})
    return stream.getvalue()


@styled
def svg(figure: Figure, name: str, title: str, alt: str) -> str:
    """The figure as an ``<svg>`` element with ``title`` and ``alt`` for screen readers.

    Its ids and its style begin with ``name`` and a hash of the words, and so touch nothing else in a page.
    """
    prefix = f"{name}-{hashlib.sha256(f'{title} {alt}'.encode()).hexdigest()[:8]}"
    stream = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.hashsalt": name}):  # else ids are drawn at random
        figure.savefig(stream, format="svg", dpi=DOTS, metadata=nothing)
    root = ElementTree.fromstring(stream.getvalue())  # noqa: S314 (matplotlib's own)
    texts = [element.text for element in root.iter(f"{{{SVG}}}text") if element.text]
    family = f"{prefix}-font"
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                value = f"{prefix}-{value}"
            elif key.endswith("href") and value.startswith("#"):
                value = f"#{prefix}-{value[1:]}"
            elif key == "style":
                value = value.replace(f"'{FONT}'", f"'{family}', {FALLBACKS}")
            element.set(key, re.sub(r"url\(#", f"url(#{prefix}-", value))
    for style in root.iter(f"{{{SVG}}}style"):
        # Geometric: without it some browsers round the width of every letter to whole pixels.
        style.text = f"#{prefix} {style.text}\n#{prefix} text{{text-rendering:geometricPrecision}}\n"
        style.text += f"@font-face{{font-family:'{family}';src:url({_font(texts)})}}"
    root.set("id", prefix)
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    for place, (tag, words) in enumerate((("title", title), ("desc", alt))):
        element = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": f"{prefix}-{tag}"})
        element.text = words
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def _font(texts: list[str]) -> str:
    """The glyphs of some texts as a data URI of a WOFF font."""
    font = TTFont(findfont(FONT), recalcTimestamp=False)
    options = subset.Options(layout_features=["kern", "mark", "mkmk"], hinting=False, notdef_outline=True)
    options.drop_tables += ["FFTM", "MATH"]
    cutter = subset.Subsetter(options)
    cutter.populate(text="".join(texts))
    cutter.subset(font)
    font.flavor = "woff"
    stream = io.BytesIO()
    font.save(stream)
    return "data:font/woff;base64," + base64.b64encode(stream.getvalue()).decode()
