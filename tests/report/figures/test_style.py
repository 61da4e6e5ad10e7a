import matplotlib
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.font_manager import findfont, get_font

from halfiqa_ray.report.figures.style import FONT, SYNTHETIC, new_figure, notes_of, plain, styled
from halfiqa_ray.report.names import printable

LETTERS = set(get_font(findfont(FONT)).get_charmap())


@given(st.text(), st.integers(4, 50))
def test_a_name_is_drawn_on_one_line_in_letters_that_the_font_has(name, longest):
    drawn = plain(name, longest)
    assert len(drawn) <= longest
    assert all(ord(letter) in LETTERS for letter in drawn)
    assert printable(name).isprintable()


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=32))
def test_a_plain_name_stays_as_it_is(name):
    assert plain(name) == name


def test_what_cannot_be_drawn_is_escaped_and_what_is_long_keeps_its_ends():
    assert plain("照\u202e\n.jpg") == "\\u7167\\u202e\\n.jpg"
    assert plain("a" * 30 + "0815.jpg", 14) == "aaaaaa…815.jpg"


def test_the_style_holds_only_inside():
    @styled
    def inside():
        return matplotlib.rcParams["text.parse_math"]

    before = dict(matplotlib.rcParams)
    assert inside() is False
    assert dict(matplotlib.rcParams) == before


def test_made_up_scores_are_said_first():
    figure = new_figure(3.5, 2, notes_of(True, "", "more"))
    assert figure.get_suptitle() == f"{SYNTHETIC}\nmore"
    assert new_figure(3.5, 2, notes_of(False, "")).get_suptitle() == ""
