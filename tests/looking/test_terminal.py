"""Drawings as characters, on a planted look."""

import numpy as np
import pytest

from halfiqa_ray.looking.notebook import as_html
from halfiqa_ray.looking.result import Look
from halfiqa_ray.looking.terminal import DRAWN, TYPED, drawn, in_short, signs_for
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.base import MosScale
from tests.report.pages import Parsed


def planted(name="a.jpg", rows=2, columns=2, synthetic=False):
    """A photo whose score is 2 and 1/4 for each kept block, 1/2 for block 0; block 0 and 1 are important."""
    grid = Grid(rows, columns)
    shapley = np.full(grid.blocks, 0.25)
    shapley[0] = 0.5
    return Look(
        name=name,
        model="planted",
        grid=grid,
        rule="shapley",
        important=0b11,
        scores=(2 + grid.kept() @ shapley).astype(np.float32),
        shapley=shapley,
        levels=None,
        importance={"shapley": shapley},
        mos_scale=MosScale(1.0, 5.0),
        synthetic=synthetic,
        height=30,
        width=40,
        picture=np.full((30, 40, 3), 200, np.uint8),
    )


def test_the_whole_drawing():
    assert drawn(planted(), TYPED) == [
        "a.jpg  (40 x 30 pixels)",
        "  score 3.250 on 1 to 5, fair (3 of 5)",
        "",
        "  important half   Shapley values   best half   worst half",
        "  ## ##            +0.500 +0.250    ## ##       .. ##",
        "  .. ..            +0.250 +0.250    .. ..       ## ..",
        "",
        "  important half alone  2.750  -0.500  (by shapley)",
        "  trivial half   alone  2.500  -0.750",
        "  best half      alone  2.750  -0.500",
        "  worst half     alone  2.500  -0.750",
    ]


def test_signs_are_those_that_the_terminal_has():
    assert signs_for("utf-8") == DRAWN
    assert signs_for("cp437") == DRAWN
    for encoding in ("ascii", "latin-1", None, "no such encoding"):
        assert signs_for(encoding) == TYPED
        "\n".join(drawn(planted(), signs_for(encoding))).encode("ascii")


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (4, 4), (1, 16), (16, 1), (1, 2)])
def test_a_drawing_fits_the_terminal(rows, columns):
    lines = drawn(planted(rows=rows, columns=columns))
    assert max(map(len, lines)) <= (80 if columns < 16 else 2 + 16 * 7)
    assert sum(line.count("██") for line in lines) == 2 + rows * columns // 2 * 2 + 0


def test_made_up_scores_are_said_first():
    assert drawn(planted(synthetic=True))[1].strip().startswith("SYNTHETIC DATA")
    assert "SYNTHETIC DATA" in as_html(planted(synthetic=True))
    assert "SYNTHETIC" not in as_html(planted()) + str(planted())


HOSTILE = "<script>alert(1)</script>\n\x1b[31m\u202e&\"'.jpg"


def test_names_can_do_nothing():
    for text in (drawn(planted(HOSTILE))[0], in_short(planted(HOSTILE))):
        assert "\x1b" not in text
        assert "\n" not in text
        assert "\u202e" not in text
    parsed = Parsed(planted(HOSTILE)._repr_html_())
    assert "script" not in {tag for tag, _ in parsed.elements}
    assert "<script>alert(1)</script>" in parsed.text


def test_a_line_a_photo():
    assert in_short(planted("b c.jpg")) == "3.250\t2.750\t2.500\tb c.jpg"


def test_a_notebook_shows_five_pictures_and_all_numbers():
    parsed = Parsed(planted()._repr_html_())
    pictures = [attributes["src"] for tag, attributes in parsed.elements if tag == "img"]
    assert len(pictures) == 5
    assert all(source.startswith("data:image/webp;base64,") for source in pictures)
    for text in ("3.250", "2.750", "(-0.500)", "2.500", "(-0.750)", "+0.500", "+0.250"):
        assert text in parsed.text


def test_a_figure_shows_the_same():
    figure = planted().plot()
    whole, important, trivial, values = figure.axes
    assert [axis.get_title() for axis in (whole, important, trivial)] == [
        "whole: 3.250",
        "important half: 2.750",
        "trivial half: 2.500",
    ]
    assert [text.get_text() for text in values.texts] == ["+0.500", "+0.250", "+0.250", "+0.250"]
    shown = np.asarray(important.images[0].get_array())
    assert shown[0, 0].tolist() == [200] * 3  # block 0 is kept
    assert shown[-1, -1].max() < 50
