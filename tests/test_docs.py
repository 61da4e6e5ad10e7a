"""Numbers in the docs are those of the files that they are of."""

import json
from pathlib import Path

import pytest

from benchmarks.fill_page import fill
from halfiqa_ray import storage
from halfiqa_ray.models import shipped
from halfiqa_ray.models.checkpoints import WEIGHTS, load_checkpoint, read_record
from halfiqa_ray.tables.beyond.carry_over import carry_over
from tests.tables.beyond.test_carry_over import RESAMPLING, about, output, store  # noqa: F401  (a fixture)

ROOT = Path(__file__).parents[1]
MARKED = "# A page\n<!-- table: carry_over dataset=first scope=test -->\nold\n<!-- end -->\nits end\n"


def test_a_page_is_filled_from_stored_tables(output, tmp_path):  # noqa: F811
    table = carry_over(output[0], RESAMPLING)
    storage.write_table(str(tmp_path / "tables" / "carry_over.parquet"), table)
    filled = fill(MARKED, tmp_path / "tables")
    shown = [row for row in table.to_pylist() if (row["dataset"], row["scope"]) == ("first", "test")]
    assert len(shown) == 2
    assert all(f"{row['plcc']:.3f}" in filled for row in shown)
    assert "old" not in filled
    assert filled.endswith("its end\n")
    assert fill(filled, tmp_path / "tables") == filled


def test_a_table_that_is_not_stored_is_no_table(tmp_path):
    with pytest.raises(ValueError, match=r"carry_over.parquet is not there"):
        fill(MARKED, tmp_path)


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_models_are_small_whole_and_told_truly(name):
    model, record = load_checkpoint(name)
    assert not record.synthetic
    assert (shipped.folder(name) / WEIGHTS).stat().st_size < 8_000_000
    assert all(parameter.dtype.is_floating_point for parameter in model.parameters())
    card = (shipped.folder(name) / "README.md").read_text()
    for found in record.metrics.values():
        for number in ("plcc", "srcc", "rmse"):
            low, high = getattr(found, f"{number}_interval")
            assert f"{getattr(found, number):.3f} [{low:.3f}, {high:.3f}]" in card


def test_the_page_of_biq2021_has_the_numbers_of_the_model():
    page = (ROOT / "docs" / "biq2021.md").read_text()
    for split, found in read_record("biq2021/triq").metrics.items():
        cells = [split, f"{found.n:,}"]
        for number in ("plcc", "srcc"):
            low, high = getattr(found, f"{number}_interval")
            cells.append(f"{getattr(found, number):.3f} [{low:.3f}, {high:.3f}]")
        assert f"| {' | '.join(cells)} |" in page
    assert json.loads((shipped.folder("biq2021/triq") / "model.json").read_text())["dataset"] == "biq2021"
