"""What the docs say is what the files say that they are of: numbers, tables and their columns, links."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import trainings
from benchmarks.fill_page import fill
from halfiqa_ray import schema, storage
from halfiqa_ray.models import shipped
from halfiqa_ray.models.checkpoints import WEIGHTS, load_checkpoint, read_record
from halfiqa_ray.tables import experiments
from halfiqa_ray.tables.beyond.carry_over import carry_over
from tests.tables.beyond.test_carry_over import RESAMPLING, about, output, store  # noqa: F401  (a fixture)

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), ROOT / "cluster" / "README.md", *(ROOT / "docs").glob("*.md")]
TABLES = {name: page.columns for name, page in experiments.PAGES.items()} | {
    "section2": schema.SECTION2,
    "subset_statistics": schema.SUBSET_STATISTICS,
    "dataset_importance": schema.DATASET_IMPORTANCE,
    "localisation": schema.LOCALISATION,
    "carry_over": schema.CARRY_OVER,
}
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


def test_a_training_is_a_row_of_what_its_files_say(tmp_path):
    """A shipped model's record with a history of two epochs, as jobs/train.py leaves them."""
    record = read_record(str(shipped.folder("biq2021/triq")))
    folder = tmp_path / "results" / "checkpoints" / "biq2021" / "triq" / "default"
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes((shipped.folder("biq2021/triq") / "model.json").read_bytes())
    told = {"stage": "main", "stage_epochs": 2, "loss": 1.0, "learning_rate": 1e-3, "plcc": 0.5, "srcc": 0.5}
    told |= {"rmse": 0.1, "best": True, "epochs_left": 0, "finished": 0.0}
    epochs = [told | {"epoch": n, "images_per_second": 10.0 * n, "seconds": 60.0} for n in (1, 2)]
    (folder / "history.json").write_text(json.dumps(epochs))
    table = tmp_path / "trainings.parquet"
    options = SimpleNamespace(results=str(tmp_path / "results"), table=str(table))
    [shown] = trainings.work(options)
    [row] = storage.read_table(str(table)).to_pylist()
    assert (row["epochs"], row["seconds"], row["images_per_second"]) == (2, 120.0, 20.0)
    assert row["plcc_test"] == record.metrics["test"].plcc
    low, high = record.metrics["test"].plcc_interval
    assert f"{record.metrics['test'].plcc:.3f} [{low:.3f}, {high:.3f}]" in shown
    page = "<!-- table: trainings model=triq -->\n<!-- end -->"
    assert shown in fill(page, tmp_path)


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


@pytest.mark.parametrize(("name", "least"), [("biq2021", 10), ("outside", 1)])
def test_a_page_of_results_shows_the_stored_tables(name, least):
    page = (ROOT / "docs" / f"{name}.md").read_text()
    assert page.count("<!-- table: ") >= least
    assert fill(page, ROOT / "docs" / name) == page


def test_the_page_of_biq2021_has_the_numbers_of_the_model():
    page = (ROOT / "docs" / "biq2021.md").read_text()
    for number in ("plcc", "srcc"):
        found = read_record("biq2021/koncept").metrics["test"]
        low, high = getattr(found, f"{number}_interval")
        assert f"{getattr(found, number):.3f} [{low:.3f}, {high:.3f}]" in page
    for split, found in read_record("biq2021/triq").metrics.items():
        cells = [split, f"{found.n:,}"]
        for number in ("plcc", "srcc"):
            low, high = getattr(found, f"{number}_interval")
            cells.append(f"{getattr(found, number):.3f} [{low:.3f}, {high:.3f}]")
        assert f"| {' | '.join(cells)} |" in page
    assert json.loads((shipped.folder("biq2021/triq") / "model.json").read_text())["dataset"] == "biq2021"


@pytest.fixture(scope="module")
def explained():
    """Of docs/tables.md the columns that each section's table explains; those that tables share under no name."""
    sections = re.split(r"^### (\w+)$", (ROOT / "docs" / "tables.md").read_text(), flags=re.M)
    named = {"": sections[0], **dict(zip(sections[1::2], sections[2::2], strict=True))}
    return {
        name: {column for row in re.findall(r"^\| (`.*?) \|", text, re.M) for column in re.findall(r"`(\w+)`", row)}
        for name, text in named.items()
    }


def test_every_table_is_explained(explained):
    assert explained.keys() == {"", *TABLES}


@pytest.mark.parametrize("name", TABLES)
def test_all_columns_of_a_table_are_explained_and_no_others(name, explained):
    columns = set(TABLES[name].names)
    ends = {f"{column}_{end}" for column in columns for end in ("low", "high")}
    assert explained[name] <= columns
    assert columns - ends <= explained[name] | explained[""]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_to_files(page):
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", page.read_text())
    missing = [link for link in links if ":" not in link and not (page.parent / link).exists()]
    assert not missing


def test_links_out_of_the_docs_are_pages_and_files_of_the_site():
    spec = importlib.util.spec_from_file_location("linked_files", ROOT / "docs" / "linked_files.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)

    def on_site(text, page):
        return hooks.on_page_markdown(
            text, page=SimpleNamespace(file=SimpleNamespace(src_uri=page)), config=None, files=None
        )

    assert (
        on_site("[a](../cluster/README.md#time) [b](tables.md#x)", "api.md")
        == "[a](cluster/README.md#time) [b](tables.md#x)"
    )
    assert (
        on_site("[a](../benchmarks/results/submit.md)", "cluster/README.md") == "[a](../benchmarks/results/submit.md)"
    )
    assert on_site("[a](../docs/api.md) [b](../README.md)", "cluster/README.md") == "[a](../api.md) [b](../index.md)"
    assert on_site("[a](https://ray.io) [b](#here)", "api.md") == "[a](https://ray.io) [b](#here)"
    assert on_site("in [the configs](../configs/models/).", "models.md") == "in the configs."
