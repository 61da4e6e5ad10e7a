"""Tables in the docs are those of the stored files beside them."""

from pathlib import Path

import pytest

from benchmarks.fill_page import BLOCK, fill

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_the_stored_ones(page):
    assert fill(page.read_text(), page.with_suffix("")) == page.read_text()


def test_a_table_that_is_not_stored_is_no_table(tmp_path):
    text = "<!-- table: carry_over dataset=x -->\n<!-- end -->\n"
    with pytest.raises(ValueError, match=r"carry_over.parquet is not there"):
        fill(text, tmp_path)
