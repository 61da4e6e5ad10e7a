import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfiqa_ray.data.lists.numbers import NumberStyle
from halfiqa_ray.data.problems import RowError


def values(*cells):
    style, found = NumberStyle.of(cells), []
    for cell in cells:
        try:
            found.append(style.read(cell, "the MOS"))
        except RowError as error:
            assert error.kind == "bad_number"  # noqa: PT017
            found.append(None)
    return found


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("48,86", "35,20", "62,5", "7"), [48.86, 35.2, 62.5, 7]),
        (("48.86", "35.20", "7"), [48.86, 35.2, 7]),
        (("77,384", "68,729"), [77.384, 68.729]),
        ((" 1,5e1 ", "-0,5", "+3"), [15, -0.5, 3]),
        (("48,86", "62.5"), [None, 62.5]),  # 62.5 cannot be grouped thousands
        (("48,86", "1.234"), [None, None]),  # 1234 or 1.234
        (("1.234,5", "1.234"), [None, None]),
        (("1,234.5", "1,234"), [None, None]),
        (("1.234,5", "48,86"), [None, 48.86]),
        (("1 234", "1'234", "3.5 %", "½"), [None] * 4),
    ],
)
def test_the_whole_list_decides_on_the_decimal_sign(cells, expected):
    assert values(*cells) == expected


@given(st.lists(st.decimals(-1000, 1000, places=3), min_size=1), st.booleans())
def test_one_sign_throughout_gives_the_very_numbers(numbers, comma):
    cells = [str(number).replace(".", ",") if comma else str(number) for number in numbers]
    assert values(*cells) == [float(number) for number in numbers]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("=AVERAGE(C2:D2)", "formula without a result"),
        ("#DIV/0!", "a spreadsheet's error"),
        ("2023-05-03 00:00:00", "made a date"),
        ("03. Mai", "made a date"),
        ("TRUE", "not a number"),
    ],
)
def test_what_a_spreadsheet_left(cell, reason):
    with pytest.raises(RowError, match=reason):
        NumberStyle().read(cell, "the MOS")
