import base64
import io
import re
from xml.etree import ElementTree

import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from halfiqa_ray.report.figures.drawn import Drawn, missing_card
from halfiqa_ray.report.figures.style import new_figure, plain, styled

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = ("</svg><script>alert(1)</script>", "$x$ $\\frac{$", "a & b \"c\" 'd' <!-- ]]>", 'url(#x) id="y"')


@styled
def drawn(name="first", title="A title </title>", alt="Words & <b>"):
    figure = new_figure(4, 2)
    left, right = figure.subplots(1, 2)
    for place, text in enumerate(HOSTILE):
        left.text(0, place / 4, plain(text, 40))
    left.plot([0, 1], [0, -1], label=HOSTILE[1])
    left.legend()
    right.imshow([[1, 2], [3, 4]])
    right.set_title(HOSTILE[0], fontsize=5)
    return Drawn(name, title, "", alt, figure)


@pytest.fixture(scope="module")
def one():
    return drawn()


def parse(svg):
    return ElementTree.fromstring(svg)


def test_names_of_any_kind_are_text_and_nothing_else(one):
    assert one.svg.startswith("<svg ")
    root = parse(one.svg)
    texts = [element.text for element in root.iter(f"{SVG}text")]
    for text in HOSTILE:
        assert text in texts
    assert texts.count(HOSTILE[0]) == 2
    assert texts.count(HOSTILE[1]) == 2  # also in the legend: no mathematics
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "defs", "style", "g", "path", "use", "text", "image", "clipPath", "rect")
    }
    assert "<script" not in one.svg
    assert one.svg.count("</svg>") == 1


def test_it_says_what_it_shows_to_who_cannot_see_it(one):
    root = parse(one.svg)
    by_id = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert [by_id[each] for each in root.get("aria-labelledby").split()] == ["A title </title>", "Words & <b>"]


def test_two_figures_share_a_page(one):
    other = drawn("second")
    same_name = drawn(alt="Of another data set")
    every = [{e.get("id") for e in parse(each.svg).iter() if e.get("id")} for each in (one, other, same_name)]
    assert not every[0] & every[1]
    assert not every[0] & every[2]
    for ids, each in zip(every, (one, other, same_name), strict=True):
        referred = set(re.findall(r"url\(#([^)]+)\)", re.sub(r">[^<]*<", "><", each.svg)))
        referred |= {
            link[1:]
            for e in parse(each.svg).iter()
            for k, link in e.attrib.items()
            if k.endswith("href") and link[0] == "#"
        }
        assert referred
        assert referred <= ids
    style = next(parse(one.svg).iter(f"{SVG}style")).text
    assert style.startswith(f"#{parse(one.svg).get('id')} *{{")  # touches nothing else


def test_the_font_is_inside_with_all_glyphs_that_are_used(one):
    root = parse(one.svg)
    data = re.search(r"url\(data:font/woff;base64,([^)]+)\)", next(root.iter(f"{SVG}style")).text)[1]
    font = TTFont(io.BytesIO(base64.b64decode(data)))
    used = {letter for element in root.iter(f"{SVG}text") for letter in element.text}
    assert {ord(letter) for letter in used} <= set(font.getBestCmap())
    assert len(font.getGlyphOrder()) < 200  # not the whole font
    family = re.search(r"font-family:'([^']+)'", next(root.iter(f"{SVG}style")).text)[1]
    assert all(f"'{family}'" in element.get("style") for element in root.iter(f"{SVG}text"))


def test_the_same_figure_gives_the_same_svg(one):
    assert drawn().svg == one.svg


def test_png_and_pdf(one):
    with Image.open(io.BytesIO(one.png)) as image:
        assert image.size == (800, 400)
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)  # a white card, on a dark page too
    assert one.pdf.startswith(b"%PDF")
    assert b"/FontFile2" in one.pdf  # TrueType
    assert b"/Type3" not in one.pdf


def test_a_card_for_what_is_missing():
    card = missing_card("x", "A figure", "no <b> table: jobs/tables.py writes it", True)
    texts = " ".join(text.text for text in parse(card.svg).iter(f"{SVG}text"))
    assert "no <b> table: jobs/tables.py writes it" in texts
    assert "SYNTHETIC" in texts
    assert card.missing in card.alt
